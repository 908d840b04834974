//! What the command line says over the manifest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Forking, Ready};

/// What the command line says over the manifest.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// What follows `--`; empty: nothing does. It goes before `run.command`.
    pub command: Vec<OsString>,
    /// No program runs by the plan: what it says of one does not matter.
    pub no_launch: bool,
    /// `--exec`: as `mode: exec`.
    pub exec: bool,
    /// `--argv0`
    pub argv0: Option<OsString>,
    /// `--ready`: where the manifest has no `run.ready`.
    pub ready: Option<Ready>,
    /// `--stop-timeout`: where the manifest has no `run.stop.timeout`.
    pub stop_timeout: Option<Duration>,
    /// `--accept-store`: what is in sealed stores was looked at by a person.
    pub accept_store: bool,
    /// `--forking` and `--pid-file`: in place of `run.forking`.
    pub forking: Option<Forking>,
    /// `--identity`: in place of that of each sealed store.
    pub identity: Option<PathBuf>,
    /// Chooses the directory for files with relative paths. `None`: without a look at this host.
    pub files: Option<fn(&Wanted) -> Chosen>,
}

/// What the choice of a directory depends on.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The service, as a name of files.
    pub service: String,
    /// The program has a user of its own, by `run.user`.
    pub other_user: bool,
}

/// Where files with relative paths go.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// A directory for this service alone. The files are in `files` below it, credentials in
    /// `credentials`.
    pub directory: PathBuf,
    /// Why it is not the usual one.
    pub note: Option<String>,
}

impl Wanted {
    /// The directory's name, where it has none of its own.
    pub fn name(&self) -> String {
        format!("hushpipe-{}", self.service)
    }

    /// Without a look at the host.
    pub(super) fn usual(&self) -> Chosen {
        Chosen {
            directory: Path::new("/dev/shm").join(self.name()),
            note: None,
        }
    }
}
