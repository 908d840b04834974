//! The site's policies: a directory of `*.cedar` and entities.json that root alone, or hushpipe's own
//! user, can change.

#[cfg(feature = "policy")]
mod directory;
#[cfg(not(feature = "policy"))]
mod without;

#[cfg(feature = "policy")]
pub use directory::{PolicyDirectory, Refreshed};
#[cfg(not(feature = "policy"))]
pub use without::{PolicyDirectory, Refreshed};

use std::cell::RefCell;
use std::rc::Rc;

use super::failure::Failures;
use crate::model::query::{Query, Ruling};
use crate::model::{Event, Observer, Policy, PolicySpec};

/// Reads and checks the policies of a site. All that is wrong is given; exit code 78.
pub fn open(spec: &PolicySpec) -> Result<PolicyDirectory, Failures> {
    PolicyDirectory::open(&spec.directory)
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
