//! Who reaps whom the program leaves, and who ends with whom.

use std::sync::{Mutex, PoisonError};

use super::Case;
use super::inits::{Init, Subject};
use super::running::{Line, send};
use crate::harness::{children, deadline, is_alive, is_long, wait_within};

pub const CASES: &[Case] = &[
    Case::everywhere("orphans, wide", |subject| reaped(subject, "wide")),
    Case::everywhere("orphans, deep", |subject| reaped(subject, "deep")),
    Case::as_child("whom an orphan comes to", foster_parent),
    Case::everywhere("an orphan outlives the program", outlived),
    Case::as_child("the init is killed", killed),
    Case::as_child("the parent dies first", |subject| {
        parent_dies(subject, false)
    }),
    Case::as_child("the parent dies first, with a death signal", |subject| {
        parent_dies(subject, true)
    }),
];

/// How many orphans there are at the same time.
fn count() -> usize {
    if !is_long() {
        return 1000;
    }
    let limit = |file: &str| {
        let text = std::fs::read_to_string(file).ok();
        text.and_then(|text| text.trim().parse::<usize>().ok())
    };
    let limits = ["/proc/sys/kernel/pid_max", "/sys/fs/cgroup/pids.max"];
    let least = limits.into_iter().filter_map(limit).min();
    // Others run beside.
    least.map_or(10_000, |least| (least / 2).min(10_000))
}

/// Of that many there is room for those of one init.
static CROWDED: Mutex<()> = Mutex::new(());

fn reaped(subject: &Subject, how: &str) -> String {
    let count = count().to_string();
    let program = [
        "{probe}", "orphans", &count, how, "on", "TERM", "exit:3", "serve",
    ];
    let alone = is_long().then(|| CROWDED.lock().unwrap_or_else(PoisonError::into_inner));
    let mut started = subject.before(&program).start();
    let only = [started.program()];
    let patience = deadline() * if is_long() { 30 } else { 6 };
    if !matches!(started.line("ready", patience), Line::Is(_)) {
        return "no answer".to_owned();
    }
    let clean = wait_within(patience, || {
        (children(started.init()) == only).then_some(())
    });
    drop(alone);
    started.send(libc::SIGTERM);
    let end = started.end_or_never(subject.patience());
    match clean {
        Some(()) => format!("no zombie, {end}"),
        None => format!("zombies stay, {end}"),
    }
}

fn foster_parent(subject: &Subject) -> String {
    let started = subject
        .before(&["{probe}", "leave", "tell", "program"])
        .start();
    let line = started.expect("left");
    let orphan: i32 = line.trim_start_matches("left ").parse().expect("a number");
    started.expect("ready");
    let mine = children(started.init()).contains(&orphan);
    send(orphan, libc::SIGKILL);
    if mine { "the init" } else { "another" }.to_owned()
}

fn outlived(subject: &Subject) -> String {
    let program = ["{probe}", "leave", "on", "USR1", "exit:5", "serve"];
    let mut started = subject.before(&program).start();
    let (init, program) = (started.init(), started.program());
    let orphan = || children(init).into_iter().find(|pid| *pid != program);
    started.expect("left");
    started.expect("ready");
    // It is not the init's child where the init is no reaper of orphans.
    let orphan = orphan();
    started.send(libc::SIGUSR1);
    let end = started.end_or_never(deadline());
    let fate = match started.line("left got", subject.patience()) {
        Line::Is(line) if line.ends_with("got 15") => "the orphan gets TERM",
        Line::Is(_) => "the orphan gets another signal",
        Line::Ended => "the orphan is killed",
        Line::None => "the orphan stays",
    };
    if let Some(pid) = orphan {
        send(pid, libc::SIGKILL);
    }
    format!("{end}, {fate}")
}

fn killed(subject: &Subject) -> String {
    let started = subject.before(&["{probe}", "tell", "program"]).start();
    started.expect("ready");
    let program = started.program();
    started.send(libc::SIGKILL);
    if started.line("never", subject.patience()) == Line::Ended {
        return "the program is too".to_owned();
    }
    assert!(is_alive(program));
    "the program stays".to_owned()
}

/// The caller, a shell, is killed. What it asked for with PR_SET_PDEATHSIG of prctl(2), or the init
/// itself by its option, is a request to end.
fn parent_dies(subject: &Subject, death_signal: bool) -> String {
    let caller = "\"$@\" & echo init $!; wait";
    let asked = ["setpriv", "--pdeathsig", "TERM"];
    let asked = if death_signal && subject.init != Init::Tini {
        &asked[..]
    } else {
        &[]
    };
    let through = [&["sh", "-c", caller, "sh"], asked].concat();
    let mut setup = subject
        .before(&["{probe}", "tell", "program"])
        .through(&through);
    if death_signal {
        setup = setup.option(Init::Tini, &["-p", "SIGTERM"]);
    }
    let started = setup.start();
    let [line, _] = started.expect_both(["init", "ready"]);
    let init: i32 = line.trim_start_matches("init ").parse().expect("a number");
    send(started.outer(), libc::SIGKILL);
    if death_signal {
        return match started.line("got", subject.patience()) {
            Line::Is(line) => line,
            _ => "nothing happens".to_owned(),
        };
    }
    send(init, libc::SIGUSR1);
    match started.line("got 10", subject.patience()) {
        Line::Is(_) => "both go on".to_owned(),
        _ => "both have ended".to_owned(),
    }
}
