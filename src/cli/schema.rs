//! `hushpipe schema`: the JSON Schemas of the manifest and of the site, for editors and for CI.

use clap::Args;

use super::{Outcome, output};
use crate::manifest;

const EXAMPLES: &str = "\
Examples:
  hushpipe schema > hushpipe.schema.json
  # yaml-language-server: $schema=hushpipe.schema.json      in the first line of a manifest
  hushpipe schema --site > site.schema.json                 of /etc/hushpipe/site.yaml";

/// Arguments of `schema`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArgs {
    /// Print the schema of the site, /etc/hushpipe/site.yaml
    #[arg(long)]
    site: bool,
}

/// Prints the schema.
pub fn run(arguments: &SchemaArgs) -> Outcome {
    let schema = if arguments.site {
        manifest::site_schema()
    } else {
        manifest::schema()
    };
    output::print(&format!("{schema:#}\n"))
}
