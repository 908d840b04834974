//! Whether it is worth to look for approvals again: two calls of stat(2) in place of reading all requests,
//! their signatures and the allowed signers.

use std::time::{Duration, Instant, SystemTime};

use super::place;
use crate::model::ApprovalSpec;
use crate::sys::filesystem::{self, Status};

/// After so long it is looked again in any case: a request may have expired, and groups change.
const AT_MOST: Duration = Duration::from_secs(15);

/// Signers and requests as they look from outside.
pub struct Glance {
    /// What cannot be looked at is nothing, and what it is is said by whoever reads it.
    seen: [Option<Status>; 2],
    is_racy: bool,
    at: Instant,
}

impl Glance {
    pub fn at(spec: &ApprovalSpec) -> Self {
        let requests = place::requests(&spec.directory);
        let seen = [&spec.signers, &requests];
        let seen = seen.map(|path| filesystem::status_of_path(path).ok().flatten());
        let now = SystemTime::now();
        Self {
            is_racy: seen.iter().flatten().any(|status| status.is_racy(now)),
            seen,
            at: Instant::now(),
        }
    }

    /// Whether something may have changed since an earlier one, after which all was read.
    pub fn differs_from(&self, earlier: &Self) -> bool {
        self.seen != earlier.seen || earlier.is_racy || self.at.duration_since(earlier.at) > AT_MOST
    }
}
