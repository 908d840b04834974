//! Loading the manifest that a command line means.

use std::path::Path;

use super::{Failure, Palette, Stream};
use crate::app::manifest_of_root;
use crate::manifest::{self, ManifestError, Overrides};
use crate::model::Plan;

/// Finds, reads and checks the manifest; a fault is shown with excerpts.
pub fn load(explicit: Option<&Path>, overrides: &Overrides) -> Result<Plan, Failure> {
    manifest::find(explicit)
        .and_then(|path| manifest::load(&path, overrides, manifest_of_root))
        .map_err(|error| failure(&error))
}

fn failure(error: &ManifestError) -> Failure {
    let shown = error.render(Palette::of(Stream::Stderr).is_colour());
    Failure::shown(error.exit(), error.text(), shown)
}
