//! Terminals: who reads, who is interrupted, who is stopped, and who is told of a hang-up.

use std::path::Path;

use super::Case;
use super::inits::{Position, Subject};
use super::running::{first_child, send};
use super::screen::{CTRL_C, CTRL_Z, Screen};
use crate::harness::{deadline, wait_until, wait_within};

pub const CASES: &[Case] = &[
    Case::as_child("no controlling terminal", without),
    Case::everywhere("session leader: the program reads", reads),
    Case::everywhere("session leader: Ctrl-C", interrupted),
    Case::everywhere(
        "session leader: Ctrl-Z, which nobody could undo",
        stopped_for_ever,
    ),
    Case::everywhere("session leader: the terminal hangs up", hangs_up),
    Case::everywhere("session leader: nobody hangs up at the start", unhung),
    Case::as_child("job of a shell: Ctrl-C", shell_interrupts),
    Case::as_child("job of a shell: Ctrl-Z, then fg", shell_stops),
    Case::as_child("job of a shell: the terminal hangs up", shell_hangs_up),
    Case::as_child("job in the background", background),
    Case::as_child("in a script: what comes next reads", gives_back),
];

/// The init leads the session; as PID 1, as in a container with a terminal.
fn leading(subject: &Subject, program: &[&str]) -> Screen {
    let setup = subject.before(program);
    let inside = subject.position == Position::Pid1;
    let setup = if inside {
        setup.through(&["setsid", "--ctty"])
    } else {
        setup
    };
    let words = setup.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if inside {
        Screen::beside(&words, &[], setup.place)
    } else {
        Screen::of(&words, &[], setup.place)
    }
}

/// A shell leads it, and `$I` is the init.
fn shell(subject: &Subject, words: &[&str]) -> Screen {
    let setup = subject.before(&[]);
    let init = setup.words();
    Screen::of(words, &init, setup.place)
}

fn interactive(subject: &Subject) -> Screen {
    let mut shell = shell(subject, &["bash", "--norc", "--noediting", "-i"]);
    shell.expect("PROMPT> ");
    shell.send("stty -echo\n");
    shell.expect("PROMPT> ");
    shell
}

fn yes(holds: bool, yes: &str, no: &str) -> String {
    if holds { yes } else { no }.to_owned()
}

fn without(subject: &Subject) -> String {
    let setup = subject.before(&["sh", "-c", "(: </dev/tty) 2>/dev/null && exit 1; exit 4"]);
    let mut started = setup.through(&["setsid", "--wait"]).start();
    started.end_or_never(subject.patience())
}

fn reads(subject: &Subject) -> String {
    let mut screen = leading(subject, &["cat"]);
    screen.send("one\n");
    yes(
        screen.shows("one\r\none", subject.patience()),
        "it does",
        "it never does",
    )
}

fn interrupted(subject: &Subject) -> String {
    let mut screen = leading(subject, &["sh", "-c", "echo up; exec cat"]);
    screen.expect("up");
    screen.send(CTRL_C);
    screen.end_or_never(subject.patience())
}

fn stopped_for_ever(subject: &Subject) -> String {
    let mut screen = leading(subject, &["sh", "-c", "echo up; exec cat"]);
    screen.expect("up");
    screen.send(CTRL_Z);
    screen.send("two\n");
    yes(
        screen.shows("two\r\ntwo", subject.patience()),
        "the program goes on",
        "the program stays stopped",
    )
}

/// Each HUP of the program is a line in a file.
fn hangs_up(subject: &Subject) -> String {
    let text = "trap 'echo HUP >>heard; exit 9' HUP; echo up; while :; do sleep 0.01; done";
    let mut screen = leading(subject, &["sh", "-c", text]);
    screen.expect("up");
    screen.hang_up();
    let end = screen.end_or_never(subject.patience());
    let heard = std::fs::read_to_string(screen.place().path().join("heard")).unwrap_or_default();
    yes(
        heard == "HUP\n",
        "the program gets HUP, ",
        "the program gets no HUP, ",
    ) + &end
}

/// The line that comes last tells that nothing came before it.
fn unhung(subject: &Subject) -> String {
    let text = "trap 'echo HUP' HUP; trap 'echo told; exit 4' USR1; echo up; \
        while :; do sleep 0.01; done";
    let mut screen = leading(subject, &["sh", "-c", text]);
    screen.expect("up");
    let mut init = screen.leader();
    if subject.position == Position::Pid1 {
        init = first_child(init);
    }
    send(init, libc::SIGUSR1);
    let hung = screen.read_until("told", subject.patience());
    yes(!hung.contains("HUP"), "no HUP", "a HUP that nobody sent")
}

/// bash tells its jobs, and the kernel the group in the foreground.
fn shell_hangs_up(subject: &Subject) -> String {
    let mut shell = interactive(subject);
    shell.send(
        "$I sh -c 'trap \"echo HUP >>heard; exit 9\" HUP; echo up; while :; do sleep 0.01; done'\n",
    );
    shell.expect("up");
    shell.hang_up();
    let heard = shell.place().path().join("heard");
    let told = || std::fs::read_to_string(&heard).is_ok_and(|text| text.starts_with("HUP\n"));
    let told = wait_within(subject.patience(), || told().then_some(()));
    yes(
        told.is_some(),
        "the program gets HUP",
        "the program never gets HUP",
    )
}

fn shell_interrupts(subject: &Subject) -> String {
    let mut shell = interactive(subject);
    shell.send("$I sh -c 'echo up; exec sleep 1000'\n");
    shell.expect("up");
    shell.send(CTRL_C);
    if !shell.shows("PROMPT> ", subject.patience()) {
        return "the program stays".to_owned();
    }
    shell.send("echo code=$?.\n");
    shell.expect("code=");
    let code = ["130", "143"]
        .into_iter()
        .find(|code| shell.shows(&format!("{code}."), deadline() / 20));
    code.unwrap_or("another code").to_owned()
}

fn shell_stops(subject: &Subject) -> String {
    let mut shell = interactive(subject);
    shell.send("$I sh -c 'echo up; exec cat'\n");
    shell.expect("up");
    let group = shell.foreground();
    shell.send(CTRL_Z);
    if !shell.shows("Stopped", subject.patience()) {
        return "the shell never gets the terminal".to_owned();
    }
    shell.expect("PROMPT> ");
    shell.send("fg\n");
    if wait_until(|| (shell.foreground() == group).then_some(())).is_none() {
        return "the foreground is lost".to_owned();
    }
    shell.send("two\n");
    yes(
        shell.shows("two", subject.patience()),
        "both stop and go on",
        "both stop for ever",
    )
}

fn background(subject: &Subject) -> String {
    let shell = interactive(subject);
    let own = shell.foreground();
    shell.send("$I sh -c 'echo >up; exec sleep 1000' &\n");
    let up = shell.place().path().join("up");
    wait_until(|| Path::exists(&up).then_some(())).expect("the program starts");
    yes(
        shell.foreground() == own,
        "the shell keeps the terminal",
        "the terminal is taken from the shell",
    )
}

fn gives_back(subject: &Subject) -> String {
    let mut script = shell(
        subject,
        &[
            "sh",
            "-c",
            "$I sh -c 'exit 3'; echo next; read line; echo got=$line.",
        ],
    );
    if !script.shows("next", subject.patience()) {
        return "never comes to it".to_owned();
    }
    script.send("word\n");
    yes(
        script.shows("got=word", subject.patience()),
        "it can",
        "it never can",
    )
}
