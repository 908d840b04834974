//! What ends supervision.

use std::io;

use crate::model::Exit;

/// Why the program cannot be supervised.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: &'static str,
    source: io::Error,
}

impl Error {
    pub(super) const fn new(what: &'static str, source: io::Error) -> Self {
        Self { what, source }
    }

    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        Exit::Os
    }
}
