//! While values are in use: asked for, fed into a pipe, armed in a FIFO. What waits lies in protected
//! memory: that of memfd_secret(2), and masked where the kernel refuses it.

use std::fs;
use std::time::Duration;

use super::canary::Canary;
use super::deliveries::{COMMAND, assert_clean, canaries};
use super::stocked::{Kind, Stocked, binaries};
use crate::harness::{
    Fake, FakeAnswers, FaultProxy, Hushpipe, Running, Wire, children, wait_until,
};

/// Where the kernel gives no protected memory: through the probe.
const REFUSED: [&str; 3] = ["{probe}", "refuse", "memfd_secret"];

/// What hushpipe's values lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pages {
    Secret,
    /// Masked, and locked.
    Masked,
    /// Masked; RLIMIT_MEMLOCK refuses the lock.
    Unlocked,
}

impl Pages {
    fn through(self) -> Vec<&'static str> {
        match self {
            Self::Secret => Vec::new(),
            Self::Masked => REFUSED.to_vec(),
            Self::Unlocked => [&["prlimit", "--memlock=0"], &REFUSED[..]].concat(),
        }
    }

    /// Fails when hushpipe has other pages than these. It gets them with its first values.
    fn assert_used(self, running: &Running) {
        let mut smaps = String::new();
        let masked = |smaps: &str| {
            let flags = smaps.lines().filter(|line| line.starts_with("VmFlags:"));
            let masked = flags.filter(|line| line.contains(" wf"));
            masked.map(str::to_owned).collect::<Vec<_>>()
        };
        let used = wait_until(|| {
            smaps = fs::read_to_string(format!("/proc/{}/smaps", running.pid())).unwrap();
            let secret = self == Self::Secret;
            let is_so = smaps.contains("/secretmem") == secret;
            (is_so && masked(&smaps).is_empty() == secret).then_some(())
        });
        assert!(used.is_some(), "{self:?}: {smaps}");
        for flags in masked(&smaps) {
            // Not dumped; locked where that is allowed.
            assert!(flags.contains(" dd"), "{flags}");
            assert_eq!(flags.contains(" lo"), self == Self::Masked, "{flags}");
        }
    }
}

const HELD: &[&str] = &["long", "fifo", "file"];

/// The program reads nothing of the pipe and of the FIFO.
const DELIVER: &str = r#"
deliver:
  - { fd: 5, as: pipe, secret: long@ }
  - { fifo: "{place}/run/fifo", secret: fifo@ }
  - { file: "{place}/run/file", secret: file@ }
isolation: private
run:
  command: ["{probe}", on, HUP, "digest:{place}/run/file", on, TERM, "exit:0", serve]
on_rotate: { signal: HUP, settle: 0s, verify: { command: [test, "!", -e, "{place}/bad"], within: 3s } }
"#;

/// A pipe that is full, a FIFO that nobody opened, and what is kept for a rollback.
fn waits_out_of_sight(pages: Pages) {
    for binary in binaries() {
        let mut all = canaries(HELD);
        let control = Canary::new("control");
        let hushpipe = Hushpipe::new().directory("run");
        let hushpipe = hushpipe.env("CONTROL", control.value());
        let (stocked, hushpipe) = Stocked::new(Kind::Directory, hushpipe, &all);
        let text = stocked.manifest(hushpipe.place(), HELD, DELIVER);
        let hushpipe = match pages {
            // Root locks as much as it likes.
            Pages::Unlocked => hushpipe.user(1000),
            _ => hushpipe,
        };
        let hushpipe = hushpipe.manifest(&text).binary(binary.as_deref());
        let hushpipe = hushpipe.through(&pages.through());
        let running = hushpipe.args(["run", "-vvv"]).spawn();
        running.wait_for_line("ready");
        let check = |all: &[Canary]| {
            assert_clean(&running, &control, &all.iter().collect::<Vec<_>>());
            pages.assert_used(&running);
        };
        check(&all);
        if pages == Pages::Unlocked {
            running.wait_for_stderr("RLIMIT_MEMLOCK is too low");
            // The files of the store are root's.
            running.stop().success();
            continue;
        }
        stocked.renew(&running, "file", &mut all);
        running.wait_for_stderr("generation 2 is in place");
        check(&all);
        running.place().write("bad", "");
        stocked.renew(&running, "fifo", &mut all);
        running.wait_for_stderr("rolled back");
        check(&all);
        running.stop().success();
    }
}

#[test]
fn what_waits_is_in_secret_memory() {
    waits_out_of_sight(Pages::Secret);
}

#[test]
fn what_waits_is_masked_where_there_is_no_secret_memory() {
    waits_out_of_sight(Pages::Masked);
}

#[test]
fn what_waits_is_masked_where_nothing_can_be_locked() {
    waits_out_of_sight(Pages::Unlocked);
}

/// Prints a value; the one of `slow` when the test says so.
const SCRIPT: &str = "#!/bin/sh\n[ ${1##*/} != slow ] || until [ -e $2 ]; do sleep 0.01; done\n\
                      cat $1\n: >$1.printed\n";

/// Values that are there while another one is awaited.
fn waits_for_another(pages: Pages) {
    let names = ["quick", "other", "slow"];
    let given = canaries(&names);
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new().env("CONTROL", control.value());
    let (stocked, hushpipe) = Stocked::new(Kind::Command, hushpipe, &given);
    let script =
        "{ type: command, run: [\"{place}/script\", \"{place}/values/{key}\", \"{place}/go\"] }";
    let deliver = "deliver:\n  - { fd: 3, as: memfd, content: \"{{ quick }}{{ other }}{{ slow }}\" }\n\
                   run: { command: [\"{probe}\", digest, \"3\", on, TERM, \"exit:0\", serve] }\n";
    let text = stocked.manifest(hushpipe.place(), &names, deliver);
    let text = text.replace(COMMAND, script);
    let hushpipe = hushpipe.file("script", SCRIPT).mode("script", 0o755);
    let hushpipe = hushpipe.manifest(&text).through(&pages.through());
    let running = hushpipe.args(["run", "-vvv"]).spawn();
    // The others' commands have ended, and hushpipe knows it.
    running.until("one command is left", || {
        let printed = |name: &str| {
            running
                .place()
                .join(&format!("values/{name}.printed"))
                .exists()
        };
        let one = children(running.pid()).len() == 1;
        (printed("quick") && printed("other") && one).then_some(())
    });
    assert_clean(&running, &control, &given.iter().collect::<Vec<_>>());
    pages.assert_used(&running);
    running.place().write("go", "");
    let whole: String = given.iter().map(Canary::value).collect();
    assert_eq!(running.wait_for_line("digest"), super::digest(&whole));
    running.wait_for_line("ready");
    running.stop().success();
}

#[test]
fn values_that_wait_for_another_are_in_secret_memory() {
    waits_for_another(Pages::Secret);
}

#[test]
fn values_that_wait_for_another_are_masked_where_there_is_no_secret_memory() {
    waits_for_another(Pages::Masked);
}

/// Prints a value in two pieces, on both of its outputs, and ends when the test says so.
const UNFINISHED: &str = "#!/bin/sh\nhead -c 9 $1\ncat $1 >&2\n: >$1.begun\nsleep 0.2\ntail -c +10 $1\n\
                          : >$1.printed\nuntil [ -e $2 ]; do sleep 0.01; done\n";

/// What a command has printed that has not ended.
fn waits_for_its_command(pages: Pages) {
    let given = canaries(&["unfinished"]);
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new().env("CONTROL", control.value());
    let (stocked, hushpipe) = Stocked::new(Kind::Command, hushpipe, &given);
    let script =
        "{ type: command, run: [\"{place}/script\", \"{place}/values/{key}\", \"{place}/go\"] }";
    let deliver = "deliver:\n  - { fd: 3, as: memfd, secret: unfinished }\n\
                   run: { command: [\"{probe}\", digest, \"3\", on, TERM, \"exit:0\", serve] }\n";
    let text = stocked.manifest(hushpipe.place(), &["unfinished"], deliver);
    let text = text.replace(COMMAND, script);
    let hushpipe = hushpipe.file("script", UNFINISHED).mode("script", 0o755);
    let hushpipe = hushpipe.manifest(&text).through(&pages.through());
    let running = hushpipe.args(["run", "-vvv"]).spawn();
    for state in ["begun", "printed"] {
        let file = running.place().join(&format!("values/unfinished.{state}"));
        running.until(state, || file.exists().then_some(()));
        pages.assert_used(&running);
        assert_clean(&running, &control, &[&given[0]]);
    }
    running.place().write("go", "");
    let digest = super::digest(&given[0].value());
    assert_eq!(running.wait_for_line("digest"), digest);
    running.wait_for_line("ready");
    running.stop().success();
}

#[test]
fn what_a_command_printed_before_its_end_is_in_secret_memory() {
    waits_for_its_command(Pages::Secret);
}

#[test]
fn what_a_command_printed_before_its_end_is_masked_where_there_is_no_secret_memory() {
    waits_for_its_command(Pages::Masked);
}

/// A store that is quick, and one that does not answer.
#[test]
fn values_that_wait_for_another_store_are_out_of_sight() {
    let given = canaries(&["quick", "slow"]);
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new().env("CONTROL", control.value());
    let hushpipe = hushpipe.file("values/quick", given[0].value());
    let (stocked, hushpipe) = Stocked::new(Kind::Vault, hushpipe, &given[1..]);
    let proxy = FaultProxy::start(stocked.bao().port());
    let deliver = "deliver:\n  - { fd: 3, as: memfd, content: \"{{ quick }}{{ slow@ }}\" }\n\
                   run: { command: [\"{probe}\", digest, \"3\", on, TERM, \"exit:0\", serve] }\n";
    let text = stocked.manifest(hushpipe.place(), &["slow"], deliver);
    let text = text.replace(&stocked.bao().address(), &proxy.address()).replace(
        "secrets:\n",
        "  dir: { type: directory, path: \"{place}/values\" }\nsecrets:\n  quick: { store: dir, key: quick }\n",
    );
    proxy.set(Wire::BlackHole);
    let running = hushpipe.manifest(&text).args(["run", "-vvv"]).spawn();
    running.wait_for_stderr("store it has not answered");
    assert_clean(&running, &control, &[&given[0]]);
    proxy.set(Wire::Good);
    let whole = given[0].value() + &given[1].value();
    assert_eq!(running.wait_for_line("digest"), super::digest(&whole));
    running.wait_for_line("ready");
    assert_clean(&running, &control, &given.iter().collect::<Vec<_>>());
    running.stop().success();
}

/// In exec mode the login is given back before hushpipe becomes the program.
#[test]
fn values_that_wait_for_a_logout_are_out_of_sight() {
    let given = canaries(&["file", "pipe"]);
    let control = Canary::new("control");
    let hushpipe = Hushpipe::new().directory("run");
    let hushpipe = hushpipe.env("CONTROL", control.value());
    let (stocked, hushpipe) = Stocked::new(Kind::Vault, hushpipe, &given);
    let fake = FakeAnswers::before(stocked.bao().plain_port());
    // Longer than hushpipe waits for it.
    let logout = "/v1/auth/token/revoke-self";
    fake.answer(logout, Fake::Late(Duration::from_mins(1)));
    let deliver = "deliver:\n  - { file: \"{place}/run/file\", secret: file@ }\n  \
                   - { fd: 4, as: pipe, secret: pipe@ }\nisolation: private\nmode: exec\n\
                   run: { command: [\"{probe}\", digest, \"4\", on, TERM, \"exit:0\", serve] }\n";
    let text = stocked.manifest(hushpipe.place(), &["file", "pipe"], deliver);
    let text = text.replace(&stocked.bao().address(), &fake.address());
    let running = hushpipe.manifest(&text).args(["run", "-vvv"]).spawn();
    running.until("it logs out", || (fake.count(logout) > 0).then_some(()));
    assert_clean(&running, &control, &given.iter().collect::<Vec<_>>());
    let exe = fs::read_link(format!("/proc/{}/exe", running.pid())).unwrap();
    assert!(
        exe.ends_with("bin/hushpipe"),
        "it is over: {}",
        exe.display()
    );
    assert_eq!(
        running.wait_for_line("digest"),
        super::digest(&given[1].value())
    );
    running.wait_for_line("ready");
    running.stop().success();
}
