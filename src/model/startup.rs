//! How a program comes up.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;

use super::words::words;
use super::written::path_or_none;

/// How the program comes up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Startup {
    /// `--argv0`: its `argv[0]`, where that is not the command's first word.
    #[serde(skip)]
    pub argv0: Option<OsString>,
    /// `run.ready:`
    pub ready: Ready,
    /// `run.forking:` it goes into the background; its first process ends with 0 then.
    pub forking: Option<Forking>,
}

words! {
    /// `run.ready:` when systemd is told that the service is ready.
    #[derive(Default)]
    Ready {
        /// When the program says so, by sd_notify(3).
        #[default]
        Program = "program",
        /// When the program was executed.
        Started = "started",
    }
}

/// How the daemon is found that a program leaves which goes into the background.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forking {
    /// The file where the daemon's process id is. Without one, the daemon is the one process that
    /// the program left.
    #[serde(serialize_with = "path_or_none")]
    pub pid_file: Option<PathBuf>,
}
