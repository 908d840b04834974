//! Versions that are numbers, counted from 1: `v3` in messages, `3` where one is asked for.

use super::error::Fault;
use super::traits::Past;
use crate::model::{Version, VersionRef};

/// What such a version is called.
pub(super) fn named(number: u64) -> Version {
    Version(format!("v{number}"))
}

/// The number that is asked for.
pub(super) fn number(reference: &VersionRef) -> Result<u64, Fault> {
    reference.as_str().parse().map_err(|_| Fault::Missing {
        hint: format!("version {reference}: versions of this store are numbers, such as 3"),
    })
}

/// How a version and the one before it are asked for; `None`: it is not one of these.
pub(super) fn past(version: &Version) -> Option<Past> {
    let number: u64 = version.0.strip_prefix('v')?.parse().ok()?;
    let before = number.checked_sub(1).filter(|number| *number > 0);
    Some(Past {
        this: number.into(),
        before: before.map(VersionRef::from),
    })
}
