//! `hushpipe schema`: the JSON Schema of the manifest, for editors and for CI.

use super::{Outcome, help};
use crate::manifest;

/// Prints the schema.
pub fn run() -> Outcome {
    help::print(&format!("{:#}\n", manifest::schema()))
}
