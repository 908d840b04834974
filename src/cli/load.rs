//! Loading the site of this host, and the manifest that a command line means.

use std::path::Path;

use super::{Failure, Palette, Stream};
use crate::app::{manifest_of_root, site};
use crate::manifest::{self, ManifestError, Overrides};
use crate::model::{Plan, Site};

/// What a launch goes by.
#[derive(Debug)]
pub struct Loaded {
    /// The manifest, checked. The site's warnings are among its own.
    pub plan: Plan,
    /// The host's site.
    pub site: Option<Site>,
}

/// Finds, reads and checks the site and the manifest; a fault is shown with excerpts.
pub fn load(explicit: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Failure> {
    let found = site::load().map_err(|error| failure(&error))?;
    let site = found.site;
    let mut plan = manifest::find(explicit)
        .and_then(|path| {
            let text = manifest::read(&path, manifest_of_root)?;
            manifest::plan(&path, &text, overrides, site.as_ref())
        })
        .map_err(|error| failure(&error))?;
    plan.warnings.splice(0..0, found.warnings);
    Ok(Loaded { plan, site })
}

/// As it is shown to people and to machines.
pub fn failure(error: &ManifestError) -> Failure {
    let shown = error.render(Palette::of(Stream::Stderr).is_colour());
    Failure::shown(error.exit(), error.text(), shown)
}
