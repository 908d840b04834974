//! How the program ended, and what hushpipe's caller is told of it.

use super::state::End;
use crate::model::{Exited, Signal};
use crate::sys::reaper::Status;

/// The end of a supervision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the program ended.
    pub exited: Exited,
    /// It was stopped by [`super::Handle::replace`], and nobody asked hushpipe to end: another one is
    /// to be started in its place.
    pub replaced: bool,
}

/// The exit code that tells of a signal, as shells have it.
pub const fn code_of(signal: Signal) -> u8 {
    // At most 64, so at most 192.
    128 + signal.number() as u8
}

impl From<End> for Exited {
    fn from(end: End) -> Self {
        match end {
            End::Code(code) => Self { code, signal: None },
            End::Signal(signal) => Self {
                code: code_of(signal),
                signal: Some(signal),
            },
        }
    }
}

/// The end that a status tells of; `None` when the program is not gone.
pub fn end_of(status: Status) -> Option<End> {
    match status {
        Status::Exited(code) => Some(End::Code(code as u8)),
        Status::Killed { signal, .. } => Signal::from_number(signal).map(End::Signal),
        Status::Stopped(_) | Status::Continued | Status::Trapped(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_exact() {
        for code in 0..=255 {
            let end = end_of(Status::Exited(i32::from(code))).unwrap();
            assert_eq!(Exited::from(end), Exited { code, signal: None });
        }
        for number in 1..=64 {
            let status = Status::Killed {
                signal: number,
                core: number % 2 == 0,
            };
            let exited = Exited::from(end_of(status).unwrap());
            assert_eq!(i32::from(exited.code), 128 + number);
            assert_eq!(exited.signal, Signal::from_number(number));
        }
        assert_eq!(end_of(Status::Continued), None);
        assert_eq!(end_of(Status::Stopped(19)), None);
    }
}
