//! Socket activation, sd_listen_fds(3): descriptors from 3 on that systemd opened for the service.
//! The program gets them at the same numbers, under its own process id.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::model::Exit;
use crate::sys::fd;

/// More than any process can have open (`fs.nr_open` as it comes).
const MOST: usize = 1 << 20;

/// Descriptors that were promised and are not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "LISTEN_FDS={count} promises {}, but fd {number} cannot be used: whoever started hushpipe did \
     not pass it",
    Shown(Activation::FIRST..Activation::FIRST + *count as RawFd)
)]
pub struct ActivationError {
    count: usize,
    number: RawFd,
    source: io::Error,
}

impl ActivationError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        Exit::Os
    }
}

/// What systemd opened for the service.
#[derive(Debug)]
pub struct Activation {
    fds: Vec<OwnedFd>,
    names: Option<OsString>,
}

impl Activation {
    /// The first number: `SD_LISTEN_FDS_START`.
    pub const FIRST: RawFd = 3;

    /// Takes over what the variables tell of, if they are meant for the process `own`. To be called
    /// once, before hushpipe opens anything.
    pub fn claim(
        variable: impl Fn(&str) -> Option<OsString>,
        own: i32,
    ) -> Result<Option<Self>, ActivationError> {
        let number = |name: &str| variable(name)?.to_str()?.parse::<usize>().ok();
        let is_ours = number("LISTEN_PID").is_some_and(|pid| i32::try_from(pid) == Ok(own));
        let possible = 1..=MOST;
        let count = number("LISTEN_FDS").filter(|count| is_ours && possible.contains(count));
        let Some(count) = count else {
            return Ok(None);
        };
        let fds = fd::take_inherited(count).map_err(|(number, source)| ActivationError {
            count,
            number,
            source,
        })?;
        let names = variable("LISTEN_FDNAMES");
        Ok(Some(Self { fds, names }))
    }

    /// The numbers that the descriptors take.
    pub fn numbers(&self) -> Range<RawFd> {
        Self::FIRST..Self::FIRST + self.fds.len() as RawFd
    }

    /// The numbers in words: `fds 3 to 5`.
    pub fn shown(&self) -> String {
        Shown(self.numbers()).to_string()
    }

    /// Duplicates for one launch, each with its number.
    pub fn fds(&self) -> io::Result<Vec<(OwnedFd, RawFd)>> {
        self.fds
            .iter()
            .zip(self.numbers())
            .map(|(fd, number)| Ok((fd.as_fd().try_clone_to_owned()?, number)))
            .collect()
    }

    /// What the program is told, beside `LISTEN_PID`.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let count = ("LISTEN_FDS", OsString::from(self.fds.len().to_string()));
        let names = self.names.as_deref().map(OsStr::to_owned);
        let names = names.map(|names| ("LISTEN_FDNAMES", names));
        [count].into_iter().chain(names).collect()
    }
}

struct Shown(Range<RawFd>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.end - self.0.start {
            1 => write!(f, "fd {}", self.0.start),
            _ => write!(f, "fds {} to {}", self.0.start, self.0.end - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(variables: &[(&str, &str)]) -> Result<Option<Activation>, ActivationError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Activation::claim(variable, 42)
    }

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        for variables in [
            &[][..],
            &[("LISTEN_FDS", "1")],
            &[("LISTEN_FDS", "1"), ("LISTEN_PID", "41")],
            &[("LISTEN_FDS", "0"), ("LISTEN_PID", "42")],
            &[("LISTEN_FDS", "x"), ("LISTEN_PID", "42")],
            &[("LISTEN_FDS", "-1"), ("LISTEN_PID", "42")],
        ] {
            assert!(claimed(variables).unwrap().is_none(), "{variables:?}");
        }
    }

    #[test]
    fn what_was_promised_and_is_not_there_is_a_fault() {
        let fault = claimed(&[("LISTEN_FDS", "1000000"), ("LISTEN_PID", "42")]).unwrap_err();
        assert_eq!(fault.exit(), Exit::Os);
        let text = fault.to_string();
        assert!(text.contains("promises fds 3 to 1000002, but fd"), "{text}");
    }

    #[test]
    fn the_program_gets_duplicates_at_the_same_numbers() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let activation = Activation {
            fds: vec![file(), file()],
            names: Some("http:https".into()),
        };
        assert_eq!(activation.shown(), "fds 3 to 4");
        let numbers: Vec<RawFd> = activation
            .fds()
            .unwrap()
            .into_iter()
            .map(|(_, number)| number)
            .collect();
        assert_eq!(numbers, [3, 4]);
        let expected = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:https")];
        assert_eq!(
            activation.variables(),
            expected.map(|(name, value)| (name, OsString::from(value)))
        );
    }
}
