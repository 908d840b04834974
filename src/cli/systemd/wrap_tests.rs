use std::fs;

use proptest::prelude::*;

use super::*;
use crate::cli::systemd::search::Root;

/// A unit whose file has this in its section Service.
fn unit_of(service: &str) -> Unit {
    let image = tempfile::tempdir().unwrap();
    let path = image.path().join("lib/systemd/system");
    fs::create_dir_all(&path).unwrap();
    let text = format!("[Unit]\nDescription=x\n[Service]\n{service}");
    fs::write(path.join("app.service"), text).unwrap();
    Root::new(image.path()).find("app").unwrap()
}

fn wrapped(service: &str) -> Result<String, Fault> {
    let unit = unit_of(service);
    let wrapping = Wrapping {
        hushpipe: Path::new("/usr/bin/hushpipe"),
        manifest: &manifest_of(&unit.name),
        file: PathBuf::from("/lib/systemd/system/app.service"),
        drop_in: PathBuf::from("/etc/systemd/system/app.service.d/50-hushpipe.conf"),
        after: None,
    };
    wrapping.drop_in(&unit)
}

/// What is below `[Service]`, without comments.
fn service(unit: &str) -> String {
    let text = wrapped(unit).unwrap();
    let (_, service) = text.split_once("\n[Service]\n").unwrap();
    let lines = service.split_inclusive('\n');
    lines.filter(|line| !line.starts_with('#')).collect()
}

fn notes_of(unit: &str) -> String {
    let text = wrapped(unit).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
    let text: String = lines.collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

#[test]
fn a_plain_service_changes_its_program_and_its_way_to_stop() {
    assert_eq!(
        service(
            "Type=notify\nExecStart=/usr/bin/redis-server /etc/redis.conf --supervised systemd\n\
                 ExecReload=/bin/kill -HUP $MAINPID\n"
        ),
        "ExecStart=\n\
         ExecStart=/usr/bin/hushpipe run --manifest /etc/hushpipe/app.yaml --end-by-signal \
         --stop-timeout 90s -- /usr/bin/redis-server /etc/redis.conf --supervised systemd\n\
         KillMode=mixed\n"
    );
}

/// redis-server.service of Debian is as closed as this.
#[test]
fn a_closed_unit_lets_hushpipe_run() {
    let closed = service(
        "ExecStart=/a\nNoExecPaths=/\nExecPaths=/a /lib\nSystemCallFilter=@system-service\n\
         SystemCallFilter=~ @privileged\n",
    );
    let allowed = "ExecPaths=/usr/bin/hushpipe\nSystemCallErrorNumber=EPERM\nExecStart=\n";
    assert!(closed.starts_with(allowed), "{closed}");
    let kill =
        service("ExecStart=/a\nSystemCallFilter=@system-service\nSystemCallErrorNumber=kill\n");
    assert!(kill.starts_with("SystemCallErrorNumber=EPERM\n"), "{kill}");
    let kept = service("ExecStart=/a\nSystemCallFilter=@mount\nSystemCallErrorNumber=ENOSYS\n");
    assert!(kept.starts_with("ExecStart=\n"), "{kept}");
}

/// nginx.service of Debian 12.
#[test]
fn a_daemon_is_followed_by_its_pid_file() {
    let unit = "Type=forking\nPIDFile=/run/nginx.pid\n\
         ExecStartPre=/usr/sbin/nginx -t -q -g 'daemon on; master_process on;'\n\
         ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'\n\
         ExecReload=/usr/sbin/nginx -g 'daemon on; master_process on;' -s reload\n\
         ExecStop=-/sbin/start-stop-daemon --quiet --stop --retry QUIT/5 --pidfile /run/nginx.pid\n\
         TimeoutStopSec=5\nKillMode=mixed\n";
    assert_eq!(
        service(unit),
        "Type=notify\nNotifyAccess=main\nPIDFile=\nExecStart=\n\
         ExecStart=/usr/bin/hushpipe run --manifest /etc/hushpipe/app.yaml --end-by-signal \
         --stop-timeout 5s --forking --pid-file /run/nginx.pid -- /usr/sbin/nginx -g \
         'daemon on; master_process on;'\n"
    );
    let notes = notes_of(unit);
    assert!(
        notes.contains("ExecStartPre=, ExecReload=, ExecStop= stay as they are"),
        "{notes}"
    );
    assert!(notes.contains("goes into the background"), "{notes}");
    let unit = "Type=forking\nPIDFile=app.pid\nExecStart=/a\n";
    assert!(service(unit).contains("--pid-file /run/app.pid "));
    let unit = "Type=forking\nPIDFile=%t/a.pid\nExecStart=/a\n";
    assert!(service(unit).contains("--pid-file %t/a.pid "));
    let unit = "Type=forking\nExecStart=/a\n";
    assert!(!service(unit).contains("PIDFile"));
}

#[test]
fn prefixes_quotes_and_specifiers_stay() {
    for (start, expected) in [
        (
            "-/bin/a %i '%h/x y'",
            "-/usr/bin/hushpipe run ~ -- /bin/a %i '%h/x y'",
        ),
        ("+!/bin/a", "+!/usr/bin/hushpipe run ~ -- /bin/a"),
        (
            "!!/bin/a $X ${Y}",
            "!!/usr/bin/hushpipe run ~ -- /bin/a $X ${Y}",
        ),
        (":/bin/a $X", ":/usr/bin/hushpipe run ~ -- /bin/a $X"),
        (
            "@/bin/a @b c",
            "/usr/bin/hushpipe run ~ --argv0 @b -- /bin/a c",
        ),
        ("%h/bin/a", "/usr/bin/hushpipe run ~ -- %h/bin/a"),
    ] {
        let all = "--manifest /etc/hushpipe/app.yaml --end-by-signal --stop-timeout 90s";
        let expected = format!("ExecStart={}\n", expected.replace('~', all));
        let text = service(&format!("ExecStart={start}\n"));
        assert!(text.contains(&expected), "{text}\nexpected {expected}");
    }
}

#[test]
fn every_command_of_a_oneshot_is_wrapped() {
    let text = service("Type=oneshot\nExecStart=/a 1 ; -/b 2\nExecStart=/c 3\n");
    let ends: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(" -- ").map(|(_, end)| end))
        .collect();
    assert_eq!(ends, ["/a 1", "/b 2", "/c 3"]);
    assert!(text.contains("ExecStart=-/usr/bin/hushpipe"), "{text}");
    assert_eq!(text.matches("ExecStart=\n").count(), 1);
}

#[test]
fn ways_to_kill_that_were_chosen_stay() {
    for mode in ["mixed", "process", "none"] {
        let text = service(&format!("ExecStart=/a\nKillMode={mode}\n"));
        assert!(!text.contains("KillMode"), "{text}");
    }
    let text = service("ExecStart=/a\nKillMode=control-group\n");
    assert!(text.contains("KillMode=mixed\n"));
    assert!(notes_of("ExecStart=/a\nKillMode=process\n").contains("leftovers: leave"));
}

#[test]
fn hushpipe_is_not_quicker_to_kill_than_systemd() {
    for (unit, expected) in [
        ("TimeoutStopSec=5min", "5m"),
        ("TimeoutStopSec=1min 30s", "90s"),
        ("TimeoutSec=900", "15m"),
        ("TimeoutSec=900\nTimeoutStopSec=10", "10s"),
        ("TimeoutStopSec=infinity", "365d"),
        ("TimeoutSec=0", "365d"),
        ("TimeoutStopSec=100ms", "1s"),
        ("TimeoutStopSec=soon", "90s"),
    ] {
        let text = service(&format!("ExecStart=/a\n{unit}\n"));
        let expected = format!(" --stop-timeout {expected} ");
        assert!(text.contains(&expected), "{unit}: {text}");
    }
}

#[test]
fn what_the_unit_forbids_or_has_is_noted() {
    let has = |service: &str, text: &str| {
        let notes = notes_of(&format!("ExecStart=/a\n{service}\n"));
        assert!(notes.contains(text), "{service}: {notes}");
    };
    let not = |service: &str, text: &str| {
        let notes = notes_of(&format!("ExecStart=/a\n{service}\n"));
        assert!(!notes.contains(text), "{service}: {notes}");
    };
    has("User=redis", "hushpipe runs as redis,");
    has("DynamicUser=yes", "hushpipe runs as a dynamic user,");
    has("DynamicUser=yes\nUser=app", "hushpipe runs as app,");
    not("User=root", "hushpipe runs as");
    let namespaces = "forbids the mount namespace";
    has(
        "RestrictNamespaces=yes\nRuntimeDirectory=redis",
        "deliver files below /run/redis,",
    );
    has("RestrictNamespaces=net user", namespaces);
    has("RestrictNamespaces=~mnt", namespaces);
    not("RestrictNamespaces=mnt user", namespaces);
    not("RestrictNamespaces=~net", namespaces);
    not("RestrictNamespaces=no", namespaces);
    has("PrivateNetwork=yes", "kept from the network");
    has("RootDirectory=/srv/app", "must be in it");
    has(
        "LoadCredential=a:/b",
        "run.env.set: { CREDENTIALS_DIRECTORY",
    );
    has("ExecStartPre=/bin/check", "ExecStartPre= stay as they are");
    not("ExecReload=/bin/kill -HUP $MAINPID", "stay as they are");
}

#[test]
fn what_cannot_be_wrapped_is_said() {
    assert_eq!(
        wrapped("Type=oneshot\nExecStop=/a\n"),
        Err(Fault::NoProgram)
    );
    assert_eq!(wrapped("ExecStart=/a\nExecStart=\n"), Err(Fault::NoProgram));
    assert_eq!(
        wrapped("ExecStart=-/usr/local/bin/hushpipe run -- /a\n"),
        Err(Fault::Wrapped)
    );
    assert_eq!(
        wrapped("ExecStart=/a 'b\n"),
        Err(Fault::CommandLine(
            "/a 'b".to_owned(),
            command_line::Fault::Quotes
        ))
    );
}

#[test]
fn a_template_has_a_manifest_for_each_instance() {
    assert_eq!(manifest_of("a@.service"), "/etc/hushpipe/a@%i.yaml");
    assert_eq!(manifest_of("a@x.service"), "/etc/hushpipe/a@x.yaml");
    assert_eq!(manifest_of("a.service"), "/etc/hushpipe/a.yaml");
}

#[test]
fn strange_paths_are_quoted() {
    assert_eq!(quoted("/a/b-c.yaml"), "/a/b-c.yaml");
    assert_eq!(quoted("/a b/\"$x\\"), "\"/a b/\\\"$$x\\\\\"");
}

proptest! {
    /// What comes out is a unit file in which every command is hushpipe with the old one behind it.
    #[test]
    fn the_drop_in_reads_back(start in "[-:+!]{0,2}/[a-z]{1,4}( (%i|\\$X|'a b'|\"c\"|x=\\\\x20|--y)){0,6}") {
        let text = wrapped(&format!("ExecStart={start}\n")).unwrap();
        let mut settings = Settings::default();
        settings.add(&text);
        let lines = settings.list("Service", "ExecStart");
        prop_assert_eq!(lines.len(), 1);
        let read = CommandLine::read(lines[0]).unwrap();
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(&read[0].program, "/usr/bin/hushpipe");
        let old = CommandLine::read(&start).unwrap().remove(0);
        prop_assert_eq!(&read[0].prefixes, &old.prefixes);
        let end = read[0].arguments.split_once(" -- ").unwrap().1;
        prop_assert_eq!(end, old.as_arguments());
    }
}
