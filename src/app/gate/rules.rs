//! A site's policy at work: what it rules, and what follows from that.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::queries::{Made, as_of_now};
use crate::app::approvals::{Approvals, ApprovalsError, Granted, Held, Lifetime, Need};
use crate::approval::Request;
use crate::model::printable::printable;
use crate::model::query::{Effect, Obligation, Query, Resource, Ruling, Time};
use crate::model::{
    ApprovalSpec, Approved, Decision, Denial, DeniedBy, Event, Observer, Policy, PolicyMode,
    PolicySpec, Reason, Verdict,
};
use crate::sys::filesystem::effective_uid;
use crate::sys::syslog;

/// Who rules, and how strictly.
pub struct Rules {
    policy: Box<dyn Policy>,
    spec: PolicySpec,
    approvals: Option<Approvals>,
    observer: Rc<dyn Observer>,
    /// What a rotation was denied last: it is tried again and again, and is on record once.
    last: RefCell<Vec<Decision>>,
}

/// Why there are no approvals.
pub enum Lacking {
    /// Those that there are do not suffice: what is missing, a line each.
    Notes(Vec<String>),
    /// They could not be looked for.
    Failed(ApprovalsError),
}

impl From<ApprovalsError> for Lacking {
    fn from(error: ApprovalsError) -> Self {
        match error {
            ApprovalsError::Waiting(waiting) => Self::Notes(waiting.notes()),
            other => Self::Failed(other),
        }
    }
}

/// Whether approvals are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// They are waited for, as long as the site says.
    Wait,
    /// They are not asked for: it is only looked at what would be decided.
    Look,
}

/// A release or command that only lacks approvals.
#[derive(Clone, Debug)]
pub struct Open {
    /// All decisions; those that lack approvals are denied so far.
    pub decisions: Vec<Decision>,
}

/// What was decided on a release that may be.
pub struct Decided {
    /// On each secret.
    pub decisions: Vec<Decision>,
    /// Of all policies that were in force.
    pub policies: String,
    /// Approvals that it takes.
    pub granted: Option<Granted>,
}

impl Open {
    /// The same questions, as they are now.
    pub fn queries_now(&self) -> Vec<Query> {
        queries_now(&self.decisions, None)
    }
}

/// The questions of these decisions, as they are now; with `made`, of versions that were made then.
pub fn queries_now(decisions: &[Decision], made: Option<&Made>) -> Vec<Query> {
    let queries = decisions.iter().map(|one| one.query.clone());
    as_of_now(queries.collect(), made)
}

/// What came of a question to policy.
#[derive(Debug)]
pub enum Judged {
    /// All of it may be.
    Granted(Vec<Decision>),
    /// It may be, once it is approved.
    Open(Open),
    /// It may not.
    Denied(Denial),
}

impl Rules {
    /// By this policy, as the site says.
    pub fn new(
        policy: impl Policy + 'static,
        spec: PolicySpec,
        observer: &Rc<dyn Observer>,
    ) -> Self {
        Self {
            policy: Box::new(policy),
            spec,
            approvals: None,
            observer: Rc::clone(observer),
            last: RefCell::default(),
        }
    }

    /// With approvals from there.
    #[must_use]
    pub fn approved_by(self, spec: Option<&ApprovalSpec>) -> Self {
        Self {
            approvals: spec.map(Approvals::new),
            ..self
        }
    }

    /// Finds approvals, or makes a request for them and waits as long as the site says.
    pub async fn obtain(&self, open: &Open) -> Result<Granted, Lacking> {
        self.obtain_by(self.approvals()?, open).await
    }

    /// As [`Rules::obtain`], without waiting.
    pub fn obtain_now(&self, open: &Open) -> Result<Granted, Lacking> {
        let approvals = self.approvals()?.without_waiting();
        let obtaining = pin!(self.obtain_by(&approvals, open));
        match obtaining.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(obtained) => obtained,
            Poll::Pending => Err(Lacking::Notes(Vec::new())),
        }
    }

    async fn obtain_by(&self, approvals: &Approvals, open: &Open) -> Result<Granted, Lacking> {
        let need = self.need(open)?;
        let members = |person: &str, group: &str| self.policy.is_member(person, group);
        Ok(approvals
            .obtain(&need, &members, self.observer.as_ref())
            .await?)
    }

    /// Requests approvals ahead of a launch.
    pub fn request(&self, open: &Open, lifetime: Lifetime) -> Result<Request, Lacking> {
        let (approvals, need) = (self.approvals()?, self.need(open)?);
        Ok(approvals.request_ahead(&need, lifetime, self.observer.as_ref())?)
    }

    /// Whether the approvals that it lacks are there.
    pub fn is_approved(&self, open: &Open) -> Result<bool, Lacking> {
        let (approvals, need) = (self.approvals()?, self.need(open)?);
        let members = |person: &str, group: &str| self.policy.is_member(person, group);
        Ok(approvals.is_approved(&need, &members)?)
    }

    fn need(&self, open: &Open) -> Result<Need, Lacking> {
        let decided = open.decisions.iter();
        let decided = decided
            .filter(|decision| decision.verdict == Verdict::Denied)
            .map(|decision| (&decision.query, &decision.ruling));
        let need = Need::of(decided, &self.policy.digest())?;
        need.ok_or_else(|| Lacking::Notes(Vec::new()))
    }

    /// Whether approvals that were obtained are all that is needed.
    pub fn still_needs(&self, open: &Open, granted: &Granted) -> bool {
        self.need(open).is_ok_and(|need| granted.is_for(&need))
    }

    /// Whether the age of a secret may decide.
    pub fn reads_age(&self) -> bool {
        self.policy.reads_age()
    }

    /// Of the policies in force now, which are read again if they have changed.
    pub fn policies_now(&self) -> String {
        self.policy.rule(&[]);
        self.policy.digest()
    }

    /// By the policies that have just answered.
    pub fn decided(&self, decisions: Vec<Decision>, granted: Option<Granted>) -> Decided {
        if are_of_a_rotation(&decisions) {
            self.last.take();
        }
        Decided {
            decisions,
            policies: self.policy.digest(),
            granted,
        }
    }

    /// What only lacked these approvals.
    pub fn granted(&self, open: Open, granted: Granted) -> Decided {
        let decisions = self.approved(open);
        self.decided(decisions, Some(granted))
    }

    /// Spends what was obtained. It counts from then on.
    pub fn spend(&self, granted: &Granted) -> Result<Vec<Approved>, Lacking> {
        let members = |person: &str, group: &str| self.policy.is_member(person, group);
        Ok(self
            .approvals()?
            .spend(granted, &members, self.observer.as_ref())?)
    }

    fn approvals(&self) -> Result<&Approvals, Lacking> {
        self.approvals.as_ref().ok_or_else(|| {
            let note = "the site has no `approvals:`, so that nobody can approve it";
            Lacking::Notes(vec![note.to_owned()])
        })
    }

    /// Decides on all of these, with the approvals that there are. One that is refused refuses all.
    pub fn judge(&self, queries: Vec<Query>, held: &[Held]) -> Judged {
        let rulings = self.policy.rule(&queries);
        // Of the policies that have just answered.
        let held = Holding {
            held,
            policies: self.policy.digest(),
        };
        let mut wanted = Vec::new();
        let decisions = queries.into_iter().zip(rulings).map(|(query, ruling)| {
            let (verdict, open) = self.verdict(&query, &ruling, &held);
            wanted.push(open);
            Decision {
                query,
                ruling,
                verdict,
            }
        });
        let decisions: Vec<Decision> = decisions.collect();
        let denied = |(decision, open): (&Decision, &Vec<Obligation>)| {
            decision.verdict == Verdict::Denied && open.is_empty()
        };
        let is_final = decisions.iter().zip(&wanted).any(denied);
        if is_final {
            return Judged::Denied(self.denied(decisions, Vec::new()));
        }
        if wanted.iter().any(|open| !open.is_empty()) {
            return Judged::Open(Open { decisions });
        }
        self.observe(&decisions);
        Judged::Granted(decisions)
    }

    /// What follows from a ruling; and the approvals that it takes, if nothing else is missing.
    fn verdict(
        &self,
        query: &Query,
        ruling: &Ruling,
        held: &Holding<'_>,
    ) -> (Verdict, Vec<Obligation>) {
        let refused = match self.spec.mode {
            PolicyMode::Observe => Verdict::Observed,
            PolicyMode::Enforce => Verdict::Denied,
        };
        match ruling.effect {
            Effect::Allow => (Verdict::Allowed, Vec::new()),
            Effect::Deny => (refused, Vec::new()),
            Effect::Pending => {
                let unmet = ruling.obligations.iter();
                let unmet = unmet.filter(|obligation| !held.meets(obligation, query));
                let unmet: Vec<Obligation> = unmet.cloned().collect();
                let is_approval = |one: &Obligation| matches!(one, Obligation::Approval { .. });
                if unmet.is_empty() {
                    (Verdict::Met, unmet)
                } else if refused == Verdict::Denied && unmet.iter().all(is_approval) {
                    (refused, unmet)
                } else {
                    (refused, Vec::new())
                }
            }
        }
    }

    /// What only lacked approvals, now that there are all of them.
    fn approved(&self, open: Open) -> Vec<Decision> {
        let decisions = open.decisions.into_iter().map(|decision| {
            let verdict = match decision.verdict {
                Verdict::Denied => Verdict::Met,
                other => other,
            };
            Decision {
                verdict,
                ..decision
            }
        });
        let decisions: Vec<Decision> = decisions.collect();
        self.observe(&decisions);
        decisions
    }

    /// A refusal of those that are denied.
    pub fn denied(&self, decisions: Vec<Decision>, notes: Vec<String>) -> Denial {
        let repeated = self.is_repeated(&decisions);
        if !repeated {
            self.observe(&decisions);
        }
        let asked = decisions.len();
        let refused = decisions.into_iter();
        let refused: Vec<Decision> = refused
            .filter(|decision| !decision.verdict.is_granted())
            .collect();
        let facts = refused.iter();
        let facts = facts.map(|decision| self.policy.facts(&decision.query, &decision.ruling));
        Denial {
            facts: facts.collect(),
            refused,
            repeated,
            asked,
            by: DeniedBy::Policy(self.spec.directory.clone()),
            notes,
        }
    }

    /// Whether the same was denied at a rotation before, and nothing was allowed since.
    fn is_repeated(&self, decisions: &[Decision]) -> bool {
        if !are_of_a_rotation(decisions) {
            return false;
        }
        let timeless = decisions.iter().cloned().map(|mut decision| {
            decision.query.context.time = Time::default();
            if let Resource::Secret(secret) = &mut decision.query.resource {
                secret.age = 0;
            }
            decision
        });
        let now: Vec<Decision> = timeless.collect();
        self.last.replace(now.clone()) == now
    }

    fn observe(&self, decisions: &[Decision]) {
        for decision in decisions {
            let Decision {
                query,
                ruling,
                verdict,
            } = decision;
            self.observer.observe(&Event::PolicyDecided {
                action: query.action,
                resource: query.resource.name().to_owned(),
                principal: query.principal.name().to_owned(),
                effect: ruling.effect,
                verdict: *verdict,
                policies: ruling.policies.clone(),
            });
        }
    }

    /// Says that somebody broke the glass: to the observer, which the caller may silence or throw away, and
    /// to the host's syslog, where the caller cannot.
    pub fn glass_broken(&self, queries: &[Query], by: Option<(i32, u32)>) {
        // The facts are those of each.
        let Some(query) = queries.first() else { return };
        if query.context.facts.break_glass {
            let event = Event::BreakGlass {
                action: query.action,
                reason: query.context.facts.reason.clone(),
                by,
            };
            self.observer.observe(&event);
            syslog::alert(&alert(query, &event));
        }
    }
}

fn are_of_a_rotation(decisions: &[Decision]) -> bool {
    let is_one = |decision: &Decision| decision.query.context.occasion == Reason::Rotation.word();
    !decisions.is_empty() && decisions.iter().all(is_one)
}

/// Who broke the glass for what: one line.
fn alert(query: &Query, event: &Event) -> String {
    let facts = &query.context.facts;
    let login = match u32::try_from(facts.login_uid) {
        Ok(login) => format!(", login uid {login}"),
        Err(_) => String::new(),
    };
    let line = format!(
        "{}; for {}, {} (uid {}{login})",
        event.message(),
        query.principal.name(),
        query.resource.name(),
        effective_uid(),
    );
    printable(&line)
}

/// Approvals that a launcher has, and the digest of the policies in force.
struct Holding<'a> {
    held: &'a [Held],
    policies: String,
}

impl Holding<'_> {
    fn meets(&self, obligation: &Obligation, query: &Query) -> bool {
        match obligation {
            Obligation::Reason { .. } => !query.context.facts.reason.trim().is_empty(),
            Obligation::Approval { policy, .. } => {
                let mut held = self.held.iter();
                held.any(|held| held.lifts(policy, query, &self.policies))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::query::{Action, Context, Facts, Principal, Secret, Service};

    #[test]
    fn an_alert_is_one_line_that_says_who_and_what() {
        let facts = Facts {
            reason: "down\n\u{1b}[2J".to_owned(),
            break_glass: true,
            login_uid: 1000,
            ..Facts::default()
        };
        let query = Query {
            principal: Principal::Service(Service {
                name: "shop".to_owned(),
                ..Service::default()
            }),
            action: Action::Deliver,
            resource: Resource::Secret(Box::new(Secret {
                name: "db".to_owned(),
                ..Secret::default()
            })),
            context: Context {
                facts,
                ..Context::default()
            },
        };
        let event = Event::BreakGlass {
            action: query.action,
            reason: query.context.facts.reason.clone(),
            by: None,
        };
        let uid = effective_uid();
        let line = format!(
            "break-glass to deliver: down\\n\\u{{1b}}[2J; for shop, db (uid {uid}, login uid 1000)"
        );
        assert_eq!(alert(&query, &event), line);
    }
}
