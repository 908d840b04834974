//! What the caller ignored, blocked or closed: the program is to have it so, as without an init.

use std::collections::BTreeMap;

use super::Case;
use super::inits::Subject;
use super::running::Line;

pub const CASES: &[Case] = &[
    Case::everywhere("the caller ignores CHLD", ignores_children),
    Case::everywhere("the caller ignores CHLD: the program", |subject| {
        set(subject, &["env", "--ignore-signal=CHLD"], "SigIgn")
    }),
    Case::everywhere("the caller ignores HUP and USR1", |subject| {
        set(subject, &["env", "--ignore-signal=HUP,USR1"], "SigIgn")
    }),
    Case::everywhere("the caller blocks USR2 and 40", |subject| {
        set(subject, &["env", "--block-signal=USR2,40"], "SigBlk")
    }),
    Case::everywhere("the caller sets nothing", |subject| {
        let ignored = set(subject, &[], "SigIgn");
        format!("ignores {ignored}, blocks {}", set(subject, &[], "SigBlk"))
    }),
    Case::as_child("nohup, then HUP", survives_nohup),
    Case::everywhere("standard input closed", |subject| {
        descriptors(subject, "exec \"$@\" <&-", &["0", "1", "2"])
    }),
    Case::everywhere("standard input and error closed", |subject| {
        descriptors(subject, "exec \"$@\" <&- 2>&-", &["0", "1", "2"])
    }),
    Case::everywhere("a descriptor that the caller left open", |subject| {
        descriptors(subject, "exec \"$@\" 9</etc", &["9"])
    }),
];

fn ignores_children(subject: &Subject) -> String {
    let setup = subject.before(&["sh", "-c", "exit 7"]);
    let mut started = setup.through(&["env", "--ignore-signal=CHLD"]).start();
    started.end_or_never(subject.patience())
}

/// A set of signals in proc_pid_status(5), as numbers.
fn set(subject: &Subject, through: &[&str], key: &str) -> String {
    let setup = subject.before(&["{probe}", "status", key]);
    let line = setup.through(through).start().expect(key);
    let hex = line.rsplit('\t').next().unwrap_or_default();
    let bits = u64::from_str_radix(hex, 16).expect("a hexadecimal number");
    let numbers = (1..=64).filter(|number| bits >> (number - 1) & 1 == 1);
    // The C library's own, which its posix_spawn(3) leaves ignored.
    let numbers = numbers.filter(|number| ![32, 33].contains(number));
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    if numbers.is_empty() {
        return "none".to_owned();
    }
    numbers.join(" ")
}

fn survives_nohup(subject: &Subject) -> String {
    let program = [
        "sh",
        "-c",
        "trap 'echo still there' USR1; echo ready; while :; do sleep 0.01; done",
    ];
    let mut started = subject.before(&program).through(&["nohup"]).start();
    started.expect("ready");
    started.send(libc::SIGHUP);
    started.send(libc::SIGUSR1);
    match started.line("still there", subject.patience()) {
        Line::Is(_) => "both go on".to_owned(),
        _ => started.end_or_never(subject.patience()),
    }
}

/// What the program has at some descriptors.
fn descriptors(subject: &Subject, how: &str, numbers: &[&str]) -> String {
    let setup = subject.before(&["{probe}", "fds", "say", "end"]);
    let started = setup.through(&["sh", "-c", how, "sh"]).start();
    let mut open = BTreeMap::new();
    loop {
        match started.line("", subject.patience()) {
            Line::Is(line) if line == "end" => break,
            Line::Is(line) => {
                let (number, target) = line.split_once(' ').expect("number and target");
                let target = target.split(':').next().unwrap_or_default().to_owned();
                open.insert(number.to_owned(), target);
            }
            Line::None | Line::Ended => return "the program is not started".to_owned(),
        }
    }
    let found = |number: &&str| open.get(*number).cloned().unwrap_or("closed".to_owned());
    numbers.iter().map(found).collect::<Vec<_>>().join(", ")
}
