//! Standard output.

use std::io::Write as _;

use super::{Failure, Outcome};
use crate::model::Exit;

/// Writes to stdout; a reader that went away (`| head`) is no fault.
pub fn print(text: &str) -> Outcome {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::text(
            Exit::Os,
            format!("cannot write to standard output\n  cause: {error}"),
        )),
        _ => Ok(Exit::Ok),
    }
}
