//! Policies that were checked, under a digest of their texts: a launch then neither parses nor validates
//! them, and builds those that may match it. What is wrong with the cache is no error, as the policies
//! themselves are there.
//!
//! Root alone writes there, so it is root's launches and `policy check` that fill it. Everybody may read what
//! they know the name of: they have the texts, and read them each time.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::model::Sha256;
use crate::policy::Policies;
use crate::sys::filesystem::{self, effective_uid};
use crate::sys::walk::{self, Links, Rule};
use crate::sys::{beneath, held};

/// Where it is.
const DIRECTORY: &str = "/var/cache/hushpipe";

/// How the names of its files begin.
const PREFIX: &str = "policies-";

/// So many files are kept: of this and earlier texts, of this and other sites.
const MOST: usize = 8;

/// No more is read.
const MAX: u64 = 64 << 20;

const RULE: Rule<'static> = Rule {
    links: Links::Before,
    ..Rule::ROOT
};

/// Of texts, and of what this build makes of them. It cannot be told from the digest of the texts alone,
/// which is in requests for approvals, so that whoever has it had all of the texts.
#[derive(Clone, Copy, Debug)]
pub struct Key(pub Sha256);

impl Key {
    fn name(self) -> String {
        format!("{PREFIX}{}", self.0)
    }
}

/// The policies of these texts, if they were kept.
pub fn load(key: Key) -> Option<Policies> {
    let path = Path::new(DIRECTORY).join(key.name());
    let file = File::from(walk::file(&path, &RULE).ok()?);
    Policies::from_cache(beneath::read_whole(file, MAX).ok()?)
}

/// Keeps them. A host where that cannot be is slower.
pub fn store(key: Key, policies: &Policies) {
    if effective_uid() == 0 {
        // Read-only, or full: what cannot be kept is made again.
        keep(key, policies).ok();
    }
}

fn keep(key: Key, policies: &Policies) -> io::Result<()> {
    let directory = held::make_directories(Path::new(DIRECTORY), &RULE);
    let directory = directory.map_err(io::Error::other)?;
    // Names are not for all.
    filesystem::change_mode(&directory, 0o711)?;
    held::publish(&directory, key.name().as_ref(), policies.to_cache())?;
    prune(&directory)
}

/// Removes what was written longest ago, and what killed writers left.
fn prune(directory: &OwnedFd) -> io::Result<()> {
    let mut files = Vec::new();
    for name in filesystem::entries(directory)? {
        if let Some(status) = filesystem::status_at(directory, &name)? {
            files.push((status.modified_at(), name));
        }
    }
    files.sort_unstable();
    let many = files.len().saturating_sub(MOST);
    for (_, name) in &files[..many] {
        filesystem::unlink_at(directory, name)?;
    }
    Ok(())
}
