//! Resource limits: setrlimit(2).

use std::fmt;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

/// Names as ulimit and systemd have them, in lower case.
const NAMES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// A soft and a hard limit of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    name: &'static str,
    resource: Resource,
    /// `None` is infinity.
    soft: Option<u64>,
    hard: Option<u64>,
}

/// Why a limit was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// No resource has this name.
    Unknown(String),
    /// The soft limit of this resource is above its hard limit.
    SoftAboveHard(&'static str),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "{name:?} is no resource limit: use one of")?;
                NAMES.iter().try_for_each(|(name, _)| write!(f, " {name}"))
            }
            Self::SoftAboveHard(name) => {
                write!(f, "the soft limit of {name} is above its hard limit")
            }
        }
    }
}

impl std::error::Error for LimitError {}

impl Limit {
    /// Takes a resource by name, and its limits in the units of setrlimit(2); `None` is infinity.
    pub fn new(name: &str, soft: Option<u64>, hard: Option<u64>) -> Result<Self, LimitError> {
        let (name, resource) = NAMES
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| LimitError::Unknown(name.to_owned()))?;
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(LimitError::SoftAboveHard(name));
        }
        Ok(Self {
            name,
            resource,
            soft,
            hard,
        })
    }

    /// The resource's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The soft limit as a number; infinity is the largest.
    pub fn soft(&self) -> u64 {
        self.soft.unwrap_or(u64::MAX)
    }

    /// Sets it for this process. Async-signal-safe.
    pub fn set(&self) -> Result<(), Errno> {
        let limit = Rlimit {
            current: self.soft,
            maximum: self.hard,
        };
        setrlimit(self.resource, limit)
    }

    pub(crate) fn is_core(&self) -> bool {
        self.resource == Resource::Core
    }

    /// Whether it allows more open files than now.
    pub(crate) fn raises_open_files(&self) -> bool {
        self.resource == Resource::Nofile && self.soft() > open_files()
    }
}

/// How many files this process may have open: one more than its highest fd number.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The limit under which nothing dumps core.
///
/// A limit of 0 stops core files alone: a handler that `kernel.core_pattern` pipes to (as
/// systemd-coredump or apport) still gets the whole memory. A limit of exactly 1 is the kernel's own
/// mark of such a handler, and stops the pipe as well: `do_coredump` in the kernel's fs/coredump.c.
/// No core file fits into one byte. Where the hard limit is 0 already and may not be raised, 0 is
/// what can be had.
pub fn no_core_dumps() -> Limit {
    let hard = getrlimit(Resource::Core).maximum;
    let may_raise = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_RESOURCE));
    let limit = u64::from(hard != Some(0) || may_raise);
    Limit {
        name: "core",
        resource: Resource::Core,
        soft: Some(limit),
        hard: Some(limit),
    }
}

/// What hushpipe was started with: it lowers its own.
pub(crate) fn core_dumps() -> Limit {
    let (soft, hard) = super::process::core_limit();
    Limit {
        name: "core",
        resource: Resource::Core,
        soft,
        hard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_and_in_order() {
        for (name, resource) in NAMES {
            assert_eq!(Limit::new(name, None, None).unwrap().resource, resource);
        }
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn wrong_limits_are_refused() {
        let unknown = Limit::new("files", Some(1), None).unwrap_err();
        assert!(unknown.to_string().contains("nofile"), "{unknown}");
        assert_eq!(
            Limit::new("nofile", Some(2), Some(1)),
            Err(LimitError::SoftAboveHard("nofile"))
        );
        assert_eq!(
            Limit::new("nofile", None, Some(1)),
            Err(LimitError::SoftAboveHard("nofile"))
        );
        assert!(Limit::new("nofile", Some(1), None).is_ok());
    }
}
