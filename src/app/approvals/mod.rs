//! Approvals at work: requests are written where a site says, signatures are looked for beside them and
//! judged by [`crate::approval`], and uses are spent.
//!
//! For a launch: [`Need::of`] says whether policies want approvals; [`Approvals::obtain`] finds a request
//! that fits and is approved, or writes one and waits for as long as the site says; [`Approvals::spend`]
//! puts a use on record, before anything is delivered. What is obtained and not spent is still there for
//! the next launch.

mod desk;
mod error;
mod glance;
mod ledger;
pub mod manifests;
mod members;
mod need;
mod place;
mod prune;
mod signers;
mod signing;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

pub use desk::{ApproveError, Approving, Shown};
pub use error::{ApprovalsError, Waiting};
use glance::Glance;
use ledger::Ledger;
pub use members::{RecentGroups, UnixGroups};
pub use need::{Held, Need};
use place::{Place, Stored, is_own};
pub use prune::{KEPT, Pruned};
pub use signing::{SigningError, sign};

use crate::approval::{
    Approver, Case, CheckError, MAX_USES, Members, Moment, Request, RequestId, Signers, Spent,
    Terms, Wanted, check, differences, terms,
};
use crate::model::{ApprovalSpec, Approved, Event, Observer};
use crate::sys::memory::fill_random;

/// A request that differs in more is of another launch.
const NEAR: usize = 3;

/// How often a launch that waits looks whether there is something new.
const EVERY: Duration = Duration::from_millis(500);

/// The approvals of a site.
#[derive(Clone, Debug)]
pub struct Approvals {
    spec: ApprovalSpec,
}

/// A launch that is approved. It is not spent yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an approval counts once it is spent"]
pub struct Granted {
    /// The request.
    pub request: RequestId,
    /// What was approved.
    need: Need,
}

impl Granted {
    /// What holds for its launcher, once it is spent.
    pub fn held(&self, spent: &[Approved]) -> Held {
        Held::new(&self.need, spent)
    }

    /// Whether it is what a launch needs, by the policies in force now.
    pub fn is_for(&self, need: &Need) -> bool {
        self.need == *need
    }
}

/// How long a request is good for.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Until then; `None`: for as long as every policy accepts it.
    pub expires: Option<Duration>,
    /// For so many launches.
    pub uses: u32,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            expires: None,
            uses: 1,
        }
    }
}

/// What was found.
enum Found {
    Approved(RequestId),
    /// A request that lacks signatures alone.
    Pending(Pending),
    Nothing,
}

struct Pending {
    request: RequestId,
    created: Moment,
    approvers: Vec<Approver>,
    errors: Vec<CheckError>,
}

impl Approvals {
    /// As the site says.
    pub fn new(spec: &ApprovalSpec) -> Self {
        Self { spec: spec.clone() }
    }

    /// The same, for who cannot wait: a rotation.
    #[must_use]
    pub fn without_waiting(&self) -> Self {
        let mut now = self.clone();
        now.spec.wait = Duration::ZERO;
        now
    }

    /// Finds an approval, or asks for one and waits: for as long as the site's `wait`, which may be not at
    /// all. Dropping the future ends the wait; the request stays, for the next launch.
    ///
    /// Whoever calls it lets signals end it (`Supervisor::during`), and lets systemd wait meanwhile
    /// (`Announcer::patiently`).
    pub async fn obtain(
        &self,
        need: &Need,
        members: &dyn Members,
        observer: &dyn Observer,
    ) -> Result<Granted, ApprovalsError> {
        let begun = Instant::now();
        let mut glance = Glance::at(&self.spec);
        let mut waiting = match self.look(need, members)? {
            Found::Approved(request) => return Ok(granted(need, request)),
            Found::Pending(pending) => pending,
            Found::Nothing => self.ask(need, observer)?,
        };
        let waits = !self.spec.wait.is_zero();
        if waits {
            announce(need, &waiting.request, waits, observer);
        }
        let mut known = Vec::new();
        loop {
            if waits {
                tell(need, &waiting, members, &mut known, observer);
            }
            if begun.elapsed() >= self.spec.wait {
                break;
            }
            sleep(EVERY.min(self.spec.wait)).await;
            let now = Glance::at(&self.spec);
            if !now.differs_from(&glance) {
                continue;
            }
            glance = now;
            match self.look(need, members)? {
                Found::Approved(request) => return Ok(granted(need, request)),
                Found::Pending(pending) => waiting = pending,
                // It expired, or was removed.
                Found::Nothing => break,
            }
        }
        Err(ApprovalsError::Waiting(Box::new(Waiting {
            request: waiting.request,
            approvers: names(&waiting.approvers),
            errors: waiting.errors,
            waited: self.spec.wait,
        })))
    }

    /// Spends a use, on record and on the disk before this returns, if the approval still counts. Gives
    /// what the audit log says of it, one for each policy.
    pub fn spend(
        &self,
        granted: &Granted,
        members: &dyn Members,
        observer: &dyn Observer,
    ) -> Result<Vec<Approved>, ApprovalsError> {
        let (need, id) = (&granted.need, &granted.request);
        let unknown = || ApprovalsError::Unknown {
            id: id.to_string(),
            path: self.spec.directory.clone(),
        };
        let place = Place::open(&self.spec.directory)?.ok_or_else(unknown)?;
        let signers = signers::read(&self.spec.signers)?;
        let stored = place.find(id)?.filter(is_own).ok_or_else(unknown)?;
        let request = stored.request.as_ref().map_err(|_| unknown())?;
        let ledger = Ledger::make(&self.spec.directory)?;
        let locked = ledger.lock()?;
        let judging = self.judging(need, &signers, members);
        let wanted = judging.wanted();
        let case = judging.case(&stored, request, &wanted, ledger.read(request)?);
        let approved = check(&case).map_err(|not| {
            ApprovalsError::Waiting(Box::new(Waiting {
                request: id.clone(),
                approvers: names(&not.approvers),
                errors: summary(not.errors, stored.unread),
                waited: Duration::ZERO,
            }))
        })?;
        locked.spend(id, judging.now)?;
        let spent = spent_on(need, id, &approved.approvers, members);
        for one in &spent {
            observer.observe(&Event::ApprovalSpent {
                request: one.request.clone(),
                policy: one.policy.clone(),
                people: one.people.clone(),
            });
        }
        Ok(spent)
    }

    /// Writes a request.
    pub fn request(&self, need: &Need, lifetime: Lifetime) -> Result<Request, ApprovalsError> {
        let mut nonce = [0; 16];
        fill_random(&mut nonce).map_err(|source| ApprovalsError::System {
            doing: "make a random id for a request in",
            path: self.spec.directory.clone(),
            source,
        })?;
        let created = now();
        let within = need.wanted.iter().map(|wanted| wanted.within).min();
        let lasts = lifetime.expires.or(within).unwrap_or_default();
        let request = Request::new(
            &need.launch,
            Terms {
                id: RequestId::new(nonce),
                by: need.requesters.first().cloned().unwrap_or_default(),
                created,
                // A second more: an approval is good for all of `within`.
                expires: created.after(lasts.saturating_add(Duration::from_secs(1))),
                uses: lifetime.uses.clamp(1, MAX_USES),
                wanted: need.wanted.clone(),
            },
        );
        Place::make(&self.spec.directory)?.write(&request)?;
        Ok(request)
    }

    fn judging<'a>(
        &'a self,
        need: &'a Need,
        signers: &'a Signers,
        members: &'a dyn Members,
    ) -> Judging<'a> {
        Judging {
            directory: &self.spec.directory,
            need,
            signers,
            members,
            now: now(),
        }
    }

    /// Whether there is a request that fits and is approved.
    pub fn is_approved(&self, need: &Need, members: &dyn Members) -> Result<bool, ApprovalsError> {
        Ok(matches!(self.look(need, members)?, Found::Approved(_)))
    }

    /// Writes a request ahead of a launch, and says so.
    pub fn request_ahead(
        &self,
        need: &Need,
        lifetime: Lifetime,
        observer: &dyn Observer,
    ) -> Result<Request, ApprovalsError> {
        let shortest = need.wanted.iter().min_by_key(|wanted| wanted.within);
        if let (Some(asked), Some(wanted)) = (lifetime.expires, shortest)
            && asked > wanted.within
        {
            return Err(ApprovalsError::TooLong {
                asked,
                policy: wanted.policy.clone(),
                within: wanted.within,
            });
        }
        self.tidy(observer);
        let request = self.request(need, lifetime)?;
        announce(need, &request.id, false, observer);
        Ok(request)
    }

    fn ask(&self, need: &Need, observer: &dyn Observer) -> Result<Pending, ApprovalsError> {
        self.tidy(observer);
        let request = self.request(need, Lifetime::default())?;
        // Whoever waits says so at each start.
        if self.spec.wait.is_zero() {
            announce(need, &request.id, false, observer);
        }
        let mut errors: Vec<CheckError> = need.wanted.iter().map(missing).collect();
        errors.extend(self.near(need)?);
        Ok(Pending {
            request: request.id,
            created: request.created,
            approvers: Vec::new(),
            errors,
        })
    }

    /// A signed request for the same service that this launch misses by little: made in another directory, or
    /// with other variables.
    fn near(&self, need: &Need) -> Result<Option<CheckError>, ApprovalsError> {
        let Some(place) = Place::open(&self.spec.directory)? else {
            return Ok(None);
        };
        for (id, names) in place.list()? {
            if names.is_empty() || !place.is_own(&id)? {
                continue;
            }
            let Some(stored) = place.read(&id, &names)? else {
                continue;
            };
            let Ok(request) = &stored.request else {
                continue;
            };
            let differs = differences(request, &need.launch);
            let is_live = now() < request.expires && request.service == need.launch.service;
            if is_live && (1..=NEAR).contains(&differs.len()) {
                let why: Vec<String> = differs.iter().map(ToString::to_string).collect();
                return Ok(Some(CheckError::Near {
                    request: id.as_str().get(..12).unwrap_or_default().to_owned(),
                    why: why.join(", and "),
                }));
            }
        }
        Ok(None)
    }

    /// Looks for a request that fits: one that is approved, else the newest that lacks signatures alone.
    fn look(&self, need: &Need, members: &dyn Members) -> Result<Found, ApprovalsError> {
        let signers = signers::read(&self.spec.signers)?;
        let Some(place) = Place::open(&self.spec.directory)? else {
            return Ok(Found::Nothing);
        };
        let ledger = Ledger::open(&self.spec.directory)?;
        let judging = self.judging(need, &signers, members);
        let mut found: Option<Pending> = None;
        for (id, names) in place.list()? {
            // Others' are not read: there may be many.
            if !place.is_own(&id)? {
                continue;
            }
            let Some(stored) = place.read(&id, &names)?.filter(is_own) else {
                continue;
            };
            match judging.judge(&stored, ledger.as_ref())? {
                Found::Approved(request) => return Ok(Found::Approved(request)),
                Found::Pending(pending) => {
                    if found
                        .as_ref()
                        .is_none_or(|found| found.created < pending.created)
                    {
                        found = Some(pending);
                    }
                }
                Found::Nothing => {}
            }
        }
        Ok(found.map_or(Found::Nothing, Found::Pending))
    }
}

/// What requests are judged by.
struct Judging<'a> {
    directory: &'a Path,
    need: &'a Need,
    signers: &'a Signers,
    members: &'a dyn Members,
    now: Moment,
}

impl Judging<'_> {
    fn wanted(&self) -> Vec<Wanted> {
        self.need.wanted.iter().cloned().collect()
    }

    fn judge(&self, stored: &Stored, ledger: Option<&Ledger>) -> Result<Found, ApprovalsError> {
        let Ok(request) = &stored.request else {
            return Ok(Found::Nothing);
        };
        let wanted = self.wanted();
        let spent = ledger.map(|ledger| ledger.read(request));
        let case = self.case(
            stored,
            request,
            &wanted,
            spent.transpose()?.unwrap_or_default(),
        );
        // Most requests are of other launches: their signatures are not looked at.
        match terms(&case).as_slice() {
            [] => {}
            [CheckError::Expired(_), ..] if !case.spent.ended => {
                let ledger = Ledger::make(self.directory)?;
                ledger.lock()?.end(&stored.id, self.now)?;
                return Ok(Found::Nothing);
            }
            _ => return Ok(Found::Nothing),
        }
        Ok(match check(&case) {
            Ok(_) => Found::Approved(stored.id.clone()),
            Err(not) => Found::Pending(Pending {
                request: stored.id.clone(),
                created: request.created,
                approvers: not.approvers,
                errors: summary(not.errors, stored.unread),
            }),
        })
    }

    fn case<'c>(
        &'c self,
        stored: &'c Stored,
        request: &'c Request,
        wanted: &'c [Wanted],
        spent: Spent,
    ) -> Case<'c> {
        Case {
            request,
            bytes: &stored.bytes,
            signatures: &stored.signatures,
            signers: self.signers,
            wanted,
            launch: &self.need.launch,
            requesters: &self.need.requesters,
            spent,
            members: self.members,
            now: self.now,
        }
    }
}

fn granted(need: &Need, request: RequestId) -> Granted {
    Granted {
        request,
        need: need.clone(),
    }
}

fn now() -> Moment {
    Moment::of(SystemTime::now())
}

fn names(approvers: &[Approver]) -> Vec<String> {
    approvers.iter().map(|one| one.name().to_owned()).collect()
}

/// So many signatures that do not count are named.
const NAMED: usize = 8;

/// What is missing, and some of the signatures that do not count.
fn summary(errors: Vec<CheckError>, unread: usize) -> Vec<CheckError> {
    let (of_signatures, mut errors): (Vec<_>, Vec<_>) =
        errors.into_iter().partition(CheckError::is_of_signature);
    let more = of_signatures.len().saturating_sub(NAMED) + unread;
    errors.extend(of_signatures.into_iter().take(NAMED));
    if more > 0 {
        errors.push(CheckError::More(more));
    }
    errors
}

fn missing(wanted: &Wanted) -> CheckError {
    CheckError::Missing {
        policy: wanted.policy.clone(),
        needed: wanted.needed,
        group: wanted.group.clone(),
        found: 0,
    }
}

fn announce(need: &Need, request: &RequestId, waits: bool, observer: &dyn Observer) {
    for wanted in &need.wanted {
        observer.observe(&Event::ApprovalRequested {
            waits,
            request: request.to_string(),
            policy: wanted.policy.clone(),
            needed: wanted.needed,
            group: wanted.group.clone(),
        });
    }
}

/// Reports approvals that are new.
fn tell(
    need: &Need,
    waiting: &Pending,
    members: &dyn Members,
    known: &mut Vec<String>,
    observer: &dyn Observer,
) {
    for (index, approver) in waiting.approvers.iter().enumerate() {
        let by = approver.name().to_owned();
        if known.contains(&by) {
            continue;
        }
        let needed = need
            .wanted
            .iter()
            .filter(|one| is_of(approver, &one.group, members));
        observer.observe(&Event::ApprovalGiven {
            request: waiting.request.to_string(),
            by: by.clone(),
            given: u32::try_from(index + 1).unwrap_or(u32::MAX),
            needed: needed.map(|one| one.needed).max().unwrap_or_default(),
        });
        known.push(by);
    }
}

fn is_of(approver: &Approver, group: &str, members: &dyn Members) -> bool {
    approver
        .names
        .iter()
        .any(|name| members.is_member(name, group))
}

/// For each policy, whose approvals lifted its denial.
fn spent_on(
    need: &Need,
    id: &RequestId,
    approvers: &[Approver],
    members: &dyn Members,
) -> Vec<Approved> {
    let of = |wanted: &Wanted| {
        let people = approvers
            .iter()
            .filter(|one| is_of(one, &wanted.group, members));
        Approved {
            request: id.to_string(),
            policy: wanted.policy.clone(),
            people: people.map(|one| one.name().to_owned()).collect(),
        }
    };
    need.wanted.iter().map(of).collect()
}
