//! How the program's end is told.

use super::Case;
use super::inits::{Position, Subject};
use crate::harness::is_long;

pub const CASES: &[Case] = &[
    Case::everywhere("exit codes 0 to 255", codes),
    Case::everywhere("death by a signal", deaths),
    Case::everywhere("a program that is not there", |subject| {
        alone(subject, &["/nonexistent/program"])
    }),
    Case::everywhere("a program that cannot be executed", |subject| {
        alone(subject, &["/etc/hostname"])
    }),
];

fn alone(subject: &Subject, program: &[&str]) -> String {
    let mut started = subject.before(program).start();
    started.end_or_never(subject.patience())
}

/// As PID 1, where a start takes longest, some of them will do.
fn codes(subject: &Subject) -> String {
    let all = subject.position == Position::Child || is_long();
    let step = if all { 1 } else { 15 };
    let told =
        |code: &i32| alone(subject, &["sh", "-c", &format!("exit {code}")]) == code.to_string();
    let wrong: Vec<i32> = (0..=255).step_by(step).filter(|code| !told(code)).collect();
    match wrong[..] {
        [] => "all exact".to_owned(),
        _ => format!("wrong: {wrong:?}"),
    }
}

/// All that end a program which does not handle them; not those that stop it, or do nothing.
fn lethal() -> impl Iterator<Item = i32> {
    let others = [
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    (1..=31)
        .filter(move |n| !others.contains(n))
        .chain([34, 64])
}

fn deaths(subject: &Subject) -> String {
    let told = |number: &i32| {
        let end = alone(subject, &["sh", "-c", &format!("kill -{number} $$")]);
        end == (128 + number).to_string()
    };
    let wrong: Vec<i32> = lethal().filter(|number| !told(number)).collect();
    match wrong[..] {
        [] => "128+N for all".to_owned(),
        _ => format!("wrong: {wrong:?}"),
    }
}
