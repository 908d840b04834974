//! Signals by name and number, as signal(7) lists them.

use std::fmt;

/// A signal of signal(7): a standard one, or a real-time one by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// Why a signal was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalError(String);

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no signal: use a name such as TERM or HUP, or a number from 1 to 64",
            self.0
        )
    }
}

impl std::error::Error for SignalError {}

macro_rules! signals {
    ($($name:ident),+ $(,)?) => {
        const NAMES: &[(&str, i32)] = &[$((stringify!($name), signals!(@ $name))),+];
    };
    (@ HUP) => { libc::SIGHUP }; (@ INT) => { libc::SIGINT }; (@ QUIT) => { libc::SIGQUIT };
    (@ ILL) => { libc::SIGILL }; (@ TRAP) => { libc::SIGTRAP }; (@ ABRT) => { libc::SIGABRT };
    (@ BUS) => { libc::SIGBUS }; (@ FPE) => { libc::SIGFPE }; (@ KILL) => { libc::SIGKILL };
    (@ USR1) => { libc::SIGUSR1 }; (@ SEGV) => { libc::SIGSEGV }; (@ USR2) => { libc::SIGUSR2 };
    (@ PIPE) => { libc::SIGPIPE }; (@ ALRM) => { libc::SIGALRM }; (@ TERM) => { libc::SIGTERM };
    (@ STKFLT) => { libc::SIGSTKFLT }; (@ CHLD) => { libc::SIGCHLD }; (@ CONT) => { libc::SIGCONT };
    (@ STOP) => { libc::SIGSTOP }; (@ TSTP) => { libc::SIGTSTP }; (@ TTIN) => { libc::SIGTTIN };
    (@ TTOU) => { libc::SIGTTOU }; (@ URG) => { libc::SIGURG }; (@ XCPU) => { libc::SIGXCPU };
    (@ XFSZ) => { libc::SIGXFSZ }; (@ VTALRM) => { libc::SIGVTALRM }; (@ PROF) => { libc::SIGPROF };
    (@ WINCH) => { libc::SIGWINCH }; (@ IO) => { libc::SIGIO }; (@ PWR) => { libc::SIGPWR };
    (@ SYS) => { libc::SIGSYS };
}

signals!(
    HUP, INT, QUIT, ILL, TRAP, ABRT, BUS, FPE, KILL, USR1, SEGV, USR2, PIPE, ALRM, TERM, STKFLT,
    CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, XCPU, XFSZ, VTALRM, PROF, WINCH, IO, PWR, SYS,
);

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
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| Self(*number))
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
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
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
