//! What the command line says over the manifest.

use std::ffi::OsString;
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
}
