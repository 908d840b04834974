//! The gate: what policy allows is fetched, and what is on record is delivered. It alone makes
//! [`Authorised`], which fetching takes; [`Receipt`], which placing and swapping take, is made by
//! [`record`] alone.
//!
//! Without a site nothing is asked, and no fact is gathered.

mod queries;
mod rules;
mod sealed;
mod site;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::approvals::Granted;
use super::failure::{Failure, Failures};
use super::host::Host;
use crate::model::query::{Action, Facts, Justification, Person, Query};
use crate::model::{
    Approved, AuditError, Decision, Denial, Event, IsolationUsed, NoSite, Observer, Plan, Reason,
    Receipt, Recorder, Release, SecretName, Site, Topic, Version, chain, record,
};
use queries::Asking;
use rules::{Judged, Lacking};
pub use rules::{Patience, Rules};
pub use sealed::sealed_queries;
pub use site::Governance;
use site::InForce;

/// Who decides on releases, and who records them.
pub struct Gate {
    /// `None`: everything is allowed.
    rules: Option<Rules>,
    /// `None`: no fact is gathered.
    governance: Option<Governance>,
    recorder: Box<dyn Recorder>,
    /// Approvals that were spent for this launcher. They hold as long as it runs, for the policies that
    /// they were given for.
    held: RefCell<Vec<Approved>>,
    observer: Rc<dyn Observer>,
}

/// The program that gets the secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    program: PathBuf,
    uid: u32,
    /// Where its files would go; `None`: there are none.
    isolation: Option<IsolationUsed>,
    /// What was found out about the launch; `None`: nobody decides.
    facts: Option<Rc<Facts>>,
}

/// A release that policy allows: its secrets may be fetched, and it may be put on record.
pub struct Authorised<'p> {
    plan: &'p Plan,
    subject: Subject,
    reason: Reason,
    decisions: Vec<Decision>,
    /// Approvals that are spent when it is put on record.
    granted: Cell<Option<Granted>>,
}

impl Gate {
    /// Of a host without a site: everything may be, and nothing need be on record.
    pub fn without_site() -> Self {
        Self::new(None, NoSite, Rc::new(()))
    }

    /// As the site says, if there is one. Its policies are read and checked.
    pub fn of(governance: &Governance, observer: &Rc<dyn Observer>) -> Result<Self, Failures> {
        let Some(site) = &governance.site else {
            return Ok(Self::without_site());
        };
        let rules = site.policy.as_ref().map(|spec| {
            let policy = InForce::open(spec, observer)?;
            let rules = Rules::new(policy, spec.clone(), observer);
            Ok::<_, Failures>(rules.approved_by(site.approvals.as_ref()))
        });
        Ok(Self {
            governance: Some(governance.clone()),
            ..Self::new(rules.transpose()?, NoSite, Rc::clone(observer))
        })
    }

    /// The program that a settled host will start, as policy and audit see it.
    pub fn subject(&self, plan: &Plan, host: &Host) -> Subject {
        let governance = self.governance.as_ref();
        let facts = governance.and_then(|governance| governance.facts(plan, host));
        Subject::of(host, facts.map(Rc::new))
    }

    /// With these.
    pub fn new(
        rules: Option<Rules>,
        recorder: impl Recorder + 'static,
        observer: Rc<dyn Observer>,
    ) -> Self {
        Self {
            rules,
            governance: None,
            recorder: Box::new(recorder),
            held: RefCell::default(),
            observer,
        }
    }

    /// The host's site.
    pub fn site(&self) -> Option<&Site> {
        self.governance.as_ref()?.site.as_deref()
    }

    /// Whether policy is asked at all.
    pub const fn decides(&self) -> bool {
        self.rules.is_some()
    }

    /// Has policy decide on all secrets of a plan, before a store is asked. Approvals are waited for.
    pub async fn authorise<'p>(
        &self,
        plan: &'p Plan,
        subject: Subject,
        reason: Reason,
        patience: Patience,
    ) -> Result<Authorised<'p>, Failures> {
        let Some(rules) = &self.rules else {
            return Ok(subject.authorised(plan, reason));
        };
        let queries = subject.queries(plan, reason, None);
        rules.glass_broken(&queries, None);
        let decided = self.decide(rules, queries, patience).await?;
        Ok(subject.authorised(plan, reason).by(decided))
    }

    /// Has policy decide on these secrets at once, without waiting for an approval.
    pub fn authorise_now<'p>(
        &self,
        plan: &'p Plan,
        subject: Subject,
        reason: Reason,
        secrets: Option<&BTreeSet<SecretName>>,
    ) -> Result<Authorised<'p>, Denial> {
        let Some(rules) = &self.rules else {
            return Ok(subject.authorised(plan, reason));
        };
        let queries = subject.queries(plan, reason, secrets);
        let decided = self.decide_now(rules, queries)?;
        Ok(subject.authorised(plan, reason).by(decided))
    }

    /// Has policy decide again, at once, on files that cannot go where it was asked about: nothing is
    /// placed yet, and the program was settled anew. The decision is on record when this returns.
    pub fn elsewhere(
        &self,
        plan: &Plan,
        host: &Host,
        why: Reason,
        isolation: IsolationUsed,
    ) -> Result<(), Failures> {
        if !self.decides() {
            return Ok(());
        }
        let subject = self.subject(plan, host).placed(isolation);
        let authorised = self.authorise_now(plan, subject, why, None).map_err(one)?;
        self.spend(&authorised)?;
        let recorded = self.recorder.decided(&authorised.decisions);
        recorded.map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }

    /// Decides; where only approvals are missing, waits for them.
    async fn decide(
        &self,
        rules: &Rules,
        queries: Vec<Query>,
        patience: Patience,
    ) -> Result<(Vec<Decision>, Option<Granted>), Failures> {
        let held = self.held.borrow().clone();
        let open = match rules.judge(queries, &held) {
            Judged::Granted(decisions) => return Ok((decisions, None)),
            Judged::Denied(denial) => return Err(one(self.refuse(denial))),
            Judged::Open(open) => open,
        };
        if patience == Patience::Look {
            return Err(one(rules.denied(open.decisions, Vec::new())));
        }
        match rules.obtain(&open).await {
            Ok(granted) => Ok((rules.approved(open), Some(granted))),
            Err(Lacking::Notes(notes)) => {
                Err(one(self.refuse(rules.denied(open.decisions, notes))))
            }
            Err(Lacking::Failed(error)) => Err(vec![Failure::new(error.exit(), error)]),
        }
    }

    /// As [`Gate::decide`], without waiting.
    fn decide_now(
        &self,
        rules: &Rules,
        queries: Vec<Query>,
    ) -> Result<(Vec<Decision>, Option<Granted>), Denial> {
        let held = self.held.borrow().clone();
        let open = match rules.judge(queries, &held) {
            Judged::Granted(decisions) => return Ok((decisions, None)),
            Judged::Denied(denial) => return Err(self.refuse(denial)),
            Judged::Open(open) => open,
        };
        let notes = match rules.obtain_now(&open) {
            Ok(granted) => return Ok((rules.approved(open), Some(granted))),
            Err(Lacking::Notes(notes)) => notes,
            Err(Lacking::Failed(error)) => vec![chain(&error)],
        };
        Err(self.refuse(rules.denied(open.decisions, notes)))
    }

    /// Spends the approvals of a release, before it is on record.
    fn spend(&self, authorised: &Authorised<'_>) -> Result<Vec<Approved>, Failures> {
        let (Some(rules), Some(granted)) = (&self.rules, authorised.granted.take()) else {
            return Ok(Vec::new());
        };
        let spent = rules.spend(&granted).map_err(|lacking| match lacking {
            Lacking::Notes(notes) => one(rules.denied(authorised.decisions.clone(), notes)),
            Lacking::Failed(error) => vec![Failure::new(error.exit(), error)],
        })?;
        self.held.borrow_mut().extend(spent.iter().cloned());
        Ok(spent)
    }

    /// Puts a denial on record. It stays one if that fails.
    fn refuse(&self, denial: Denial) -> Denial {
        if let Err(error) = self.recorder.decided(&denial.refused) {
            self.observer.observe(&Event::Fault {
                about: Topic::Audit,
                message: error.to_string(),
            });
        }
        denial
    }

    /// Has policy decide whether a person may do this with secrets of a running service (none: with the
    /// service). The decision is on record when this returns.
    pub fn command(
        &self,
        command: &Command<'_>,
        subject: &Subject,
        plan: &Plan,
    ) -> Result<(), Failures> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        let facts = subject.facts.clone().unwrap_or_default();
        let asking = subject.asking(plan, &facts);
        let who = (command.person, command.action);
        let queries = asking.command(who, command.secrets, command.said);
        rules.glass_broken(&queries, command.by);
        self.command_decided(rules, queries)
    }

    /// As [`Gate::command`], for questions that are made elsewhere.
    fn command_decided(&self, rules: &Rules, queries: Vec<Query>) -> Result<(), Failures> {
        // Approvals are for launches alone.
        let (decisions, _) = self.decide_now(rules, queries).map_err(one)?;
        let recorded = self.recorder.decided(&decisions);
        recorded.map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }

    /// Has policy decide on commands that have no launcher: on sealed secrets.
    pub fn asked(&self, queries: Vec<Query>) -> Result<(), Failures> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        rules.glass_broken(&queries, None);
        self.command_decided(rules, queries)
    }

    /// Puts a release with these versions on record, before anything of it is delivered.
    pub async fn record(
        &self,
        authorised: &Authorised<'_>,
        versions: &BTreeMap<SecretName, Version>,
    ) -> Result<Receipt, Failures> {
        let approvals = self.spend(authorised)?;
        let release = Release {
            plan: authorised.plan,
            program: &authorised.subject.program,
            uid: authorised.subject.uid,
            reason: authorised.reason,
            versions,
            facts: authorised.subject.facts.as_deref(),
            decisions: &authorised.decisions,
            approvals: &approvals,
        };
        record(&*self.recorder, &release)
            .await
            .map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }
}

/// A person's command on a running service.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// Who, by the kernel's word.
    pub person: &'a Person,
    /// What.
    pub action: Action,
    /// With which secrets; none: with the service.
    pub secrets: &'a BTreeSet<SecretName>,
    /// The person's own words.
    pub said: &'a Justification,
    /// A process id and a uid.
    pub by: Option<(i32, u32)>,
}

fn one(denial: Denial) -> Failures {
    vec![Failure::new(Denial::EXIT, denial)]
}

impl Subject {
    /// That a settled host will start.
    pub fn of(host: &Host, facts: Option<Rc<Facts>>) -> Self {
        let first = host.order.first().copied();
        Self {
            program: host.launch.program().to_owned(),
            uid: host.launch.owner().0,
            isolation: first.filter(|_| !host.layout.is_empty()),
            facts,
        }
    }

    /// With its files, if it has some, where they went.
    #[must_use]
    pub fn placed(self, isolation: IsolationUsed) -> Self {
        Self {
            isolation: self.isolation.map(|_| isolation),
            ..self
        }
    }

    fn authorised(self, plan: &Plan, reason: Reason) -> Authorised<'_> {
        Authorised {
            plan,
            subject: self,
            reason,
            decisions: Vec::new(),
            granted: Cell::new(None),
        }
    }

    fn asking<'a>(&self, plan: &'a Plan, facts: &'a Facts) -> Asking<'a> {
        Asking {
            plan,
            facts,
            isolation: self.isolation,
            time: queries::now(),
        }
    }

    /// What policy is asked about these secrets of the plan; `None`: about all.
    pub fn queries(
        &self,
        plan: &Plan,
        reason: Reason,
        secrets: Option<&BTreeSet<SecretName>>,
    ) -> Vec<Query> {
        let facts = self.facts.clone().unwrap_or_default();
        let asking = self.asking(plan, &facts);
        match secrets {
            Some(secrets) => asking.deliver(secrets, reason),
            None => asking.deliver(&plan.secrets.keys().cloned().collect(), reason),
        }
    }
}

impl<'p> Authorised<'p> {
    fn by(self, (decisions, granted): (Vec<Decision>, Option<Granted>)) -> Self {
        Self {
            decisions,
            granted: Cell::new(granted),
            ..self
        }
    }

    /// The plan that was decided on.
    pub const fn plan(&self) -> &'p Plan {
        self.plan
    }
}
