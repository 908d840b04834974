//! Reading files of allowed signers.

use std::fs::File;
use std::io;
use std::path::Path;

use super::error::ApprovalsError;
use crate::approval::{Civil, MAX_SIGNERS, Signers};
use crate::sys::walk::{self, Rule};
use crate::sys::{beneath, clock};

/// Reads one that only root, or this user, can change.
pub fn read(path: &Path) -> Result<Signers, ApprovalsError> {
    let file = walk::file(path, &Rule::STRICT).map_err(|source| ApprovalsError::Place {
        what: "the allowed signers",
        source,
    })?;
    parse(path, File::from(file))
}

fn parse(path: &Path, file: File) -> Result<Signers, ApprovalsError> {
    let bytes =
        beneath::read_whole(file, MAX_SIGNERS as u64).map_err(|source| system(path, source))?;
    Signers::parse(&bytes, &zone).map_err(|errors| ApprovalsError::Signers {
        path: path.to_owned(),
        errors,
    })
}

fn system(path: &Path, source: io::Error) -> ApprovalsError {
    ApprovalsError::System {
        doing: "read",
        path: path.to_owned(),
        source,
    }
}

/// The host's time zone.
fn zone(at: Civil) -> Option<i64> {
    let [month, day, hour, minute, second] =
        [at.month, at.day, at.hour, at.minute, at.second].map(u16::from);
    clock::of_host([at.year, month, day, hour, minute, second])
}
