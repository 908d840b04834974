//! Policies that were checked, beside the digest of their texts: a launch then neither validates them nor
//! parses those that cannot match. For root alone, in a directory that root alone can enter; what is wrong
//! with the cache is no error, as the policies themselves are there.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use crate::model::Sha256;
use crate::policy::Policies;
use crate::sys::filesystem::{self, effective_uid};
use crate::sys::walk::{self, Links, Rule};
use crate::sys::{beneath, held};

/// Where it is.
const DIRECTORY: &str = "/var/cache/hushpipe";

/// Its file: one for a host.
const NAME: &str = "policies";

/// No more is read: texts and what is known of them.
const MAX: u64 = 64 << 20;

const RULE: Rule<'static> = Rule {
    links: Links::Before,
    ..Rule::STRICT
};

/// Of whom it is: this build, and these texts.
fn header(sha256: Sha256) -> Vec<u8> {
    format!("{} {sha256}\n", Policies::cache_version()).into_bytes()
}

/// The policies of these texts, if they were kept.
pub fn load(sha256: Sha256) -> Option<Policies> {
    if effective_uid() != 0 {
        return None;
    }
    let path = Path::new(DIRECTORY).join(NAME);
    let file = File::from(walk::file(&path, &RULE).ok()?);
    let bytes = beneath::read_whole(file, MAX).ok()?;
    let kept = bytes.strip_prefix(header(sha256).as_slice())?;
    Policies::from_cache(kept)
}

/// Keeps them. A host where that cannot be is slower.
pub fn store(sha256: Sha256, policies: &Policies) {
    if effective_uid() == 0 {
        // Read-only, or full: what cannot be kept is made again.
        keep(sha256, policies).ok();
    }
}

fn keep(sha256: Sha256, policies: &Policies) -> io::Result<()> {
    let directory = held::make_directories(Path::new(DIRECTORY), &RULE);
    let directory = directory.map_err(io::Error::other)?;
    let temporary = held::unguessable(".policies-");
    let mut file = File::from(filesystem::make_file_at(&directory, &temporary)?);
    let written = file
        .write_all(&header(sha256))
        .and_then(|()| file.write_all(&policies.to_cache()))
        .and_then(|()| filesystem::change_mode(&file, 0o600))
        .and_then(|()| filesystem::rename_at(&directory, &temporary, NAME));
    if written.is_err() {
        filesystem::unlink_at(&directory, &temporary)?;
    }
    written
}
