//! A shell in tmux(1): a terminal that draws, is resized and hangs up, as a person has it.

use std::process::Command;
use std::time::Duration;

use super::{Place, deadline, wait_until, wait_within};

/// A window of 80 by 24 with an interactive bash in a place, which is its HOME. `$H` is
/// `hushpipe run --` in there.
pub struct Tmux {
    place: Place,
}

impl Tmux {
    /// Starts it.
    pub fn new() -> Self {
        Self::within(Place::new(), "version: 1\nservice: test\n")
    }

    /// Starts it in a place, with this manifest (`{place}` is filled in).
    pub fn within(place: Place, manifest: &str) -> Self {
        let manifest = place.fill(manifest);
        place.write("hushpipe.yaml", manifest);
        let tmux = Self { place };
        let hushpipe = concat!("H=", env!("CARGO_BIN_EXE_hushpipe"), " run --");
        let home = format!("HOME={}", tmux.place.path().display());
        let start = ["new-session", "-d", "-x", "80", "-y", "24"];
        let shell = ["env", &home, "PS1=PROMPT> ", hushpipe, "bash", "--norc"];
        tmux.ask(&[&start[..], &shell].concat());
        tmux.expect("PROMPT>");
        tmux
    }

    /// The place.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    fn ask(&self, words: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.place.join("tmux"))
            .args(["-f", "/dev/null"])
            .args(words)
            .current_dir(self.place.path())
            .env_remove("TMUX")
            .env("TERM", "xterm")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Types a text.
    pub fn types(&self, text: &str) {
        // At the end of a word it would part tmux's own commands.
        let text = match text.strip_suffix(';') {
            Some(before) => format!("{before}\\;"),
            None => text.to_owned(),
        };
        self.ask(&["send-keys", "-l", &text]);
    }

    /// Presses a key, such as `Enter` or `C-c`.
    pub fn press(&self, key: &str) {
        self.ask(&["send-keys", key]);
    }

    /// Types a line.
    pub fn line(&self, text: &str) {
        self.types(text);
        self.press("Enter");
    }

    /// What the window shows.
    pub fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until the window shows a text.
    pub fn expect(&self, text: &str) {
        let seen = wait_until(|| self.screen().contains(text).then_some(()));
        let screen = self.screen();
        assert!(seen.is_some(), "no {text:?} in {:?}:\n{screen}", deadline());
    }

    /// Types a line until the window shows the answer: an editor that is drawing itself anew wipes out
    /// what it has just said.
    pub fn asks(&self, line: &str, answer: &str) {
        let answered = || {
            self.line(line);
            let seen = || self.screen().contains(answer).then_some(());
            wait_within(Duration::from_secs(2), seen)
        };
        let seen = wait_until(answered);
        let screen = self.screen();
        assert!(
            seen.is_some(),
            "no {answer:?} in {:?}:\n{screen}",
            deadline()
        );
    }

    /// An empty window with a fresh prompt, when the shell has the terminal.
    pub fn clear(&self) {
        self.line("clear");
        let cleared = || self.screen().trim_end() == "PROMPT>";
        let seen = wait_until(|| cleared().then_some(()));
        assert!(seen.is_some(), "not cleared:\n{}", self.screen());
    }

    /// Waits until the shell has the terminal: what is typed before goes to the program.
    pub fn prompt(&self) {
        let ends = || self.screen().trim_end().ends_with("\nPROMPT>");
        let seen = wait_until(|| ends().then_some(()));
        assert!(seen.is_some(), "no prompt:\n{}", self.screen());
    }

    /// The exit code of the last command.
    pub fn expect_code(&self, code: u8) {
        self.prompt();
        self.line("echo code=$?.");
        self.expect(&format!("code={code}."));
    }

    /// Changes the window's size.
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.ask(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// Closes the window: the terminal hangs up.
    pub fn close(&self) {
        self.ask(&["kill-server"]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may have been closed already.
        Command::new("tmux")
            .arg("-S")
            .arg(self.place.join("tmux"))
            .arg("kill-server")
            .output()
            .map(|output| output.status)
            .ok();
    }
}
