//! Names of variables in options.

use super::Failure;
use crate::manifest::check_variable;
use crate::model::Exit;

/// Whether an option names a variable that can be delivered: the manifest's own check.
pub fn checked_variable(option: &str, name: &str) -> Result<(), Failure> {
    check_variable(name).map_err(|(message, help)| {
        Failure::text(Exit::Usage, format!("{option}: {message}\n  help: {help}"))
    })
}
