//! What fails about approvals.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::approval::{CheckError, RequestId, SignersError};
use crate::model::printable::{printable, printable_path, shell_word};
use crate::model::{Exit, format_duration};
use crate::sys::filesystem::effective_uid;
use crate::sys::walk::{WalkError, WalkFault};

/// Why there is no approval, or none can be looked for.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalsError {
    /// A place that others control, or that cannot be entered.
    #[error("cannot use {what}: {source}{}", help(source))]
    Place {
        /// `the approvals directory`
        what: &'static str,
        /// Which, and why.
        source: WalkError,
    },
    /// Another user has this user's name among the records of uses, where everybody can add a directory.
    #[error(
        "{0} belongs to uid {by}, and no approval can be recorded as used there: nothing is delivered\n\
         help: ask who made it; root removes it: rm -r {0}",
        printable_path(path)
    )]
    Taken {
        /// `DIRECTORY/uses/UID`
        path: PathBuf,
        /// Who made it.
        by: u32,
    },
    /// The site's directory is for root to make.
    #[error(
        "cannot make {0}: permission denied\n\
         help: root makes it once, for all users: \
         install -d -m 0755 {1} && install -d -m 1777 {1}/requests {1}/uses",
        printable_path(path),
        printable_path(approvals)
    )]
    Unmade {
        /// What could not be made.
        path: PathBuf,
        /// The site's `approvals.directory`.
        approvals: PathBuf,
    },
    /// The operating system's word.
    #[error("cannot {doing} {}", printable_path(path))]
    System {
        /// `read`
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A use cannot be put on record, so nothing is delivered.
    #[error(
        "cannot record the use of an approval in {}: nothing is delivered",
        printable_path(path)
    )]
    Unrecorded {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of signers is wrong.
    #[error("{}: the allowed signers are wrong:{}", path.display(), lines(.errors))]
    Signers {
        /// Which.
        path: PathBuf,
        /// All that is wrong.
        errors: Vec<SignersError>,
    },
    /// Somebody makes more files than anybody needs.
    #[error(
        "{} has more than {most} files: `hushpipe approval prune` removes what expired; who made the rest?",
        printable_path(path)
    )]
    TooMany {
        /// Where.
        path: PathBuf,
        /// How many are looked at.
        most: usize,
    },
    /// Approvals are for launches.
    #[error("an approval is for a launch, and cannot be for a command")]
    NotLaunch,
    /// Something that an approval has to name is not known.
    #[error("the launch has no digest of its {0}, so that no approval can be for it")]
    NoDigest(&'static str),
    /// A request would outlive what a policy accepts.
    #[error(
        "policy {} accepts approvals for {}, and {} was requested: give --expires {} or less",
        printable(policy),
        format_duration(*within),
        format_duration(*asked),
        format_duration(*within)
    )]
    TooLong {
        /// How long the request was to be good for.
        asked: Duration,
        /// The policy's id.
        policy: String,
        /// How long it accepts approvals.
        within: Duration,
    },
    /// There is no request of that name.
    #[error(
        "no request {id} in {}: see `hushpipe approval list`",
        printable_path(path)
    )]
    Unknown {
        /// Its name.
        id: String,
        /// Where.
        path: PathBuf,
    },
    /// Somebody has to approve first.
    #[error("{0}")]
    Waiting(Box<Waiting>),
}

impl ApprovalsError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Place { .. } | Self::Signers { .. } => Exit::Manifest,
            Self::System { .. }
            | Self::TooMany { .. }
            | Self::Taken { .. }
            | Self::Unmade { .. } => Exit::Os,
            Self::Unrecorded { .. } => Exit::Deadline,
            Self::Unknown { .. } => Exit::NoManifest,
            Self::TooLong { .. } => Exit::Usage,
            Self::NotLaunch | Self::NoDigest(_) | Self::Waiting(_) => Exit::Denied,
        }
    }
}

fn help(error: &WalkError) -> String {
    match &error.fault {
        WalkFault::System(source) if source.kind() == io::ErrorKind::PermissionDenied => format!(
            "\n  help: everybody who approves has to reach it: as root, `namei -l {0}` shows which directory is \
             closed, and chmod o+x opens it",
            shell_word(&error.path.to_string_lossy())
        ),
        _ => error.help(effective_uid()),
    }
}

fn lines(errors: &[SignersError]) -> String {
    let lines = errors.iter().map(|error| format!("\n  {error}"));
    lines.collect()
}

/// A launch that is not approved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The request that is to be approved.
    pub request: RequestId,
    /// Who approved so far.
    pub approvers: Vec<String>,
    /// What is missing, and signatures that do not count.
    pub errors: Vec<CheckError>,
    /// How long the launch waited.
    pub waited: Duration,
}

impl Waiting {
    /// It in lines, for the end of a refusal that names the policies and whom they want: who approved so far,
    /// why signatures do not count, and what to do.
    pub fn notes(&self) -> Vec<String> {
        self.lines(|error| !matches!(error, CheckError::Missing { found: 0, .. }))
    }

    fn lines(&self, shown: impl Fn(&CheckError) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.approvers.is_empty() {
            lines.push(format!("approved by {}", self.approvers.join(", ")));
        }
        let errors = self.errors.iter().filter(|error| shown(error));
        lines.extend(errors.map(ToString::to_string));
        lines.push(format!(
            "to approve it: `hushpipe approve {}`, by those who may; then start again (a rotation goes on by \
             itself)",
            self.request
        ));
        lines
    }
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not approved")?;
        if !self.waited.is_zero() {
            write!(f, " within {}", format_duration(self.waited))?;
        }
        let lines = self.lines(|_| true);
        lines
            .iter()
            .try_for_each(|note| write!(f, "\n  {}", printable(note)))
    }
}
