//! The site's policies: a directory of `*.cedar` and entities.json that root alone, or hushpipe's own
//! user, can change.

#[cfg(feature = "policy")]
mod cache;
#[cfg(feature = "policy")]
mod directory;
#[cfg(not(feature = "policy"))]
mod without;

#[cfg(feature = "policy")]
mod explain;
#[cfg(feature = "policy")]
mod replay;
#[cfg(feature = "policy")]
mod timing;

#[cfg(feature = "policy")]
pub use directory::{PolicyDirectory, Refreshed};
#[cfg(feature = "policy")]
pub use explain::{Explained, explain};
#[cfg(feature = "policy")]
pub use replay::{Change, Replay, ago};
#[cfg(feature = "policy")]
pub use timing::{Times, time};
#[cfg(not(feature = "policy"))]
pub use without::{PolicyDirectory, Refreshed};

use super::failure::Failures;
use crate::model::PolicySpec;
#[cfg(feature = "policy")]
use crate::policy;

/// Reads the cases of `policy test`; all that is wrong is given, a line each.
#[cfg(feature = "policy")]
pub fn cases(document: serde_json::Value) -> Result<Vec<policy::Case>, Vec<String>> {
    policy::cases(document)
}

/// The schema of policies, as Cedar writes it.
#[cfg(feature = "policy")]
pub const fn schema_text() -> &'static str {
    policy::schema_text()
}

/// The same in Cedar's JSON form.
#[cfg(feature = "policy")]
pub fn schema_json() -> serde_json::Value {
    policy::schema_json()
}

/// Reads and checks the policies of a site, or takes them from the cache. All that is wrong is given; exit
/// code 78.
pub fn open(spec: &PolicySpec) -> Result<PolicyDirectory, Failures> {
    PolicyDirectory::open_cached(&spec.directory)
}
