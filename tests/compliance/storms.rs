//! Many signals while many children end.

use std::fs::File;
use std::io::Write;

use super::Case;
use super::inits::Subject;
use super::running::{Line, Started, first_child, queue, send, wait_until_taken};
use crate::harness::{children, deadline, is_long, wait_until};

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

/// How many children end meanwhile.
const CHILDREN: usize = 1000;

/// Orphans of the program, each of which ends when it reads a byte: as many as there are signals, one
/// after so many of them, so that the last ones end with the last signals.
struct Crowd {
    fifo: File,
    /// Who has left them.
    program: i32,
    signals: usize,
    released: usize,
}

impl Crowd {
    /// Starts an init whose program has left them, and waits until they are there.
    fn start(subject: &Subject) -> (Started, Self) {
        let count = CHILDREN.to_string();
        let words = [
            "{probe}",
            "crowd",
            &count,
            "{place}/crowd",
            "tell",
            "program",
        ];
        let setup = subject.before(&words);
        let fifo = setup.place.path().join("crowd");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a new one");
        let started = setup.start();
        // They are there as soon as somebody opens the other end.
        let program = started.program();
        let fifo = File::options()
            .write(true)
            .open(fifo)
            .expect("they read it");
        started.expect("ready");
        let crowd = Self {
            fifo,
            program,
            signals: 0,
            released: 0,
        };
        (started, crowd)
    }

    /// One more signal was sent.
    fn signalled(&mut self) {
        self.signals += 1;
        let due = self.signals * CHILDREN / signals() as usize;
        let bytes = vec![b'x'; due - self.released];
        self.fifo.write_all(&bytes).expect("they read it");
        self.released = due;
    }

    /// All have ended with the signals, and not before.
    fn assert_over(self) {
        assert_eq!(self.released, CHILDREN, "the storm was over too early");
    }
}

fn spaced(subject: &Subject) -> String {
    let numbers = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
    ];
    let (started, mut crowd) = Crowd::start(subject);
    let init = started.init();
    for number in numbers.into_iter().cycle().take(signals() as usize) {
        crowd.signalled();
        send(init, number);
        if !matches!(
            started.line(&format!("got {number}"), deadline()),
            Line::Is(_)
        ) {
            return format!("{number} is lost");
        }
    }
    crowd.assert_over();
    "none lost".to_owned()
}

/// They queue up: each one sent is one received. No more at a time than the kernel surely queues for
/// one user, whose other tests run beside.
fn queued(subject: &Subject) -> String {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_SIGPENDING);
    let batch = limit.map_or(64, |(soft, _)| (soft / 64).clamp(16, 500)) as usize;
    let (started, mut crowd) = Crowd::start(subject);
    let init = started.init();
    let mut left = signals() as usize;
    while left > 0 {
        let now = batch.min(left);
        for _ in 0..now {
            crowd.signalled();
            queue(init, 34);
        }
        let came = |_: &usize| matches!(started.line("got 34", deadline()), Line::Is(_));
        let came = (0..now).take_while(came).count();
        if came < now {
            return format!("{} lost of {now}", now - came);
        }
        left -= now;
    }
    crowd.assert_over();
    "0 lost".to_owned()
}

/// Equal ones may become one on the way; the last of each comes, and the init is none the worse.
fn merged(subject: &Subject) -> String {
    let (mut started, mut crowd) = Crowd::start(subject);
    let (init, program) = (started.init(), crowd.program);
    let numbers = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGALRM,
    ];
    for number in numbers.into_iter().cycle().take(signals() as usize) {
        crowd.signalled();
        send(init, number);
    }
    crowd.assert_over();
    send(init, 40);
    if !matches!(started.line("got 40", deadline()), Line::Is(_)) {
        return "the last is lost".to_owned();
    }
    let clean = wait_until(|| (children(init) == [program]).then_some(()));
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
    // The kernel frees a number only some time after its process is gone for kill(2).
    let orphan = "trap '' TERM; echo started; while kill -0 \"$1\" 2>/dev/null; do :; done; \
        until echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; \
            sh -c '[ $$ = \"$1\" ] && exec \"$0\" tell other' \"$0\" \"$1\" & [ $! = \"$1\" ]; \
        do wait; done; echo reused; wait";
    let program = "setsid sh -c \"$1\" \"$0\" $$ & read line < wait; exit 5";
    let setup = subject.before(&["sh", "-c", program, "{probe}", orphan]);
    let fifo = setup.place.path().join("wait");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a new one");
    let mut started = setup.start();
    started.expect("started");
    std::fs::write(fifo, "\n").expect("the program reads it");
    // An init that ends at once takes all of them along, perhaps between the two.
    for text in ["used", "other ready"] {
        if !matches!(started.line(text, subject.patience()), Line::Is(_)) {
            return format!(
                "ends before it can be, {}",
                started.end_or_never(subject.patience())
            );
        }
    }
    let init = started.init();
    let other = first_child(first_child(init));
    started.send(libc::SIGUSR1);
    wait_until_taken(init, libc::SIGUSR1);
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
