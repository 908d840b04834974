//! What goes to the program, to its group, as another signal, and not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Case;
use super::inits::{Init, Subject, To};
use super::running::{Line, Started, first_child, has_ended, is_stopped, send};
use crate::harness::wait_until;

/// A real-time signal that says that all before it were dealt with.
const MARK: i32 = 64;

const TERM: i32 = libc::SIGTERM;

pub const CASES: &[Case] = &[
    Case::everywhere("each signal is passed on", each),
    Case::everywhere("each signal becomes USR1", |subject| rewritten(subject, 10)),
    Case::everywhere("each signal is dropped", |subject| rewritten(subject, 0)),
    Case::everywhere("a signal for the program alone", |subject| {
        whom(subject, To::Program)
    }),
    Case::everywhere("a signal for its group", |subject| whom(subject, To::Group)),
    Case::everywhere("the program ignores TERM", ignores_term),
    Case::everywhere("the program stops itself, then TERM", |subject| {
        stops_itself(subject, TERM)
    }),
    Case::everywhere("the program stops itself, then CONT", |subject| {
        stops_itself(subject, libc::SIGCONT)
    }),
];

/// 1 to 31 but for those that nobody can catch, and two real-time ones; TERM last, for it begins the
/// end.
fn numbers() -> Vec<i32> {
    let others = [libc::SIGKILL, libc::SIGSTOP, TERM];
    let standard = (1..=31).filter(|number| !others.contains(number));
    standard.chain([34, 63, TERM]).collect()
}

/// What became of a signal that was sent to the init. The mark, with the highest number, comes after.
fn outcome(started: &Started, number: i32, becomes: i32) -> &'static str {
    let (init, program) = (started.init(), started.program());
    send(init, number);
    send(init, MARK);
    let mut passed_on = false;
    let seen = wait_until(|| {
        match started.line("got", Duration::from_millis(20)) {
            Line::Is(line) if line.ends_with(&format!("got {becomes}")) => passed_on = true,
            Line::Is(line) if line.ends_with(&format!("got {MARK}")) => {
                return Some(if passed_on {
                    "passed on"
                } else {
                    "not passed on"
                });
            }
            Line::Is(line) => panic!("{line}"),
            Line::None if is_stopped(init) || is_stopped(program) => return Some("stops it"),
            Line::None if !has_ended(init) => {}
            Line::Ended | Line::None => return Some("ends it"),
        }
        None
    });
    seen.unwrap_or("no answer")
}

/// What happens to most of them, then what to the others: `passed on; stops it: 20 21 22`.
fn summary(outcomes: BTreeMap<&'static str, Vec<i32>>) -> String {
    let mut outcomes: Vec<_> = outcomes.into_iter().collect();
    outcomes.sort_by_key(|(_, numbers)| std::cmp::Reverse(numbers.len()));
    let words = outcomes
        .into_iter()
        .enumerate()
        .map(|(at, (what, numbers))| {
            if at == 0 {
                return what.to_owned();
            }
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            format!("{what}: {}", numbers.join(" "))
        });
    words.collect::<Vec<_>>().join("; ")
}

fn put_each(subject: &Subject, numbers: &[i32], becomes: Option<i32>) -> String {
    let start = || {
        let mut setup = subject.before(&["{probe}", "tell", "program"]);
        if let Some(becomes) = becomes {
            setup = setup.rewrite(numbers.iter().map(|number| (*number, becomes)));
        }
        let started = setup.start();
        started.expect("ready");
        started
    };
    let mut outcomes = BTreeMap::<&'static str, Vec<i32>>::new();
    let mut started = start();
    for &number in numbers {
        let seen = outcome(&started, number, becomes.unwrap_or(number));
        if matches!(seen, "ends it" | "stops it" | "no answer") {
            started = start();
        }
        outcomes.entry(seen).or_default().push(number);
    }
    summary(outcomes)
}

fn each(subject: &Subject) -> String {
    put_each(subject, &numbers(), None)
}

/// SIGCHLD is an init's own.
fn rewritten(subject: &Subject, becomes: i32) -> String {
    if subject.init == Init::Tini {
        return "has no way".to_owned();
    }
    let mut numbers = numbers();
    numbers.retain(|number| *number <= 31 && *number != libc::SIGCHLD && *number != becomes);
    put_each(subject, &numbers, Some(becomes))
}

fn whom(subject: &Subject, to: To) -> String {
    let text = "\"$0\" tell child & exec \"$0\" tell program";
    let setup = subject.before(&["sh", "-c", text, "{probe}"]).to(to);
    let started = setup.start();
    started.expect("ready");
    started.expect("ready");
    let child = first_child(started.program());
    started.send(libc::SIGHUP);
    let first = started.expect("got 1");
    if first.starts_with("program") {
        // Straight to the child, which takes signals with lower numbers first.
        send(child, MARK);
    }
    match (first.as_str(), started.expect("got").as_str()) {
        ("program got 1", "child got 1") | ("child got 1", "program got 1") => "both get it",
        _ => "the program gets it",
    }
    .to_owned()
}

fn ignores_term(subject: &Subject) -> String {
    let setup = subject.before(&["{probe}", "tell", "program"]);
    let mut started = setup.stop_within("100ms").start();
    started.expect("ready");
    started.send(TERM);
    started.expect("got 15");
    started.end_or_never(subject.patience())
}

fn stops_itself(subject: &Subject, number: i32) -> String {
    let text = "trap 'exit 6' TERM; kill -STOP $$; exit 7";
    let mut started = subject.before(&["sh", "-c", text]).start();
    let program = started.program();
    wait_until(|| is_stopped(program).then_some(())).expect("it stops");
    started.send(number);
    started.end_or_never(subject.patience())
}
