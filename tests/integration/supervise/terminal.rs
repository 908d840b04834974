//! Job control: hushpipe in an interactive shell, in a pipeline, and as the leader of a session.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use crate::harness::{Place, deadline, is_alive, wait_until};

/// A program on a terminal of its own.
struct Terminal {
    master: Option<File>,
    output: Receiver<Vec<u8>>,
    seen: String,
    /// The group that had the terminal before the last suspension.
    foreground: Option<nix::unistd::Pid>,
    /// Everything so far, for the message when a text does not come.
    all: String,
    child: Child,
    place: Place,
}

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

impl Terminal {
    /// Starts a program as the leader of a session with a terminal.
    fn of(command: &[&str]) -> Self {
        let place = Place::new();
        place.write(
            "hushpipe.yaml",
            "version: 1\nservice: test\nrun: { command: [cat] }\n",
        );
        let pty = nix::pty::openpty(None, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--wait", "--ctty"])
            .args(command)
            .current_dir(place.path())
            .env("PS1", "PROMPT> ")
            .env("H", concat!(env!("CARGO_BIN_EXE_hushpipe"), " run --"))
            .env("TEST_PLACE", place.path())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(pty.master);
        let mut reader = master.try_clone().unwrap();
        let (send, output) = channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut part) {
                if send.send(part[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let master = Some(master);
        let seen = String::new();
        Self {
            master,
            output,
            seen,
            foreground: None,
            all: String::new(),
            child,
            place,
        }
    }

    /// An interactive bash. What is typed is not shown again.
    fn shell() -> Self {
        let mut shell = Self::of(&["bash", "--norc", "--noediting", "-i"]);
        shell.expect("PROMPT> ");
        shell.run("stty -echo");
        shell
    }

    fn send(&mut self, text: &str) {
        self.master
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn line(&mut self, text: &str) {
        self.send(text);
        self.send("\n");
    }

    /// A command that ends, or goes to the background.
    fn run(&mut self, command: &str) {
        self.line(command);
        self.expect("PROMPT> ");
    }

    /// Waits for a text after the last one waited for.
    fn expect(&mut self, text: &str) {
        let until = Instant::now() + deadline();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(part) => {
                    let part = String::from_utf8_lossy(&part);
                    self.seen.push_str(&part);
                    self.all.push_str(&part);
                }
                Err(error) => panic!(
                    "no {text:?}, {error}, but {:?} after {:?}",
                    self.seen, self.all
                ),
            }
        }
    }

    /// The exit code of the last command in the shell.
    fn expect_code(&mut self, code: u8) {
        self.line("echo code=$?.");
        self.expect(&format!("code={code}."));
        self.expect("PROMPT> ");
    }

    /// Stops the job, and says so.
    fn suspend(&mut self) {
        self.foreground = self.foreground_now();
        self.send(CTRL_Z);
        self.expect("Stopped");
        self.expect("PROMPT> ");
    }

    /// Continues the job that was suspended last, and waits until it has the terminal again: what is
    /// typed before goes to the shell.
    fn resume(&mut self) {
        self.line("fg");
        let resumed = wait_until(|| (self.foreground_now() == self.foreground).then_some(()));
        assert!(resumed.is_some(), "no foreground after {:?}", self.all);
    }

    fn foreground_now(&self) -> Option<nix::unistd::Pid> {
        nix::unistd::tcgetpgrp(self.master.as_ref().unwrap()).ok()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Hangs up.
        self.master = None;
        for pid in crate::harness::descendants(self.child.id() as i32) {
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
        assert!(self.place.path().is_dir());
    }
}

#[test]
fn ctrl_c_ends_the_program_and_the_shell_is_told() {
    let mut shell = Terminal::shell();
    shell.line("$H sh -c 'echo ready; exec sleep 1000'");
    shell.expect("ready");
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
}

#[test]
fn ctrl_z_stops_both_and_fg_and_bg_continue_both() {
    let mut shell = Terminal::shell();
    shell.line("$H cat");
    shell.line("one");
    shell.expect("one");
    shell.suspend();
    shell.expect_code(148);
    shell.line("jobs");
    shell.expect("Stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("two");
    shell.expect("two");
    shell.suspend();
    // In the background it reads the terminal, is stopped for it, and the shell is told.
    shell.run("bg");
    shell.line("until jobs | grep -q Stopped; do sleep 0.05; done; echo job stopped");
    shell.expect("job stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("three");
    shell.expect("three");
    shell.send(CTRL_D);
    shell.expect("PROMPT> ");
    shell.expect_code(0);
}

#[test]
fn a_job_from_the_background_gets_the_terminal_with_fg() {
    let mut shell = Terminal::shell();
    shell.run("$H cat &");
    shell.line("until jobs | grep -q Stopped; do sleep 0.05; done; echo job stopped");
    shell.expect("job stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("four");
    shell.expect("four");
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
    // It runs on in the background, and wants the terminal only after fg, of which no signal tells.
    shell.run("$H sh -c 'read x < go; read y; echo got $y' & mkfifo go");
    shell.run("sh -c 'sleep 0.2; echo > go' &");
    shell.line("fg %1");
    shell.line("five");
    shell.expect("got five");
    shell.expect("PROMPT> ");
}

#[test]
fn a_shell_under_hushpipe_has_job_control_of_its_own() {
    let mut shell = Terminal::shell();
    shell.run("$H bash --norc --noediting -i");
    shell.line("sh -c 'echo ready; exec sleep 1000'");
    shell.expect("ready");
    shell.suspend();
    shell.resume();
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    // It suspends itself: the outer shell has the terminal again.
    shell.line("suspend");
    shell.expect("Stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("exit 7");
    shell.expect("exit");
    shell.expect("PROMPT> ");
    shell.expect_code(7);
}

#[test]
fn a_pipeline_is_one_job_and_gets_each_signal_once() {
    let mut shell = Terminal::shell();
    shell.line("echo first | $H sh -c 'cat; exec sleep 1000' | cat");
    shell.expect("first");
    shell.suspend();
    shell.resume();
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");

    let counter = "import signal, time\n\
        n = []\n\
        signal.signal(signal.SIGINT, lambda *_: n.append(1))\n\
        print('ready', flush=True)\n\
        while not n: time.sleep(0.01)\n\
        time.sleep(0.5)\n\
        print('ints', len(n), '.')\n";
    shell.place.write("counter.py", counter);
    shell.line("echo | $H python3 counter.py");
    shell.expect("ready");
    shell.send(CTRL_C);
    shell.expect("ints 1 .");
    shell.expect("PROMPT> ");
}

#[test]
fn a_script_and_what_it_runs_are_one_job() {
    let mut shell = Terminal::shell();
    shell
        .place
        .write("script.sh", "$H sh -c 'echo ready; exec sleep 1000'\n");
    shell.line("sh script.sh");
    shell.expect("ready");
    shell.suspend();
    shell.resume();
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
}

#[test]
fn a_session_leader_gives_the_terminal_and_passes_a_hang_up_on() {
    let hushpipe = env!("CARGO_BIN_EXE_hushpipe");
    let mut terminal = Terminal::of(&[hushpipe, "run"]);
    terminal.line("one");
    terminal.expect("one\r\none");
    // Nobody could continue it.
    terminal.send(CTRL_Z);
    terminal.line("two");
    terminal.expect("two\r\ntwo");
    terminal.send(CTRL_C);
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));

    let mut terminal = Terminal::of(&[
        hushpipe,
        "run",
        "--",
        "sh",
        "-c",
        "echo $$.; exec sleep 1000",
    ]);
    terminal.expect(".");
    // setsid(1) has become hushpipe.
    let hushpipe = terminal.child.id() as i32;
    let program = crate::harness::children(hushpipe)[0];
    // The reader's copy keeps the terminal open: a hang-up as the kernel tells the session's leader.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(hushpipe),
        nix::sys::signal::Signal::SIGHUP,
    )
    .unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(129));
    wait_until(|| (!is_alive(program)).then_some(())).unwrap();
}
