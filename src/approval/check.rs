//! Whether a launch is approved.

use std::collections::BTreeSet;
use std::time::Duration;

use super::error::SignatureError;
use super::moment::Moment;
use super::request::{Asked, Launch, Request, Wanted};
use super::signers::{Signer, SignerError, Signers};
use super::sshsig::Signature;
use crate::model::format_duration;
use crate::model::printable::printable;

/// The namespace of approvals.
pub const NAMESPACE: &str = "approval@hushpipe";

/// Who is in which group.
pub trait Members {
    /// Whether the person, by the principal of a signature, belongs to the group.
    fn is_member(&self, person: &str, group: &str) -> bool;
}

impl<F: Fn(&str, &str) -> bool> Members for F {
    fn is_member(&self, person: &str, group: &str) -> bool {
        self(person, group)
    }
}

/// A signature file, as it lies beside its request.
#[derive(Clone, Debug)]
pub struct SignatureFile {
    /// Its name, for messages.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// What is on record of a request's use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How many launches have used it.
    pub uses: u32,
    /// When it was used last.
    pub latest: Option<Moment>,
    /// It was seen expired once, and stays so whatever the clock says later.
    pub ended: bool,
}

/// A request, and all that is judged about it.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The request.
    pub request: &'a Request,
    /// Its file's bytes, which are what is signed.
    pub bytes: &'a [u8],
    /// What lies beside it.
    pub signatures: &'a [SignatureFile],
    /// Whose signatures count.
    pub signers: &'a Signers,
    /// What policies want.
    pub wanted: &'a [Wanted],
    /// The launch that is to be.
    pub launch: &'a Launch,
    /// Who may not approve, beside the request's `by`: who launches.
    pub requesters: &'a [String],
    /// How it was used so far.
    pub spent: Spent,
    /// Who is in which group.
    pub members: &'a dyn Members,
    /// The clock.
    pub now: Moment,
}

/// One person who approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The principals; the first one is the name that is shown.
    pub names: Vec<String>,
    /// The keys' fingerprints.
    pub keys: Vec<String>,
}

impl Approver {
    /// The name that is shown.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// A launch that is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Everybody whose approval counts, each once.
    pub approvers: Vec<Approver>,
    /// Signatures that do not count, and why.
    pub ignored: Vec<CheckError>,
}

/// A launch that is not approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApproved {
    /// Those who approved so far.
    pub approvers: Vec<Approver>,
    /// All that stands against it; never empty.
    pub errors: Vec<CheckError>,
}

impl NotApproved {
    /// Whether approvals are all that it lacks.
    pub fn is_waiting(&self) -> bool {
        self.errors.iter().all(|error| {
            matches!(
                error,
                CheckError::Missing { .. } | CheckError::Signature { .. } | CheckError::More(_)
            )
        })
    }
}

/// Why a request, or a signature of it, does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It was made for something else.
    #[error(
        "it was requested for {what} {}, and this is {}",
        printable(requested),
        printable(found)
    )]
    Other {
        /// Of what: `host`.
        what: &'static str,
        /// That the request names.
        requested: String,
        /// That is there.
        found: String,
    },
    /// A secret that the request does not name.
    #[error(
        "it was not requested for {} of store {}",
        printable(&.0.asked),
        printable(&.0.store)
    )]
    Secret(Asked),
    /// Policies were changed since.
    #[error("the policies were changed after it was requested: request approval again")]
    Policies,
    /// A policy that wants approvals was not one of the request.
    #[error("it was not requested for policy {}", printable(.0))]
    Policy(String),
    /// Its time is over.
    #[error("it expired at {0}")]
    Expired(Moment),
    /// It is from the future: a clock jumped.
    #[error("it was made or used at {0}, which is in the future: is the clock right?")]
    Future(Moment),
    /// It has had all of its launches.
    #[error("it is used up: it was good for {0} launches")]
    UsedUp(u32),
    /// Older than a policy accepts.
    #[error(
        "policy {} accepts approvals for {}, and it was requested at {created}",
        printable(policy),
        format_duration(*within)
    )]
    TooOld {
        /// The policy's id.
        policy: String,
        /// How long.
        within: Duration,
        /// The request's time.
        created: Moment,
    },
    /// A signature that does not count.
    #[error("{}: {why}", printable(file))]
    Signature {
        /// The file.
        file: String,
        /// Why.
        why: ApprovalError,
    },
    /// Another request, which was signed, would fit but for this.
    #[error("request {request} was approved for the same service, but {why}")]
    Near {
        /// The start of its id.
        request: String,
        /// What differs.
        why: String,
    },
    /// More of them.
    #[error("and {0} more signature files that do not count, or were not read")]
    More(usize),
    /// Too few.
    #[error(
        "policy {} needs {needed} of {}, and has {found}",
        printable(policy),
        printable(group)
    )]
    Missing {
        /// The policy's id.
        policy: String,
        /// How many it needs.
        needed: u32,
        /// Of this group.
        group: String,
        /// How many it has.
        found: u32,
    },
}

impl CheckError {
    /// Whether it is about one signature, and not about the request.
    pub const fn is_of_signature(&self) -> bool {
        matches!(self, Self::Signature { .. } | Self::More(_))
    }
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// It is none, or of something else.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// By somebody who may not.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// By the one who asks.
    #[error("{} requested it, and cannot approve it", printable(.0))]
    Requester(String),
    /// By somebody else.
    #[error("{} is in none of the groups {}", printable(person), printable(groups))]
    NotMember {
        /// The person.
        person: String,
        /// The groups that are asked for.
        groups: String,
    },
}

/// Judges a request with its signatures.
pub fn check(case: &Case<'_>) -> Result<Approved, NotApproved> {
    let mut errors = terms(case);
    let mut approvers = Vec::new();
    let mut ignored = Vec::new();
    for file in case.signatures {
        match approver(case, &file.bytes) {
            Ok(signer) => add(&mut approvers, signer),
            Err(why) => ignored.push(CheckError::Signature {
                file: file.name.clone(),
                why,
            }),
        }
    }
    for wanted in case.wanted {
        let members = approvers
            .iter()
            .filter(|one| is_member(case, one, &wanted.group));
        let found = u32::try_from(members.count()).unwrap_or(u32::MAX);
        if found < wanted.needed {
            errors.push(CheckError::Missing {
                policy: wanted.policy.clone(),
                needed: wanted.needed,
                group: wanted.group.clone(),
                found,
            });
        }
    }
    if errors.is_empty() {
        return Ok(Approved { approvers, ignored });
    }
    errors.extend(ignored);
    Err(NotApproved { approvers, errors })
}

/// What the request itself lacks, whoever signed it.
pub fn terms(case: &Case<'_>) -> Vec<CheckError> {
    let (request, launch) = (case.request, case.launch);
    let mut errors = differences(request, launch);
    let missing = launch.secrets.difference(&request.secrets);
    errors.extend(missing.cloned().map(CheckError::Secret));
    if request.policies.sha256 != launch.policies_sha256 {
        errors.push(CheckError::Policies);
    }
    for wanted in case.wanted {
        if !request.policies.wanted.contains(wanted) {
            errors.push(CheckError::Policy(wanted.policy.clone()));
        }
    }
    let latest = case.spent.latest.unwrap_or(request.created);
    if case.now < request.created.max(latest) {
        errors.push(CheckError::Future(request.created.max(latest)));
    } else if case.now >= request.expires || case.spent.ended {
        errors.push(CheckError::Expired(request.expires));
    }
    if case.spent.uses >= request.uses {
        errors.push(CheckError::UsedUp(request.uses));
    }
    let age = case.now.since(request.created);
    let too_old = case.wanted.iter().filter(|wanted| age > wanted.within);
    errors.extend(too_old.map(|wanted| CheckError::TooOld {
        policy: wanted.policy.clone(),
        within: wanted.within,
        created: request.created,
    }));
    errors
}

/// In what it was made for another launch.
pub fn differences(request: &Request, launch: &Launch) -> Vec<CheckError> {
    let (uid, other_uid) = (request.uid.to_string(), launch.uid.to_string());
    let (program, other) = (&request.program, &launch.program);
    let (variables, others) = (&request.variables, &launch.variables);
    let (manifest, another) = (&request.manifest, &launch.manifest);
    let (names, other_names) = (listed(&variables.names), listed(&others.names));
    let (words, other_words) = (request.arguments.join(" "), launch.arguments.join(" "));
    let kinds = [request.break_glass, launch.break_glass].map(|breaks| {
        if breaks {
            "that breaks the glass"
        } else {
            "that does not break the glass"
        }
    });
    // A launch may leave the word to its request.
    let reason = if launch.reason.is_empty() {
        &request.reason
    } else {
        &launch.reason
    };
    let pairs: [(&'static str, &str, &str); 21] = [
        ("a launch", kinds[0], kinds[1]),
        ("the reason", &request.reason, reason),
        ("host", &request.host, &launch.host),
        ("service", &request.service, &launch.service),
        ("environment", &request.environment, &launch.environment),
        ("user", &uid, &other_uid),
        ("manifest", &manifest.path, &another.path),
        ("a manifest of digest", &manifest.sha256, &another.sha256),
        (
            "a manifest signed by",
            &manifest.signed_by,
            &another.signed_by,
        ),
        ("variables", &names, &other_names),
        ("variables of digest", &variables.sha256, &others.sha256),
        ("program", &program.path, &other.path),
        ("a program of digest", &program.sha256, &other.sha256),
        ("argv[0]", &program.argv0, &other.argv0),
        ("interpreter", &program.interpreter, &other.interpreter),
        (
            "an interpreter of digest",
            &program.interpreter_sha256,
            &other.interpreter_sha256,
        ),
        ("arguments", &words, &other_words),
        (
            "arguments of digest",
            &request.arguments_sha256,
            &launch.arguments_sha256,
        ),
        ("directory", &request.directory, &launch.directory),
        ("mode", &request.mode, &launch.mode),
        ("isolation", &request.isolation, &launch.isolation),
    ];
    let differ = pairs
        .into_iter()
        .filter(|(_, requested, found)| requested != found);
    differ
        .map(|(what, requested, found)| CheckError::Other {
            what,
            requested: requested.to_owned(),
            found: found.to_owned(),
        })
        .collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(",")
}

fn approver(case: &Case<'_>, file: &[u8]) -> Result<Signer, ApprovalError> {
    let signature = Signature::parse(file)?;
    let key = signature.verify(case.bytes, NAMESPACE)?;
    let signer = case.signers.find(key, NAMESPACE, case.now)?;
    let mut requesters = case.requesters.iter().chain([&case.request.by]);
    if let Some(name) = requesters.find(|name| signer.names.iter().any(|own| is_same(own, name))) {
        return Err(ApprovalError::Requester(name.clone()));
    }
    let groups: BTreeSet<&str> = case.wanted.iter().map(|one| one.group.as_str()).collect();
    let is_member = |group: &&str| {
        let mut names = signer.names.iter();
        names.any(|name| case.members.is_member(name, group))
    };
    if !groups.is_empty() && !groups.iter().any(is_member) {
        return Err(ApprovalError::NotMember {
            person: signer.names.join(","),
            groups: groups.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    Ok(signer)
}

fn is_member(case: &Case<'_>, approver: &Approver, group: &str) -> bool {
    let mut names = approver.names.iter();
    names.any(|name| case.members.is_member(name, group))
}

/// Whether two names are one person's: `alice` of the host's users is taken to be `alice@example.com` of
/// the signers, so that nobody approves their own request under a longer name.
fn is_same(principal: &str, name: &str) -> bool {
    let local = |text: &str| {
        let (local, _) = text.split_once('@').unwrap_or((text, ""));
        local.to_ascii_lowercase()
    };
    if principal.contains('@') && name.contains('@') {
        return principal.eq_ignore_ascii_case(name);
    }
    !name.is_empty() && local(principal) == local(name)
}

/// Adds a signer to those who approved: who shares a name or a key with another is the same person, and
/// `alice` is taken to be `alice@example.com`.
fn add(approvers: &mut Vec<Approver>, signer: Signer) {
    let mut person = Approver {
        keys: vec![signer.key.fingerprint()],
        names: signer.names,
    };
    let shares = |one: &Approver, person: &Approver| {
        let same = |name: &String| person.names.iter().any(|other| is_same(name, other));
        one.names.iter().any(same) || one.keys.iter().any(|key| person.keys.contains(key))
    };
    // A new one may make two that were known one.
    for known in std::mem::take(approvers) {
        if shares(&known, &person) {
            let Approver {
                mut names,
                mut keys,
            } = known;
            names.extend(
                person
                    .names
                    .into_iter()
                    .filter(|one| !names.contains(one))
                    .collect::<Vec<_>>(),
            );
            keys.extend(
                person
                    .keys
                    .into_iter()
                    .filter(|one| !keys.contains(one))
                    .collect::<Vec<_>>(),
            );
            person = Approver { names, keys };
        } else {
            approvers.push(known);
        }
    }
    approvers.push(person);
}
