//! How hushpipe ended, and what it said.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::{Hushpipe, Place, untold};

/// An ended hushpipe. Checks panic with all that it wrote, and give it back.
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its and its program's standard output.
    pub stdout: Vec<u8>,
    /// Its and its program's standard error.
    pub stderr: Vec<u8>,
    pub(super) place: Place,
}

impl Output {
    /// The test's place, still there.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Another hushpipe in the same place.
    pub fn again(self) -> Hushpipe {
        Hushpipe::at(self.place)
    }

    /// Standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "{what}\n  ended: {}\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.status,
            self.stdout(),
            self.stderr()
        )
    }

    fn check(self, holds: bool, what: impl FnOnce() -> String) -> Self {
        if !holds {
            self.fail(&what());
        }
        self
    }

    /// It ended with 0.
    pub fn success(self) -> Self {
        self.code(0)
    }

    /// It ended with this code.
    pub fn code(self, code: i32) -> Self {
        let holds = self.status.code() == Some(code);
        self.check(holds, || format!("expected exit code {code}"))
    }

    /// A signal ended hushpipe itself.
    pub fn killed_by(self, signal: nix::sys::signal::Signal) -> Self {
        let holds = self.status.signal() == Some(signal as i32);
        self.check(holds, || format!("expected to be killed by {signal}"))
    }

    /// Its standard output is exactly this (`{place}` is filled in).
    pub fn stdout_is(self, text: &str) -> Self {
        let text = self.place.fill(text);
        let holds = self.stdout == text.as_bytes();
        self.check(holds, || format!("expected stdout {text:?}"))
    }

    /// Its standard error is exactly this (`{place}` is filled in).
    pub fn stderr_is(self, text: &str) -> Self {
        let text = self.place.fill(text);
        let holds = self.stderr == text.as_bytes();
        self.check(holds, || format!("expected stderr {text:?}"))
    }

    /// Its standard output has this somewhere.
    pub fn stdout_has(self, text: &str) -> Self {
        let text = self.place.fill(text);
        let holds = self.stdout().contains(&text);
        self.check(holds, || format!("expected {text:?} on stdout"))
    }

    /// Its standard error has this somewhere.
    pub fn stderr_has(self, text: &str) -> Self {
        let text = self.place.fill(text);
        let holds = self.stderr().contains(&text);
        self.check(holds, || format!("expected {text:?} on stderr"))
    }

    /// Neither stream has this anywhere, in whatever encoding: for values.
    pub fn says_nothing_of(self, value: &str) -> Self {
        let streams = [self.stdout.as_slice(), &self.stderr];
        let told = untold::told(value, &streams);
        self.check(told.is_none(), || format!("{value:?} was shown: {told:?}"))
    }
}
