//! Many signals while many children end.

use super::Case;
use super::inits::{Subject, is_long};
use super::running::{Line, first_child, send};
use crate::harness::{deadline, wait_until};

pub const CASES: &[Case] = &[
    Case::everywhere("signals one by one while 1,000 children end", spaced),
    Case::everywhere(
        "real-time signals without a pause while 1,000 children end",
        queued,
    ),
    Case::everywhere(
        "standard signals without a pause while 1,000 children end",
        merged,
    ),
    Case::as_pid_1("a signal when the program's number is another's", reused),
];

/// How many signals.
fn signals() -> u32 {
    if is_long() { 100_000 } else { 10_000 }
}

const BUSY: [&str; 5] = ["{probe}", "beside", "1000", "tell", "program"];

fn spaced(subject: &Subject) -> String {
    let numbers = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
    ];
    let started = subject.before(&BUSY).start();
    started.expect("ready");
    let init = started.init();
    for number in numbers.into_iter().cycle().take(signals() as usize) {
        send(init, number);
        if !matches!(
            started.line(&format!("got {number}"), deadline()),
            Line::Is(_)
        ) {
            return format!("lost: {number}");
        }
    }
    "none lost".to_owned()
}

/// They queue up: each one sent is one received.
fn queued(subject: &Subject) -> String {
    let started = subject.before(&BUSY).start();
    started.expect("ready");
    let init = started.init();
    let mut came = 0;
    // No more at a time than the kernel queues for one user.
    for _ in 0..signals() / 500 {
        (0..500).for_each(|_| send(init, 34));
        let answers = (0..500).map(|_| started.line("got 34", deadline()));
        came += answers.filter(|line| matches!(line, Line::Is(_))).count();
    }
    format!("{} lost", signals() as usize - came)
}

/// Equal ones may become one on the way; the last of each comes, and the init is none the worse.
fn merged(subject: &Subject) -> String {
    let mut started = subject.before(&BUSY).start();
    let (init, program) = (started.init(), started.program());
    started.expect("ready");
    let numbers = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGALRM,
    ];
    for number in numbers.into_iter().cycle().take(signals() as usize) {
        send(init, number);
    }
    send(init, 40);
    if !matches!(started.line("got 40", deadline()), Line::Is(_)) {
        return "lost the last".to_owned();
    }
    let clean = wait_until(|| (crate::harness::children(init) == [program]).then_some(()));
    send(program, libc::SIGKILL);
    let end = started.end_or_never(deadline());
    let reaped = if clean.is_some() {
        "no zombie"
    } else {
        "zombies"
    };
    format!("the last comes, {reaped}, {end}")
}

/// The program ends; an orphan that ignores TERM sees to it that the next process gets its number,
/// by ns_last_pid of proc_sys_kernel(5). A signal to the init must not go there.
fn reused(subject: &Subject) -> String {
    let orphan = "trap '' TERM; echo started; while kill -0 \"$1\" 2>/dev/null; do :; done; \
        echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; \"$0\" tell other & \
        [ $! = \"$1\" ] && echo reused || echo missed; wait";
    let program = "setsid sh -c \"$1\" \"$0\" $$ & read line < wait; exit 5";
    let setup = subject.before(&["sh", "-c", program, "{probe}", orphan]);
    let fifo = setup.place.path().join("wait");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a new one");
    let mut started = setup.start();
    started.expect("started");
    std::fs::write(fifo, "\n").expect("the program reads it");
    match started.line("used", subject.patience()) {
        Line::Is(_) => {}
        _ => {
            return format!(
                "ends before it can be, {}",
                started.end_or_never(subject.patience())
            );
        }
    }
    started.expect("other ready");
    let init = started.init();
    let other = first_child(first_child(init));
    started.send(libc::SIGUSR1);
    // Straight to it, and with a number above.
    send(other, 40);
    // The init itself asks it to end, as a leftover: with TERM.
    loop {
        match started.expect("other got").as_str() {
            "other got 40" => return "it goes to nobody".to_owned(),
            "other got 10" => return "it goes to the other".to_owned(),
            _ => {}
        }
    }
}
