//! `isolation: auto`: what it takes where, and what it says of that.

use super::{Memory, VALUE, launch, shell};
use crate::harness::Hushpipe;

/// Root without CAP_SYS_ADMIN: in a container.
const CONTAINER: [&str; 3] = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"];

/// Another user, on a host that allows no user namespaces.
pub const NO_NAMESPACES: [&str; 9] = [
    "unshare",
    "--user",
    "--map-user=1000",
    "--map-group=1000",
    "--keep-caps",
    "/bin/sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all \
     --inh-caps=-all --bounding-set=-all \"$@\"",
    "sh",
];

fn auto(path: &str) -> Hushpipe {
    launch(&format!(
        "deliver:\n  - {{ file: '{path}/s/token', secret: token }}\n"
    ))
}

#[test]
fn private_is_taken_where_it_can_be() {
    let memory = Memory::new();
    for path in ["{place}", &memory.fill("{memory}")] {
        auto(path)
            .args(["--", "{probe}", "cat", &format!("{path}/s/token")])
            .run()
            .success()
            .stdout_is(VALUE)
            .stderr_has("isolation: private\n");
    }
}

#[test]
fn shared_is_taken_where_private_is_refused_and_why_is_said() {
    let hosts = [
        (&CONTAINER[..], "private files need CAP_SYS_ADMIN here"),
        (&NO_NAMESPACES[..], "user namespaces may be turned off here"),
    ];
    for (host, reason) in hosts {
        let memory = Memory::new();
        let output = auto(&memory.fill("{memory}"))
            .through(host)
            .args(shell(
                &memory.fill("cat {memory}/s/token; stat -c %a {memory}/s"),
            ))
            .run()
            .success()
            .stdout_is(&format!("{VALUE}700\n"))
            .stderr_has("isolation: shared, because ");
        output.stderr_has(reason);
        assert!(memory.is_empty());
    }
}

#[test]
fn a_reason_is_said_without_being_asked() {
    let memory = Memory::new();
    let hushpipe = auto(&memory.fill("{memory}")).through(&CONTAINER);
    let output = hushpipe.args(["-q", "--", "{probe}", "say", "x"]).run();
    // -v and -q exclude each other.
    output.code(64);
    let deliver = memory.fill("deliver:\n  - { file: '{memory}/s/token', secret: token }\n");
    let hushpipe = launch(&deliver).through(&CONTAINER);
    let output = hushpipe
        .args(["--log-format", "json", "--", "{probe}", "say", "x"])
        .run();
    let said = output.success().stderr();
    let event = said
        .lines()
        .find(|line| line.contains("\"isolation\""))
        .unwrap();
    assert!(event.contains("\"isolation\":\"shared\""), "{event}");
    assert!(event.contains("CAP_SYS_ADMIN"), "{event}");
}

#[test]
fn where_neither_is_possible_both_reasons_are_said() {
    for host in [&CONTAINER[..], &NO_NAMESPACES[..]] {
        let output = auto("{place}")
            .through(host)
            .args(["--", "{probe}", "say", "started"])
            .run()
            .code(71)
            .stdout_is("")
            .stderr_has("private")
            .stderr_has("/dev/shm");
        assert!(!output.place().join("s").exists());
        assert!(!output.stderr().contains("`isolation: auto` takes"));
    }
}

#[test]
fn private_alone_is_refused_with_what_to_do() {
    for host in [&CONTAINER[..], &NO_NAMESPACES[..]] {
        let memory = Memory::new();
        launch(&memory.fill(
            "deliver:\n  - { file: '{memory}/s/token', secret: token }\nisolation: private\n",
        ))
        .through(host)
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has("isolation: private is not possible here")
        .stderr_has("hushpipe doctor");
        assert!(memory.is_empty());
    }
}

#[test]
fn exec_mode_has_no_way_but_private() {
    let memory = Memory::new();
    auto(&memory.fill("{memory}"))
        .through(&CONTAINER)
        .args(["--exec", "--", "{probe}", "say", "started"])
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has("exec");
    assert!(memory.is_empty());
}

#[test]
fn files_of_others_are_no_way_for_an_unprivileged_user() {
    let memory = Memory::given_to(1000);
    for isolation in ["auto", "private", "shared"] {
        launch(&memory.fill(&format!(
            "deliver:\n  - {{ file: '{{memory}}/s/token', secret: token, owner: '1001' }}\n\
             isolation: {isolation}\n",
        )))
        .user(1000)
        .args(["--", "{probe}", "say", "started"])
        .run()
        .code(71)
        .stdout_is("")
        .stderr_has(&memory.fill("{memory}/s"));
        assert!(memory.is_empty());
    }
}
