//! What goes to the program, to its group, as another signal, and not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Case;
use super::inits::{Init, Setup, Subject, To};
use super::running::{Line, Started, first_child, has_ended, is_stopped, send};
use crate::harness::wait_until;

/// A real-time signal that says that all before it were dealt with.
const MARK: i32 = 64;

const TERM: i32 = libc::SIGTERM;

pub const CASES: &[Case] = &[
    Case::everywhere("each signal is passed on", |subject| {
        each(subject, To::Program)
    }),
    Case::everywhere("each signal is passed on to the group", |subject| {
        each(subject, To::Group)
    }),
    Case::everywhere("each signal becomes USR1", |subject| {
        rewritten(subject, 10, To::Program)
    }),
    Case::everywhere("each signal becomes USR1 for the group", |subject| {
        rewritten(subject, 10, To::Group)
    }),
    Case::everywhere("each signal is dropped", |subject| {
        rewritten(subject, 0, To::Program)
    }),
    Case::everywhere("each signal is dropped for the group", |subject| {
        rewritten(subject, 0, To::Group)
    }),
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
    Case::everywhere("the program sends TERM to its init", |subject| {
        signals_its_init(subject, "trap 'exit 6' TERM; kill -TERM $PPID")
    }),
    Case::everywhere("the program sends USR1 to its init", |subject| {
        signals_its_init(subject, "trap 'exit 6' USR1; kill -USR1 $PPID")
    }),
    Case::everywhere("the program answers TERM with TERM to its init", answers),
];

/// 1 to 31 but for those that nobody can catch, and two real-time ones; TERM last, for it begins the
/// end.
fn numbers() -> Vec<i32> {
    let others = [libc::SIGKILL, libc::SIGSTOP, TERM];
    let standard = (1..=31).filter(|number| !others.contains(number));
    standard.chain([34, 63, TERM]).collect()
}

/// An init with a program, and perhaps another process of its group, that say what they get.
struct Told {
    started: Started,
    /// How many they are.
    members: usize,
}

impl Told {
    fn start(setup: Setup, to: To) -> Self {
        let members = if to == To::Group { 2 } else { 1 };
        let started = setup.start();
        for _ in 0..members {
            started.expect("ready");
        }
        Self { started, members }
    }

    /// What became of a signal that was sent to the init. The mark, with the highest number, comes
    /// after it.
    fn outcome(&self, number: i32, becomes: i32) -> &'static str {
        let (init, program) = (self.started.init(), self.started.program());
        send(init, number);
        send(init, MARK);
        let (mut passed_on, mut marked) = (0, 0);
        let seen = wait_until(|| {
            match self.started.line("got", Duration::from_millis(20)) {
                Line::Is(line) if line.ends_with(&format!("got {becomes}")) => passed_on += 1,
                Line::Is(line) if line.ends_with(&format!("got {MARK}")) => marked += 1,
                Line::Is(line) => panic!("{line}"),
                Line::None if is_stopped(init) || is_stopped(program) => return Some("stops it"),
                Line::None if !has_ended(init) => {}
                Line::Ended | Line::None => return Some("ends it"),
            }
            (marked == self.members).then_some(match passed_on {
                0 => "not passed on",
                all if all == self.members => "passed on",
                _ => "passed on to some",
            })
        });
        seen.unwrap_or("no answer")
    }
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

/// The program, and for a group another process beside it.
const BOTH: [&str; 4] = [
    "sh",
    "-c",
    "\"$0\" tell child & exec \"$0\" tell program",
    "{probe}",
];

fn put_each(
    subject: &Subject,
    numbers: &[i32],
    becomes: Option<i32>,
    to: To,
) -> BTreeMap<&'static str, Vec<i32>> {
    let start = || {
        let mut setup = match to {
            To::Program => subject.before(&["{probe}", "tell", "program"]),
            To::Group => subject.before(&BOTH).to(To::Group),
        };
        if let Some(becomes) = becomes {
            setup = setup.rewrite(numbers.iter().map(|number| (*number, becomes)));
        }
        Told::start(setup, to)
    };
    let mut outcomes = BTreeMap::<&'static str, Vec<i32>>::new();
    let mut told = start();
    for &number in numbers {
        let seen = told.outcome(number, becomes.unwrap_or(number));
        if matches!(seen, "ends it" | "stops it" | "no answer") {
            told = start();
        }
        outcomes.entry(seen).or_default().push(number);
    }
    outcomes
}

fn each(subject: &Subject, to: To) -> String {
    summary(put_each(subject, &numbers(), None, to))
}

/// SIGCHLD is an init's own. dumb-init does not rewrite real-time signals.
fn rewritten(subject: &Subject, becomes: i32, to: To) -> String {
    if subject.init == Init::Tini {
        return "has no way".to_owned();
    }
    let mut numbers = numbers();
    numbers.retain(|number| *number != libc::SIGCHLD && *number != becomes);
    let (numbers, others) = numbers
        .into_iter()
        .partition::<Vec<i32>, _>(|number| *number <= 31 || subject.init != Init::Dumb);
    let mut outcomes = put_each(subject, &numbers, Some(becomes), to);
    if !others.is_empty() {
        outcomes.insert("has no way", others);
    }
    summary(outcomes)
}

fn signals_its_init(subject: &Subject, text: &str) -> String {
    let text = format!("{text}; while :; do sleep 0.01; done");
    let mut started = subject.before(&["sh", "-c", &text]).start();
    started.end_or_never(subject.patience())
}

/// It is not to be killed for it, but to end in its own time.
fn answers(subject: &Subject) -> String {
    let text = "trap 'trap \"\" TERM; kill -TERM $PPID; sleep 0.2; exit 6' TERM; echo ready; \
        while :; do sleep 0.01; done";
    let mut started = subject.before(&["sh", "-c", text]).start();
    started.expect("ready");
    started.send(TERM);
    started.end_or_never(subject.patience())
}

fn whom(subject: &Subject, to: To) -> String {
    let started = subject.before(&BOTH).to(to).start();
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
