//! Faults of all rooms on their way to the terminal.

use std::error::Error;

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

/// An error and its causes in one line, for events.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
