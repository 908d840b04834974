//! Arguments, one file a command, rendering of output and errors.

use std::process::ExitCode;

/// Parses the command line, runs the command, gives the exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
