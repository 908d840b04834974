//! `hushpipe schema`: the JSON Schema of the manifest, for editors and for CI.

use super::{Outcome, output};
use crate::manifest;

/// Of its use.
pub const EXAMPLES: &str = "\
Examples:
  hushpipe schema > hushpipe.schema.json
  # yaml-language-server: $schema=hushpipe.schema.json      in the first line of a manifest";

/// Prints the schema.
pub fn run() -> Outcome {
    output::print(&format!("{:#}\n", manifest::schema()))
}
