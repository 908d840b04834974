//! Loading the site of this host, and the manifest that a command line means.

use std::path::Path;
use std::rc::Rc;

use super::said::SaidArgs;
use super::{Failure, Palette, Stream};
use crate::app::approvals::manifests;
use crate::app::{Governance, credentials, manifest_of_root, site};
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

/// The host's site, where its warnings are of no use.
pub fn site() -> Result<Option<Site>, Failure> {
    let found = site::load().map_err(|error| failure(&error))?;
    Ok(found.site)
}

/// Finds, reads and checks the site and the manifest; a fault is shown with excerpts.
pub fn load(explicit: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Failure> {
    let found = site::load().map_err(|error| failure(&error))?;
    let site = found.site;
    let path = manifest::find(explicit).map_err(|error| failure(&error))?;
    let text = manifest::read(&path, manifest_of_root).map_err(|error| failure(&error))?;
    // What was read is what is verified and what is decoded.
    let signer = match site.as_ref().and_then(|site| site.manifests.as_ref()) {
        Some(wanted) => Some(
            manifests::signer(wanted, &path, text.text.as_bytes())
                .map_err(|error| Failure::new(error.exit(), &error))?,
        ),
        None => None,
    };
    let mut plan =
        manifest::plan(&path, &text, overrides, site.as_ref()).map_err(|error| failure(&error))?;
    plan.manifest_signer = signer;
    credentials::avoid_strangers(&mut plan);
    plan.warnings.splice(0..0, found.warnings);
    Ok(Loaded { plan, site })
}

impl Loaded {
    /// What governs a launch or a command, with what a person says for it.
    pub fn governed(self, said: SaidArgs) -> (Plan, Governance) {
        let governance = Governance {
            site: self.site.map(Rc::new),
            said: said.into(),
        };
        (self.plan, governance)
    }
}

/// What governs a command that has no manifest.
pub fn governance(said: SaidArgs) -> Result<Governance, Failure> {
    Ok(Governance {
        site: site()?.map(Rc::new),
        said: said.into(),
    })
}

/// As it is shown to people and to machines.
pub fn failure(error: &ManifestError) -> Failure {
    let shown = error.render(Palette::of(Stream::Stderr).is_colour());
    Failure::shown(error.exit(), error.text(), shown)
}
