//! hushpipe on a terminal: what is shown there, and how the terminal is left.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::*;

/// hushpipe with a terminal of its own as its standard streams.
struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let pty = openpty(None, None).unwrap();
        let stream = || Stdio::from(pty.slave.try_clone().unwrap());
        // setsid(1) makes the terminal the controlling one.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_hushpipe")])
            .args(arguments)
            .current_dir(place.path())
            .env("HOME", place.path())
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self {
            master: pty.master.into(),
            slave: pty.slave,
            child,
            seen: String::new(),
        }
    }

    /// Reads until the text was shown, from where the last wait ended.
    fn wait_for(&mut self, text: &str) {
        let mut fresh = String::new();
        while !fresh.contains(text) {
            let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(deadline()).unwrap();
            let count = poll(&mut ready, timeout).unwrap();
            assert!(count > 0, "no {text:?} in {:?}", self.seen);
            let mut bytes = [0; 1024];
            let length = self.master.read(&mut bytes).unwrap();
            fresh.push_str(&String::from_utf8_lossy(&bytes[..length]));
            self.seen.push_str(&fresh);
        }
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.slave).unwrap();
        modes.local_flags.contains(LocalFlags::ECHO)
    }

    fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    fn ends(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

#[test]
fn a_prompt_shows_nothing_and_stores_what_was_typed() {
    let output = initialised().args(["secret", "list"]).run();
    let mut terminal = Terminal::start(output.place(), &["secret", "set", "token"]);
    terminal.wait_for("Value of token (not shown): ");
    assert!(!terminal.echoes());
    terminal.types("typed-canary\n");
    terminal.wait_for("The same again: ");
    terminal.types("typed-canary\n");
    terminal.wait_for("token: version 1 is current");
    assert!(terminal.ends().success());
    assert!(terminal.echoes());
    assert!(!terminal.seen.contains("canary"), "{:?}", terminal.seen);
    get(output.again(), &["token"]).stdout_is("typed-canary");
}

#[test]
fn two_different_values_are_not_stored() {
    let output = initialised().args(["secret", "list"]).run();
    let mut terminal = Terminal::start(output.place(), &["secret", "set", "token"]);
    terminal.wait_for("Value of token");
    terminal.types("one\n");
    terminal.wait_for("The same again: ");
    terminal.types("other\n");
    terminal.wait_for("the two values differ: nothing was stored");
    assert_eq!(terminal.ends().code(), Some(65));
    assert!(!output.place().join(&format!("{SECRETS}/token")).exists());
}

#[test]
fn the_terminal_echoes_again_after_an_interrupt_at_the_prompt() {
    let output = initialised().args(["secret", "list"]).run();
    let mut terminal = Terminal::start(output.place(), &["secret", "set", "token"]);
    terminal.wait_for("Value of token");
    assert!(!terminal.echoes());
    terminal.types("half\x03");
    assert!(!terminal.ends().success());
    assert!(terminal.echoes());
    assert!(!output.place().join(&format!("{SECRETS}/token")).exists());
}

#[test]
fn a_value_is_shown_on_a_terminal_only_when_asked_for() {
    let output = set(initialised(), "token", "shown-canary")
        .args(["secret", "list"])
        .run();
    let mut terminal = Terminal::start(output.place(), &["secret", "get", "token"]);
    terminal.wait_for("give --reveal");
    assert_eq!(terminal.ends().code(), Some(64));
    assert!(!terminal.seen.contains("canary"));
    let mut terminal = Terminal::start(output.place(), &["secret", "get", "token", "--reveal"]);
    terminal.wait_for("shown-canary");
    assert!(terminal.ends().success());
}

#[test]
fn removing_asks_on_a_terminal() {
    let output = set(initialised(), "token", "x")
        .args(["secret", "list"])
        .run();
    let mut terminal = Terminal::start(output.place(), &["secret", "rm", "token"]);
    terminal.wait_for("Remove token with all its versions?");
    terminal.types("n\n");
    terminal.wait_for("nothing was removed");
    assert_eq!(terminal.ends().code(), Some(1));
    let mut terminal = Terminal::start(output.place(), &["secret", "rm", "token"]);
    terminal.wait_for("[y/N]");
    terminal.types("y\n");
    terminal.wait_for("token: removed, 1 version");
    assert!(terminal.ends().success());
    get(output.again(), &["token"]).code(65);
}
