//! What a site brings to the gate: policies in force, approvals, and the facts of a launch.

use std::cell::RefCell;
use std::rc::Rc;

use crate::app::approvals::{RecentGroups, UnixGroups};
use crate::app::facts;
use crate::app::failure::Failures;
use crate::app::policies::{self, PolicyDirectory, Refreshed};
use crate::approval::Members;
use crate::model::query::{Facts, Justification, Query, Ruling};
use crate::model::{Event, Observer, Plan, Policy, PolicySpec, Site};
use crate::supervisor::spawn::Launch;

/// What governs a launch or a command.
#[derive(Clone, Debug, Default)]
pub struct Governance {
    /// `None`: nothing does.
    pub site: Option<Rc<Site>>,
    /// `--reason` and `--break-glass`.
    pub said: Justification,
}

/// The policies of a directory, read again where it has changed.
pub struct InForce {
    directory: RefCell<PolicyDirectory>,
    groups: RecentGroups,
    observer: Rc<dyn Observer>,
}

impl InForce {
    /// Reads and checks them.
    pub fn open(spec: &PolicySpec, observer: &Rc<dyn Observer>) -> Result<Self, Failures> {
        Ok(Self {
            directory: RefCell::new(policies::open(spec)?),
            groups: RecentGroups::default(),
            observer: Rc::clone(observer),
        })
    }
}

/// Who is in which group, by a site's policies; by the host's groups alone, where it has none.
pub fn members(site: &Site) -> Result<impl Members, Failures> {
    let observer: Rc<dyn Observer> = Rc::new(());
    let policy = site.policy.as_ref();
    let policy = policy
        .map(|spec| InForce::open(spec, &observer))
        .transpose()?;
    Ok(move |person: &str, group: &str| match &policy {
        Some(policy) => policy.is_member(person, group),
        None => UnixGroups.is_member(person, group),
    })
}

impl Policy for InForce {
    fn rule(&self, queries: &[Query]) -> Vec<Ruling> {
        let mut directory = self.directory.borrow_mut();
        match directory.refresh() {
            Refreshed::Same => {}
            Refreshed::Changed => self.observer.observe(&Event::PolicyReloaded {
                policies: directory.policies().len(),
            }),
            Refreshed::Kept(message) => self.observer.observe(&Event::PolicyStale { message }),
        }
        let policies = directory.policies();
        queries.iter().map(|query| policies.decide(query)).collect()
    }

    fn reads_age(&self) -> bool {
        self.directory.borrow().policies().reads_age()
    }

    fn facts(&self, query: &Query, ruling: &Ruling) -> Vec<String> {
        let directory = self.directory.borrow();
        directory.policies().facts_read(query, ruling)
    }

    fn digest(&self) -> String {
        self.directory.borrow().sha256().to_string()
    }

    /// By entities.json, or by the host's groups, which may be in groups of entities.json.
    fn is_member(&self, person: &str, group: &str) -> bool {
        let directory = self.directory.borrow();
        let groups = self.groups.of(person);
        directory.policies().is_member(person, &groups, group)
    }
}

impl Governance {
    /// What is found out about a launch; `None`: there is no site.
    pub fn facts(&self, plan: &Plan, launch: &Launch) -> Option<Facts> {
        let facts = facts::of_launch(plan, self.site.as_deref()?, launch);
        Some(self.with_words(facts))
    }

    /// Whether the site accepts signed manifests alone.
    pub fn wants_signatures(&self) -> bool {
        let site = self.site.as_ref();
        site.is_some_and(|site| site.manifests.is_some())
    }

    /// What is found out about a command of this process's user; `None`: there is no site.
    pub fn facts_of_command(&self, plan: Option<&Plan>) -> Option<Facts> {
        let facts = facts::of_command(plan, self.site.as_deref()?);
        Some(self.with_words(facts))
    }

    fn with_words(&self, mut facts: Facts) -> Facts {
        self.said.apply(&mut facts);
        facts
    }
}
