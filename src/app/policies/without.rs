//! In place of the directory, in a build without policies: a site that has some is refused.

use std::path::Path;

use crate::app::failure::{Failure, Failures};
use crate::model::{Exit, Sha256};
use crate::policy::Policies;

/// There is none.
#[derive(Debug)]
pub struct PolicyDirectory(Policies);

/// What became of the policies.
#[derive(Debug)]
pub enum Refreshed {
    /// They are as they were.
    Same,
    /// They were read anew.
    Changed,
    /// They cannot be read any more.
    Kept(String),
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the site has a policy, and this build of hushpipe lacks the feature `policy`: install a build with it"
)]
struct NoFeature;

impl PolicyDirectory {
    /// Refused.
    pub fn open_cached(_: &Path) -> Result<Self, Failures> {
        Err(vec![Failure::new(Exit::Manifest, NoFeature)])
    }

    /// There are none.
    pub const fn policies(&self) -> &Policies {
        &self.0
    }

    /// Never called.
    pub const fn sha256(&self) -> Sha256 {
        match self.0 {}
    }

    /// Never called.
    pub fn refresh(&mut self) -> Refreshed {
        match self.0 {}
    }
}
