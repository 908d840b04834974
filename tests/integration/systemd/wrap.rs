//! `hushpipe systemd wrap` and `unwrap`, on unit files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::harness::{Hushpipe, Output};

const NGINX: &str = "[Unit]\nDescription=web\n[Service]\nType=forking\nPIDFile=/run/nginx.pid\n\
    ExecStartPre=/usr/sbin/nginx -t -q -g 'daemon on;'\n\
    ExecStart=/usr/sbin/nginx -g 'daemon on;'\n\
    ExecReload=/usr/sbin/nginx -g 'daemon on;' -s reload\nKillMode=mixed\n";

const DROP_IN: &str = "root/etc/systemd/system/nginx.service.d/50-hushpipe.conf";

/// An image with a unit in `{place}/root`.
fn image() -> Hushpipe {
    Hushpipe::new().file("root/lib/systemd/system/nginx.service", NGINX)
}

fn systemd(hushpipe: Hushpipe, command: &str, arguments: &[&str]) -> Output {
    hushpipe
        .args(["systemd", command, "--root", "{place}/root"])
        .args(arguments.iter().copied())
        .run()
}

#[test]
fn it_is_printed_first_and_written_when_asked_for() {
    let output = systemd(image(), "wrap", &["nginx"]).success();
    let text = output.stdout();
    assert!(
        text.starts_with("# /etc/systemd/system/nginx.service.d/50-hushpipe.conf\n"),
        "{text}"
    );
    assert!(
        text.ends_with(
            "[Service]\n\
             # hushpipe stays, follows the daemon, and says when it is there.\n\
             Type=notify\nNotifyAccess=main\nPIDFile=\nExecStart=\n\
             ExecStart=/usr/bin/hushpipe run --manifest /etc/hushpipe/nginx.yaml --end-by-signal \
             --stop-timeout 90s --forking --pid-file /run/nginx.pid -- /usr/sbin/nginx -g \
             'daemon on;'\n"
        ),
        "{text}"
    );
    assert!(!output.place().join(DROP_IN).exists());

    let output = systemd(output.again(), "wrap", &["nginx.service", "--install"])
        .success()
        .stdout_has("wrote /etc/systemd/system/nginx.service.d/50-hushpipe.conf")
        .stdout_has("wrote /etc/hushpipe/nginx.yaml, which delivers nothing yet");
    assert_eq!(output.place().read(DROP_IN), text);
    // It is a whole manifest, with which the service starts as before.
    let manifest = "root/etc/hushpipe/nginx.yaml";
    let check = ["check", "--manifest-only", "-m", manifest, "--", "true"];
    let output = output.again().args(check).run().success();
    let mode = fs::metadata(output.place().join(DROP_IN))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644);

    // Our own drop-in is not taken for the unit's.
    let output = systemd(output.again(), "wrap", &["nginx", "--install"])
        .success()
        .stdout_has("is there already, with the same content");
    let output = systemd(output.again(), "wrap", &["nginx"]).success();
    assert_eq!(output.stdout(), text);

    output.place().write(DROP_IN, "[Service]\n# mine\n");
    let output = systemd(output.again(), "wrap", &["nginx", "--install"])
        .code(64)
        .stderr_has("is there already, with another content");
    assert_eq!(output.place().read(DROP_IN), "[Service]\n# mine\n");
}

#[test]
fn how_to_take_it_away_is_told() {
    let output = systemd(image(), "unwrap", &["nginx"])
        .code(1)
        .stderr_has("nginx.service is not wrapped");
    let output = systemd(output.again(), "wrap", &["nginx", "--install"]).success();
    let output = systemd(output.again(), "unwrap", &["nginx"]).success();
    output.stdout_is(
        "rm /etc/systemd/system/nginx.service.d/50-hushpipe.conf\n\
         rmdir --ignore-fail-on-non-empty /etc/systemd/system/nginx.service.d\n\
         systemctl daemon-reload\nsystemctl restart nginx.service\n",
    );
}

#[test]
fn what_is_left_of_a_unit_that_is_gone_or_masked_can_be_taken_away() {
    let unit = "root/lib/systemd/system/a\\x2db.service";
    let directory = "root/etc/systemd/system/a\\x2db.service.d";
    let name = "a\\x2db";
    let hushpipe = Hushpipe::new().file(unit, "[Service]\nExecStart=/bin/a\n");
    let output = systemd(hushpipe, "wrap", &[name, "--install"])
        .success()
        .stdout_has("systemctl restart 'a\\x2db.service'");
    let path = "/etc/systemd/system/a\\x2db.service";
    let away = format!(
        "rm '{path}.d/50-hushpipe.conf'\nrmdir --ignore-fail-on-non-empty '{path}.d'\n\
         systemctl daemon-reload\n"
    );
    let output = systemd(output.again(), "unwrap", &[name]).success();
    let output = output.stdout_is(&format!("{away}systemctl restart 'a\\x2db.service'\n"));

    // What `apt-get remove` leaves, and `systemctl mask`.
    fs::remove_file(output.place().join(unit)).unwrap();
    let output = systemd(output.again(), "unwrap", &[name]).success();
    let output = output.stdout_is(&away);
    let masked = output
        .place()
        .join("root/etc/systemd/system/a\\x2db.service");
    symlink("/dev/null", masked).unwrap();
    let output = systemd(output.again(), "unwrap", &[name]).success();
    let output = output.stdout_is(&away);

    fs::remove_dir_all(output.place().join(directory)).unwrap();
    systemd(output.again(), "unwrap", &[name])
        .code(64)
        .stderr_has("is masked by");
}

/// As `systemctl edit` writes it.
const OVERRIDE: &str = "root/etc/systemd/system/nginx.service.d/override.conf";

#[test]
fn a_drop_in_that_would_take_hushpipe_out_again_does_not() {
    let first = "/etc/systemd/system/nginx.service.d/50-hushpipe.conf";
    let last = "/etc/systemd/system/nginx.service.d/zz-hushpipe.conf";
    // What is not set by hushpipe's is none of its business.
    let hushpipe = image().file(OVERRIDE, "[Service]\nLimitNOFILE=9\n[Unit]\nKillMode=x\n");
    systemd(hushpipe, "wrap", &["nginx", "--install"])
        .success()
        .stdout_has(first);
    for setting in [
        "ExecStart=\nExecStart=/bin/other",
        "Type=forking",
        "PIDFile=/run/n.pid",
    ] {
        let hushpipe = image().file(OVERRIDE, format!("[Service]\n{setting}\n"));
        let output = systemd(hushpipe, "wrap", &["nginx"]).success();
        assert!(output.stdout().starts_with(&format!("# {last}\n")));
        let text = output.stdout();
        assert!(
            text.contains("nginx.service.d/override.conf sets what is set here"),
            "{text}"
        );
        let output = systemd(output.again(), "wrap", &["nginx", "--install"]).success();
        let output = output.stdout_has(&format!("wrote {last}"));
        let output = systemd(output.again(), "unwrap", &["nginx"]).success();
        let output = output.stdout_has(&format!("rm {last}\n"));
        // Once it is away again, the usual name would do, but not both.
        fs::remove_file(output.place().join(OVERRIDE)).unwrap();
        systemd(output.again(), "wrap", &["nginx", "--install"])
            .code(64)
            .stderr_has(&format!(
                "{last} is there already, and systemd would apply both"
            ));
    }
    let other = "root/lib/systemd/system/service.d/zzz.conf";
    systemd(
        image().file(other, "[Service]\nType=forking\n"),
        "wrap",
        &["nginx"],
    )
    .code(64)
    .stdout_is("")
    .stderr_has("/lib/systemd/system/service.d/zzz.conf comes after any drop-in of hushpipe's");
}

#[test]
fn manifest_and_hushpipe_are_where_they_are_said_to_be() {
    let arguments = [
        "nginx",
        "--manifest",
        "/srv/%i.yaml",
        "--hushpipe",
        "/opt/h/hushpipe",
    ];
    systemd(image(), "wrap", &arguments)
        .success()
        .stdout_has("ExecStart=/opt/h/hushpipe run --manifest /srv/%i.yaml ");
    for arguments in [
        ["nginx", "--manifest", "a.yaml"],
        ["nginx", "--hushpipe", "hushpipe"],
    ] {
        systemd(image(), "wrap", &arguments)
            .code(64)
            .stderr_has("absolute");
    }
}

#[test]
fn units_that_cannot_be_wrapped_are_told_apart() {
    let hushpipe = image()
        .file("root/run/systemd/transient/run-u1.service", NGINX)
        .file(
            "root/lib/systemd/system/quiet.service",
            "[Service]\nType=oneshot\n",
        )
        .file(
            "root/lib/systemd/system/odd.service",
            "[Service]\nExecStart=/bin/a 'b\n",
        )
        .file(
            "root/lib/systemd/system/latin.service",
            b"[Service]\nExecStart=/bin/\xe9\n",
        )
        .file(
            "root/lib/systemd/system/ours.service",
            "[Service]\nExecStart=/bin/hushpipe run\n",
        )
        .directory("root/etc/systemd/system");
    let masked = hushpipe
        .place()
        .join("root/etc/systemd/system/masked.service");
    symlink("/dev/null", masked).unwrap();
    let mut output = systemd(hushpipe, "wrap", &["ngnix"])
        .code(64)
        .stderr_has("there is no unit ngnix.service; did you mean nginx.service?");
    for (unit, code, text) in [
        ("zzz", 64, "`systemctl list-unit-files` shows"),
        ("a/b", 64, "is not the name of a service"),
        ("nginx.socket", 64, "is not the name of a service"),
        (
            "masked",
            64,
            "is masked by /etc/systemd/system/masked.service",
        ),
        ("run-u1", 64, "was made by systemd-run"),
        ("quiet", 64, "has no ExecStart=: there is no program"),
        ("odd", 64, "a quote in it is not closed"),
        ("latin", 71, "cannot read /lib/systemd/system/latin.service"),
        ("ours", 64, "has hushpipe in front of its program already"),
    ] {
        output = systemd(output.again(), "wrap", &[unit])
            .code(code)
            .stderr_has(text)
            .stdout_is("");
    }
}

/// What systemd itself says about a unit and its drop-in.
#[test]
fn systemd_takes_what_was_written() {
    let unit = "[Unit]\nDescription=x\n[Service]\nType=simple\n\
                ExecStart=-/bin/echo %n '%h x' \"a  b\" $HOME ${HOME} \\x20 ; /bin/echo two\n";
    let unit = unit.replace("Type=simple", "Type=oneshot");
    let mut hushpipe = image().file("root/lib/systemd/system/echo.service", unit);
    for program in ["usr/bin/hushpipe", "usr/sbin/nginx", "bin/echo"] {
        let path = format!("root/{program}");
        hushpipe = hushpipe.file(&path, "#!/bin/sh\n").mode(&path, 0o755);
    }
    let output = systemd(hushpipe, "wrap", &["nginx", "--install"]).success();
    let output = systemd(output.again(), "wrap", &["echo", "--install"]).success();
    let root = format!("--root={}", output.place().join("root").display());
    for unit in ["nginx.service", "echo.service"] {
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--recursive-errors=no", "--man=no", &root, unit])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(!said.contains("50-hushpipe"), "{said}");
    }
}

#[test]
fn every_service_of_this_host_is_wrapped_or_refused_with_a_reason() {
    let mut names: Vec<String> = ["/usr/lib/systemd/system", "/etc/systemd/system"]
        .iter()
        .flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".service"))
        .collect();
    names.sort();
    names.dedup();
    let mut wrapped = 0;
    let mut hushpipe = Hushpipe::new();
    for name in &names {
        let output = hushpipe.args(["systemd", "wrap", name]).run();
        match output.status.code() {
            Some(0) => {
                assert!(output.stdout().contains("\nExecStart=\n"), "{name}");
                wrapped += 1;
            }
            Some(64) => assert!(output.stderr().starts_with("hushpipe: error: "), "{name}"),
            other => panic!("{name}: {other:?} {}", output.stderr()),
        }
        hushpipe = output.again();
    }
    assert!(wrapped > 5, "only {wrapped} of {names:?}");
}
