//! Sites that must not be used: nothing starts, and the message says what to do.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::{ORDINARY, check, host, named};
use crate::harness::{Hushpipe, is_long};

/// What is no site, and what is said of it. The schema refuses it as well, where it is YAML.
pub const BROKEN: &[(&str, &str)] = &[
    ("version: 2\n", "unknown version `2` of the site"),
    ("version: 1\npolcy: {}\n", "did you mean `policy`?"),
    (
        "version: 1\naudit: { sinks: [{}] }\n",
        "a sink has one kind",
    ),
    ("version: 1\npolicy: { directory: here }\n", "not absolute"),
    (
        "version: 1\npolicy: { mode: off }\n",
        "write one of enforce, observe",
    ),
    ("version: 1\nenvironment: [a]\n", "found a list"),
    ("environment: production\n", "the key `version` is missing"),
    ("version: 1\npolicy: {\n", "invalid YAML"),
    ("version: 1\nlabels: { '-': x }\n", "a label's name"),
];

#[test]
fn a_broken_site_is_shown_with_places_and_nothing_starts() {
    for (text, wanted) in BROKEN {
        for hushpipe in [named(text), host(text), host(text).through(&ORDINARY)] {
            let output = hushpipe.args(["run"]).run().code(78);
            let output = output.stderr_has(wanted).stderr_has("site.yaml:");
            output.stdout_is("");
        }
    }
    let all = check(named("version: 7\npolcy: {}\naudit: { requird: true }\n")).code(78);
    all.stderr_has("has 3 faults");
}

#[test]
fn what_the_environment_could_decide_is_refused() {
    let text = "version: 1\nenvironment: ${STAGE:-production}\n";
    let output = check(named(text).env("STAGE", "test")).code(78);
    output
        .stderr_has("a site has no variables")
        .stderr_has("site.yaml:2:14");
}

/// Prepares a site that is named, and gives what is said.
fn prepared(prepare: impl Fn(&Path), user: Option<u32>) -> String {
    let hushpipe = Hushpipe::new()
        .manifest(super::MANIFEST)
        .directory("d")
        .file("d/site.yaml", "version: 1\n")
        .mode("d/site.yaml", 0o644)
        .mode("hushpipe.yaml", 0o644)
        .env("HUSHPIPE_SITE", "{place}/d/site.yaml");
    prepare(&hushpipe.place().join("d/site.yaml"));
    let hushpipe = match user {
        Some(_) => hushpipe.through(&ORDINARY),
        None => hushpipe,
    };
    let output = hushpipe.args(["run"]).run().code(78);
    let output = output.stdout_is("");
    output.stderr()
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_site_that_others_can_change_is_refused() {
    for user in [None, Some(4242)] {
        let said = |wanted: &str, prepare: &dyn Fn(&Path)| {
            let said = prepared(prepare, user);
            assert!(said.contains(wanted), "{user:?} {wanted}: {said}");
        };
        said("others can write to", &|site| set(site, 0o666));
        said("others can write to", &|site| {
            set(site.parent().unwrap(), 0o777);
        });
        said("belongs to uid 99", &|site| {
            chown(site, Some(99), None).unwrap();
        });
        said("belongs to uid 99", &|site| {
            chown(site.parent().unwrap(), Some(99), None).unwrap();
        });
        said("the group 4243 can write", &|site| {
            chown(site, None, Some(4243)).unwrap();
            set(site, 0o664);
        });
    }
    // An ordinary user's own is that user's; root does not take it.
    let own = |site: &Path| chown(site, Some(4242), None).unwrap();
    let said = prepared(own, None);
    assert!(said.contains("belongs to uid 4242"), "{said}");
    assert!(said.contains("chown 0 "), "{said}");
    let hushpipe = super::named("version: 1\n").mode("hushpipe.yaml", 0o644);
    own(&hushpipe.place().join("site.yaml"));
    check(hushpipe.through(&ORDINARY)).success();
}

#[test]
fn the_hosts_site_is_roots_alone() {
    let inside = |prepare: &str, wanted: &str| {
        for ordinary in [false, true] {
            let hushpipe = Hushpipe::new()
                .manifest(super::MANIFEST)
                .mode("hushpipe.yaml", 0o644);
            let script = format!(
                "mkdir -p /etc/hushpipe && mount -t tmpfs -o mode=0755 none /etc/hushpipe && \
                 printf 'version: 1\\n' >/etc/hushpipe/site.yaml && {prepare} && exec \"$@\""
            );
            let hushpipe = hushpipe.through(&["unshare", "-m", "sh", "-c", &script, "sh"]);
            let hushpipe = if ordinary {
                hushpipe.through(&ORDINARY)
            } else {
                hushpipe
            };
            let output = hushpipe.args(["run"]).run().code(78);
            output.stdout_is("").stderr_has(wanted);
        }
    };
    let site = "/etc/hushpipe/site.yaml";
    // Also where it is the user's own who runs hushpipe.
    inside(&format!("chown 4242 {site}"), "belongs to uid 4242");
    inside("chown 4242 /etc/hushpipe", "belongs to uid 4242");
    inside(&format!("chmod 666 {site}"), "others can write to");
    inside("chmod 777 /etc/hushpipe", "others can write to");
    inside(
        &format!("rm {site}; ln -s gone {site}"),
        "a link that leads to nothing",
    );
    inside(
        &format!("rm {site}; mkfifo {site}"),
        "is a FIFO, not a regular file",
    );
    inside(&format!("rm {site}; mkdir {site}"), "not a regular file");
    inside(
        &format!("rm {site}; mknod {site} c 1 3"),
        "is a device, not a regular file",
    );
    inside(
        &format!("head -c 10000000 /dev/zero >{site}"),
        "larger than 1 MiB",
    );
    inside(&format!("printf '\\377' >{site}"), "the site is not UTF-8");
}

#[test]
fn a_link_of_root_to_a_file_of_root_is_followed() {
    let hushpipe = Hushpipe::new().manifest(super::MANIFEST);
    let hushpipe = hushpipe
        .file("real.yaml", "version: 1\nenvironment: linked\n")
        .env("HUSHPIPE_SITE", "{place}/site.yaml");
    symlink("real.yaml", hushpipe.place().join("site.yaml")).unwrap();
    check(hushpipe).success().stdout_has("linked");
}

#[test]
fn a_site_that_cannot_be_read_or_is_not_there_stops_the_launch() {
    let missing = named("version: 1\n").env("HUSHPIPE_SITE", "{place}/gone.yaml");
    check(missing)
        .code(78)
        .stderr_has("cannot open the site {place}/gone.yaml")
        .stderr_has("create it, or unset HUSHPIPE_SITE");
    let closed = |path: &str, mode: &str| {
        let hushpipe = Hushpipe::new()
            .manifest(super::MANIFEST)
            .mode("hushpipe.yaml", 0o644);
        let script = format!(
            "mkdir -p /etc/hushpipe && mount -t tmpfs -o mode=0755 none /etc/hushpipe && \
             printf 'version: 1\\n' >/etc/hushpipe/site.yaml && chmod {mode} {path} && exec \"$@\""
        );
        let hushpipe = hushpipe.through(&["unshare", "-m", "sh", "-c", &script, "sh"]);
        check(hushpipe.through(&ORDINARY))
            .code(78)
            .stderr_has("every user")
    };
    closed("/etc/hushpipe/site.yaml", "600");
    closed("/etc/hushpipe", "700").stderr_has("cannot tell whether this host has a site");
    let empty = named("version: 1\n").env("HUSHPIPE_SITE", "");
    check(empty).success();
}

#[test]
fn a_host_without_a_site_pays_for_one_call_that_fails() {
    if !is_long()
        && std::process::Command::new("strace")
            .arg("-V")
            .output()
            .is_err()
    {
        return; // strace(1) is not there
    }
    let hushpipe =
        Hushpipe::new()
            .manifest(super::MANIFEST)
            .through(&["strace", "-f", "-o", "{place}/trace"]);
    let output = hushpipe.args(["run"]).run().success();
    let trace = output.place().read("trace");
    let calls: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains("/etc/hushpipe"))
        .collect();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(calls[0].contains("ENOENT"), "{calls:?}");
    for of_facts in ["/proc/self/cgroup", "loginuid"] {
        assert!(!trace.contains(of_facts), "{of_facts}");
    }
}
