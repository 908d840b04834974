//! Faults of all rooms on their way to the terminal.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::delivery::DeliveryError;
use crate::model::Exit;

/// A fault and hushpipe's exit code for it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, with its causes.
    pub error: Box<dyn Error>,
}

impl Failure {
    /// Wraps a room's error.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error>>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }
}

/// Every fault that was found, never empty. The first one's code is the exit code.
pub type Failures = Vec<Failure>;

/// What the operating system refused, with its word as the cause.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct Refused {
    /// What was tried: `cannot take over signals`.
    pub doing: &'static str,
    /// Its word.
    pub source: io::Error,
}

/// Puts the manifest's name before faults that know their line and column in it, but not its name.
pub fn in_manifest(failures: Failures, manifest: &Path) -> Failures {
    let name = |failure: Failure| match failure.error.downcast::<DeliveryError>() {
        Ok(fault) if fault.at.is_some() => Failure::new(
            failure.exit,
            Placed {
                manifest: manifest.to_owned(),
                fault: *fault,
            },
        ),
        Ok(error) => Failure {
            exit: failure.exit,
            error,
        },
        Err(error) => Failure {
            exit: failure.exit,
            error,
        },
    };
    failures.into_iter().map(name).collect()
}

#[derive(Debug)]
struct Placed {
    manifest: PathBuf,
    fault: DeliveryError,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.manifest.display(), self.fault)
    }
}

impl Error for Placed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// For `map_err`: what the operating system refused.
pub fn os(doing: &'static str) -> impl FnOnce(io::Error) -> Failures {
    move |source| vec![Failure::new(Exit::Os, Refused { doing, source })]
}
