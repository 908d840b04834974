//! hushpipe's own exit codes: sysexits(3), and 126/127 as shells use them (POSIX sh, 2.8.2).

use super::Signal;

/// The end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// hushpipe's exit code: the program's own, or 128+N.
    pub code: u8,
    /// The signal N that ended it.
    pub signal: Option<Signal>,
}

/// Why hushpipe itself ended, as the caller sees it in `$?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: a question answered with no (`check`, `doctor`, `status --check`, `scan --fail`).
    No,
    /// 64 `EX_USAGE`: wrong arguments.
    Usage,
    /// 65 `EX_DATAERR`: a value is missing, failed its check, or a template could not be rendered.
    Value,
    /// 66 `EX_NOINPUT`: no manifest, or it cannot be read.
    NoManifest,
    /// 69 `EX_UNAVAILABLE`: a store, or a launcher, cannot be reached.
    Unreachable,
    /// 70 `EX_SOFTWARE`: a fault in hushpipe.
    Internal,
    /// 71 `EX_OSERR`: the operating system refused.
    Os,
    /// 75 `EX_TEMPFAIL`: a deadline passed.
    Deadline,
    /// 77 `EX_NOPERM`: a store, a policy or a launcher denied it; approvals or a signature are missing.
    Denied,
    /// 78 `EX_CONFIG`: the manifest, the site or its policies are wrong.
    Manifest,
    /// 126: the program could not be executed.
    NotExecutable,
    /// 127: the program was not found.
    NotFound,
}

impl Exit {
    /// Every code, in the order of the help text.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::No,
        Self::Usage,
        Self::Value,
        Self::NoManifest,
        Self::Unreachable,
        Self::Internal,
        Self::Os,
        Self::Deadline,
        Self::Denied,
        Self::Manifest,
        Self::NotExecutable,
        Self::NotFound,
    ];

    /// The number given to exit(2).
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::Usage => 64,
            Self::Value => 65,
            Self::NoManifest => 66,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::Os => 71,
            Self::Deadline => 75,
            Self::Denied => 77,
            Self::Manifest => 78,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// One line for `hushpipe help exit-codes`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::No => "the answer is no (check, doctor, status --check, scan --fail)",
            Self::Usage => "wrong arguments",
            Self::Value => {
                "a value is missing or failed its check, or a template could not be rendered"
            }
            Self::NoManifest => "no manifest, or it cannot be read",
            Self::Unreachable => "a store, or a launcher, cannot be reached",
            Self::Internal => "a fault in hushpipe: please report it",
            Self::Os => "the operating system refused",
            Self::Deadline => {
                "a deadline passed, or a delivery could not be recorded: try again later"
            }
            Self::Denied => {
                "denied by a store, a policy or a launcher, or not approved or signed yet"
            }
            Self::Manifest => "the manifest, the site or its policies are wrong",
            Self::NotExecutable => "the program could not be executed",
            Self::NotFound => "the program was not found",
        }
    }
}
