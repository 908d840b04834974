//! The gate: what policy allows is fetched, and what is on record is delivered. It alone makes
//! [`Authorised`], which fetching takes; [`Receipt`], which placing and swapping take, is made by
//! [`record`] alone.
//!
//! Without a site nothing is asked, and no fact is gathered.

mod ahead;
#[cfg(all(test, feature = "policy"))]
mod proof;
mod quarantine;
mod queries;
mod rules;
mod sealed;
mod site;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use super::approvals::{Granted, Held};
use super::audit::{Audit, By};
use super::failure::{Failure, Failures};
use super::host::Host;
use crate::model::query::{Action, Facts, Justification, Person, Query};
use crate::model::{
    Approved, AuditError, Decision, Denial, IsolationUsed, NoSite, Observer, Plan, Reason, Receipt,
    Recorder, Release, SecretName, Site, Version, chain, record,
};
use crate::secret::Value;
use crate::supervisor::spawn::Launch;
use quarantine::{Quarantine, Values};
use queries::Asking;
pub use queries::Made;
use rules::{Decided, Judged, Lacking, Open};
pub use rules::{Patience, Rules};
pub use sealed::sealed_queries;
use site::InForce;
pub use site::{Governance, members};

/// Who decides on releases, and who records them.
pub struct Gate {
    /// `None`: everything is allowed.
    rules: Option<Rules>,
    /// `None`: no fact is gathered.
    governance: Option<Governance>,
    recorder: Box<dyn Recorder>,
    /// The site's log, which the recorder writes.
    audit: Audit,
    /// Approvals that were spent for this launcher.
    held: RefCell<Vec<Held>>,
    /// What open incidents refuse; `None`: there is no site.
    quarantine: Option<Quarantine>,
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
    /// When the versions of its secrets were made, as far as that is known and policy goes by it.
    made: Rc<Made>,
}

/// A release that policy allows: its secrets may be fetched, and it may be put on record.
pub struct Authorised<'p> {
    plan: &'p Plan,
    subject: Subject,
    reason: Reason,
    decisions: Vec<Decision>,
    /// Of the policies that decided.
    policies: String,
    /// Approvals that are spent when it is put on record.
    granted: Cell<Option<Granted>>,
    /// Of what was fetched, where the site has a key for them.
    fingerprints: RefCell<BTreeMap<SecretName, Vec<[u8; 32]>>>,
    /// When what was fetched was made, where policy goes by it.
    made: RefCell<Option<Made>>,
    reads_age: bool,
    audit: Audit,
}

impl Gate {
    /// Of a host without a site: everything may be, and nothing need be on record.
    pub fn without_site() -> Self {
        Self::new(None, NoSite, Rc::new(()))
    }

    /// As the site says, if there is one. Its policies are read and checked; its log is not opened yet.
    pub fn of(
        governance: &Governance,
        by: By<'_>,
        observer: &Rc<dyn Observer>,
    ) -> Result<Self, Failures> {
        let Some(site) = &governance.site else {
            return Ok(Self {
                observer: Rc::clone(observer),
                ..Self::without_site()
            });
        };
        let audit = Audit::of(site.audit.as_ref(), by, observer)?;
        let observer = &audit.observer(observer);
        let rules = site.policy.as_ref().map(|spec| {
            let policy = InForce::open(spec, observer)?;
            let rules = Rules::new(policy, spec.clone(), observer);
            Ok::<_, Failures>(rules.approved_by(site.approvals.as_ref()))
        });
        Ok(Self {
            governance: Some(governance.clone()),
            quarantine: Some(Quarantine::new(site.incidents.directory.clone())),
            recorder: audit.recorder(),
            audit,
            ..Self::new(rules.transpose()?, NoSite, Rc::clone(observer))
        })
    }

    /// The program that a settled host will start, as policy and audit see it.
    pub fn subject(&self, plan: &Plan, host: &Host) -> Subject {
        let governance = self.governance.as_ref();
        let facts = governance.and_then(|governance| governance.facts(plan, &host.launch));
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
            audit: Audit::default(),
            held: RefCell::default(),
            quarantine: None,
            observer,
        }
    }

    /// What sees the events of a launch: the log of the site, and whoever saw them without one.
    pub fn observer(&self) -> Rc<dyn Observer> {
        Rc::clone(&self.observer)
    }

    /// The log of the site.
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The host's site.
    pub fn site(&self) -> Option<&Site> {
        self.governance.as_ref()?.site.as_deref()
    }

    /// Whether policy goes by the age of secrets.
    pub fn reads_age(&self) -> bool {
        self.rules.as_ref().is_some_and(Rules::reads_age)
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
        if patience == Patience::Wait {
            self.recorder.prepare().map_err(unrecorded)?;
        }
        self.free(plan, &subject, reason, None).map_err(one)?;
        let Some(rules) = &self.rules else {
            return Ok(self.authorised(subject, plan, reason));
        };
        let queries = subject.queries(plan, reason, None);
        rules.glass_broken(&queries, None);
        let decided = self.decide(rules, queries, patience).await?;
        Ok(self.authorised(subject, plan, reason).by(decided))
    }

    /// Has policy decide on these secrets at once, without waiting for an approval.
    pub fn authorise_now<'p>(
        &self,
        plan: &'p Plan,
        subject: Subject,
        reason: Reason,
        secrets: Option<&BTreeSet<SecretName>>,
    ) -> Result<Authorised<'p>, Denial> {
        self.free(plan, &subject, reason, secrets)?;
        let Some(rules) = &self.rules else {
            return Ok(self.authorised(subject, plan, reason));
        };
        let queries = subject.queries(plan, reason, secrets);
        let decided = self.decide_now(rules, queries)?;
        Ok(self.authorised(subject, plan, reason).by(decided))
    }

    fn authorised<'p>(&self, subject: Subject, plan: &'p Plan, reason: Reason) -> Authorised<'p> {
        Authorised {
            plan,
            subject,
            reason,
            decisions: Vec::new(),
            policies: String::new(),
            granted: Cell::new(None),
            fingerprints: RefCell::default(),
            made: RefCell::default(),
            reads_age: self.reads_age(),
            audit: self.audit.clone(),
        }
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
        self.decide_again(plan, &subject, why)
    }

    /// The same program, or another one in its place, as it would be started now with the same files.
    pub fn subject_again(&self, plan: &Plan, launch: &Launch, before: &Subject) -> Subject {
        let governance = self.governance.as_ref();
        let facts = governance.and_then(|governance| governance.facts(plan, launch));
        Subject {
            program: launch.program().to_owned(),
            uid: launch.owner().0,
            facts: facts.map(Rc::new),
            ..before.clone()
        }
    }

    /// Has policy decide anew, at once, on all secrets for a program that gets them again. Approvals are spent
    /// on it, and the decision is on record when this returns.
    pub fn decide_again(
        &self,
        plan: &Plan,
        subject: &Subject,
        why: Reason,
    ) -> Result<(), Failures> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        let decided = self.decide_now(rules, subject.queries(plan, why, None));
        let decided = decided.map_err(one)?;
        self.spend(rules, &decided.decisions, decided.granted)?;
        let recorded = self.recorder.decided(&decided.decisions);
        recorded.map_err(unrecorded)
    }

    /// Decides; where only approvals are missing, waits for them. Then it decides again, as policies and
    /// the hour may be others by then: an approval counts for what was approved and nothing else.
    async fn decide(
        &self,
        rules: &Rules,
        queries: Vec<Query>,
        patience: Patience,
    ) -> Result<Decided, Failures> {
        let mut open = match self.judge(rules, queries).map_err(one)? {
            ControlFlow::Break(decided) => return Ok(decided),
            ControlFlow::Continue(open) => open,
        };
        if patience == Patience::Look {
            return Err(one(rules.denied(open.decisions, Vec::new())));
        }
        loop {
            let granted = match rules.obtain(&open).await {
                Ok(granted) => granted,
                Err(lacking) => return Err(self.lacking(rules, open, lacking)),
            };
            open = match self.judge(rules, open.queries_now()).map_err(one)? {
                ControlFlow::Break(decided) => return Ok(decided),
                ControlFlow::Continue(open) => open,
            };
            if rules.still_needs(&open, &granted) {
                return Ok(rules.granted(open, granted));
            }
        }
    }

    /// Decides with the approvals that this launcher has. What only lacks others is given back.
    fn judge(
        &self,
        rules: &Rules,
        queries: Vec<Query>,
    ) -> Result<ControlFlow<Decided, Open>, Denial> {
        let held = self.held.borrow().clone();
        match rules.judge(queries, &held) {
            Judged::Granted(decisions) => Ok(ControlFlow::Break(rules.decided(decisions, None))),
            Judged::Denied(denial) => Err(self.refuse(denial)),
            Judged::Open(open) => Ok(ControlFlow::Continue(open)),
        }
    }

    fn lacking(&self, rules: &Rules, open: Open, lacking: Lacking) -> Failures {
        match lacking {
            Lacking::Notes(notes) => one(self.refuse(rules.denied(open.decisions, notes))),
            failed @ Lacking::Failed(_) => missing(rules, open.decisions, failed),
        }
    }

    /// As [`Gate::decide`], without waiting.
    fn decide_now(&self, rules: &Rules, queries: Vec<Query>) -> Result<Decided, Denial> {
        let open = match self.judge(rules, queries)? {
            ControlFlow::Break(decided) => return Ok(decided),
            ControlFlow::Continue(open) => open,
        };
        let notes = match rules.obtain_now(&open) {
            Ok(granted) => return Ok(rules.granted(open, granted)),
            Err(Lacking::Notes(notes)) => notes,
            Err(Lacking::Failed(error)) => vec![chain(&error)],
        };
        Err(self.refuse(rules.denied(open.decisions, notes)))
    }

    /// Decides again on a release that was fetched, which may have taken long, if policies have changed
    /// since, or if they go by the age of secrets and that is another one than was known: its decisions now,
    /// and what approvals were spent.
    fn settle(
        &self,
        authorised: &Authorised<'_>,
    ) -> Result<(Vec<Decision>, Vec<Approved>), Failures> {
        let decisions = &authorised.decisions;
        let Some(rules) = self.rules.as_ref().filter(|_| !decisions.is_empty()) else {
            return Ok((decisions.clone(), Vec::new()));
        };
        let made = authorised.made.borrow();
        let is_aged = made
            .as_ref()
            .is_none_or(|made| *made == *authorised.subject.made);
        if rules.policies_now() == authorised.policies && is_aged {
            let approvals = self.spend(rules, decisions, authorised.granted.take())?;
            return Ok((decisions.clone(), approvals));
        }
        let decided = self.decide_now(rules, rules::queries_now(decisions, made.as_ref()));
        let decided = decided.map_err(one)?;
        let approvals = self.spend(rules, &decided.decisions, decided.granted)?;
        Ok((decided.decisions, approvals))
    }

    /// Spends the approvals of a release, before it is on record.
    fn spend(
        &self,
        rules: &Rules,
        decisions: &[Decision],
        granted: Option<Granted>,
    ) -> Result<Vec<Approved>, Failures> {
        let Some(granted) = granted else {
            return Ok(Vec::new());
        };
        let spent = rules.spend(&granted);
        let spent = spent.map_err(|lacking| missing(rules, decisions.to_vec(), lacking))?;
        self.held.borrow_mut().push(granted.held(&spent));
        Ok(spent)
    }

    /// Whether no open incident holds these secrets of a plan; `None`: all.
    fn free(
        &self,
        plan: &Plan,
        subject: &Subject,
        reason: Reason,
        secrets: Option<&BTreeSet<SecretName>>,
    ) -> Result<(), Denial> {
        let Some(quarantine) = &self.quarantine else {
            return Ok(());
        };
        let queries = || subject.queries(plan, reason, secrets);
        quarantine
            .check(queries, None)
            .map_err(|denial| self.refuse(denial))
    }

    /// Whether no open incident holds the versions and values of a release.
    fn is_clean(
        &self,
        authorised: &Authorised<'_>,
        versions: &BTreeMap<SecretName, Version>,
    ) -> Result<(), Denial> {
        let Some(quarantine) = &self.quarantine else {
            return Ok(());
        };
        let fingerprints = authorised.fingerprints.borrow();
        let values = Values {
            versions,
            fingerprints: &fingerprints,
        };
        let secrets: BTreeSet<SecretName> = versions.keys().cloned().collect();
        let (plan, reason) = (authorised.plan, authorised.reason);
        let queries = || authorised.subject.queries(plan, reason, Some(&secrets));
        let checked = quarantine.check(queries, Some(&values));
        checked.map_err(|denial| self.refuse(denial))
    }

    /// Puts a denial on record, off the way of whoever is refused.
    fn refuse(&self, denial: Denial) -> Denial {
        if !denial.repeated {
            self.recorder.denied(&denial.refused);
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
        // Approvals are for launches alone.
        let decided = self.decide_now(rules, queries).map_err(one)?;
        self.recorder
            .decided(&decided.decisions)
            .map_err(unrecorded)
    }

    /// Has policy decide on commands that have no launcher: on sealed secrets. They are on record when
    /// this returns.
    pub fn asked(&self, queries: &[Query]) -> Result<(), Failures> {
        let decisions = match &self.rules {
            Some(rules) => {
                rules.glass_broken(queries, None);
                let decided = self.decide_now(rules, queries.to_vec());
                decided.map_err(one)?.decisions
            }
            None => Vec::new(),
        };
        let recorded = self.recorder.custody(queries, &decisions);
        recorded.map_err(unrecorded)
    }

    /// Puts a release with these versions on record, before anything of it is delivered.
    pub async fn record(
        &self,
        authorised: &Authorised<'_>,
        versions: &BTreeMap<SecretName, Version>,
    ) -> Result<Receipt, Failures> {
        self.is_clean(authorised, versions).map_err(one)?;
        let (decisions, approvals) = self.settle(authorised)?;
        let fingerprints = authorised.fingerprints.borrow().clone();
        let release = Release {
            plan: authorised.plan,
            program: &authorised.subject.program,
            uid: authorised.subject.uid,
            reason: authorised.reason,
            versions,
            facts: authorised.subject.facts.as_deref(),
            decisions: &decisions,
            approvals: &approvals,
            fingerprints: &fingerprints,
        };
        let recorded = record(&*self.recorder, &release).await;
        recorded.map_err(unrecorded)
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

/// What a release still lacks, as it is reported; it is not on record.
fn missing(rules: &Rules, decisions: Vec<Decision>, lacking: Lacking) -> Failures {
    match lacking {
        Lacking::Notes(notes) => one(rules.denied(decisions, notes)),
        Lacking::Failed(error) => vec![Failure::new(error.exit(), error)],
    }
}

fn unrecorded(error: AuditError) -> Failures {
    vec![Failure::new(AuditError::EXIT, error)]
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
            made: Rc::default(),
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

    /// With secrets whose versions were made then.
    #[must_use]
    pub fn aged(self, made: Made) -> Self {
        Self {
            made: Rc::new(made),
            ..self
        }
    }

    /// As another one is.
    #[must_use]
    pub fn aged_as(self, other: &Self) -> Self {
        Self {
            made: Rc::clone(&other.made),
            ..self
        }
    }

    fn asking<'a>(&'a self, plan: &'a Plan, facts: &'a Facts) -> Asking<'a> {
        Asking {
            plan,
            facts,
            isolation: self.isolation,
            made: &self.made,
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
    fn by(self, decided: Decided) -> Self {
        Self {
            decisions: decided.decisions,
            policies: decided.policies,
            granted: Cell::new(decided.granted),
            ..self
        }
    }

    /// The plan that was decided on.
    pub const fn plan(&self) -> &'p Plan {
        self.plan
    }

    /// Whether policy goes by the age of what is fetched for it.
    pub const fn reads_age(&self) -> bool {
        self.reads_age
    }

    /// Keeps when what was fetched was made.
    pub fn note_made(&self, made: Made) {
        self.made.borrow_mut().get_or_insert_default().extend(made);
    }

    /// Keeps the fingerprints of what was fetched, where the site has a key for them.
    pub fn note(&self, values: &BTreeMap<SecretName, Rc<Value>>) {
        self.fingerprints
            .borrow_mut()
            .extend(self.audit.fingerprints(values));
    }
}
