//! Signals by name and number, as signal(7) lists them.

use std::fmt;

use nix::sys::signal::Signal as Named;

/// A signal of signal(7): a standard one, or a real-time one by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// Why a signal was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no signal: use a name such as TERM or HUP, or a number from 1 to 64")]
pub struct SignalError(String);

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// SIGINT.
    pub const INT: Self = Self(libc::SIGINT);
    /// SIGQUIT.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// SIGTERM.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGCHLD.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// SIGCONT.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// SIGSTOP.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// SIGTSTP.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// SIGTTIN.
    pub const TTIN: Self = Self(libc::SIGTTIN);
    /// SIGTTOU.
    pub const TTOU: Self = Self(libc::SIGTTOU);
    /// SIGWINCH.
    pub const WINCH: Self = Self(libc::SIGWINCH);
    /// SIGUSR1.
    pub const USR1: Self = Self(libc::SIGUSR1);

    /// Takes a number from 1 to 64.
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// Parses `TERM`, `SIGTERM`, `term`, `15`, or `CLD`/`POLL` as aliases.
    pub fn parse(text: &str) -> Result<Self, SignalError> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let name = match name {
            "CLD" => "CHLD",
            "POLL" => "IO",
            name => name,
        };
        let named = format!("SIG{name}").parse::<Named>();
        named
            .map(|named| Self(named as i32))
            .ok()
            .or_else(|| name.parse().ok().and_then(Self::from_number))
            .ok_or_else(|| SignalError(text.to_owned()))
    }

    /// The number, as kill(2) takes it.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Whether a process can catch it and so pass it on: all but KILL and STOP.
    pub const fn can_be_caught(self) -> bool {
        self.0 != libc::SIGKILL && self.0 != libc::SIGSTOP
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Named::try_from(self.0) {
            Ok(named) => f.write_str(named.as_str()),
            Err(_) => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_signal_has_a_name() {
        for number in 1..=31 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(Signal::parse(&signal.to_string()), Ok(signal));
        }
    }

    #[test]
    fn names_and_numbers_are_read() {
        assert_eq!(Signal::parse("term"), Ok(Signal::TERM));
        assert_eq!(Signal::parse("SIGHUP"), Ok(Signal::HUP));
        assert_eq!(Signal::parse("9"), Ok(Signal::KILL));
        assert!(Signal::parse("0").is_err());
        assert!(Signal::parse("NOPE").is_err());
        assert!(Signal::parse("65").is_err());
    }
}
