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

use std::cell::RefCell;
use std::rc::Rc;

use super::failure::Failures;
use crate::model::query::{Query, Ruling};
use crate::model::{Event, Observer, Policy, PolicySpec};
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

/// A site's policies at work: before each decision the directory is looked at again.
pub struct SitePolicy {
    directory: RefCell<PolicyDirectory>,
    observer: Rc<dyn Observer>,
}

impl SitePolicy {
    /// As [`open`] gives them; the observer sees when they change, or cannot be read any more.
    pub fn new(directory: PolicyDirectory, observer: &Rc<dyn Observer>) -> Self {
        Self {
            directory: RefCell::new(directory),
            observer: Rc::clone(observer),
        }
    }

    fn refresh(&self) {
        let mut directory = self.directory.borrow_mut();
        let event = match directory.refresh() {
            Refreshed::Same => return,
            Refreshed::Changed => Event::PolicyReloaded {
                policies: directory.policies().len(),
            },
            Refreshed::Kept(message) => Event::PolicyStale { message },
        };
        self.observer.observe(&event);
    }
}

impl Policy for SitePolicy {
    fn rule(&self, queries: &[Query]) -> Vec<Ruling> {
        self.refresh();
        let directory = self.directory.borrow();
        let decide = |query| directory.policies().decide(query);
        queries.iter().map(decide).collect()
    }
}
