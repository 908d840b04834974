//! A release: one request to deliver secrets to a program. Policy decides on it, audit records it, and
//! nothing is placed or swapped without the [`Receipt`] for that.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::printable::{printable, printable_path};
use super::query::{Action, Effect, Facts, Obligation, Principal, Query, Resource, Ruling};
use super::words::words;
use super::{Exit, Plan, SecretName, Version};

/// Who wants which secrets, how and why. It borrows what it says, and holds no value.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// The service, its owner and environment; the secrets, their stores and deliveries.
    pub plan: &'a Plan,
    /// The program that gets them.
    pub program: &'a Path,
    /// As whom it runs.
    pub uid: u32,
    /// Why.
    pub reason: Reason,
    /// The versions that are delivered, as far as they are known: none, before the stores are asked.
    pub versions: &'a BTreeMap<SecretName, Version>,
    /// What was found out about the launch; `None`: there is no site.
    pub facts: Option<&'a Facts>,
    /// What policy was asked and what it answered, one for each secret; none without a site's policy.
    pub decisions: &'a [Decision],
    /// The approvals that lifted denials.
    pub approvals: &'a [Approved],
    /// Of the values that were fetched for it, under the site's fingerprint key; none without one.
    pub fingerprints: &'a BTreeMap<SecretName, Vec<[u8; 32]>>,
}

/// Approvals that were spent on a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// The request's id.
    pub request: String,
    /// The policy whose denial they lifted.
    pub policy: String,
    /// Who gave them.
    pub people: Vec<String>,
}

words! {
    /// Why a release is requested.
    Reason {
        /// The program is started for the first time.
        Launch = "launch",
        /// Secrets have new versions.
        Rotation = "rotation",
    }
}

/// One decision: the question, policy's answer, and what followed from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The question.
    pub query: Query,
    /// Policy's answer.
    pub ruling: Ruling,
    /// What followed.
    pub verdict: Verdict,
}

words! {
    /// What followed from a ruling.
    Verdict {
        /// Policy allows it.
        Allowed = "allowed",
        /// Policy denied it until its obligations were met, and they were.
        Met = "met",
        /// Policy denies it, and the site only observes: it was done all the same.
        Observed = "observed",
        /// It was refused.
        Denied = "denied",
    }
}

impl Verdict {
    /// Whether it was done.
    pub const fn is_granted(self) -> bool {
        !matches!(self, Self::Denied)
    }
}

/// A refusal by policy: what was refused, by which policies, on which facts, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// All that were refused, never empty.
    pub refused: Vec<Decision>,
    /// What the policies that decided read, for each of them: `context.isolation "shared"`. Where they read
    /// nothing, or none decided, nothing.
    pub facts: Vec<Vec<String>>,
    /// It was denied before in the same way, and is on record: a rotation is tried again.
    pub repeated: bool,
    /// How many were asked for at once.
    pub asked: usize,
    /// Who refuses it.
    pub by: DeniedBy,
    /// What else to do or to know, a line each: the request that waits for approvals.
    pub notes: Vec<String>,
}

/// Who refuses a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeniedBy {
    /// The policies of this directory.
    Policy(PathBuf),
    /// The open incidents of this directory.
    Quarantine(PathBuf),
}

impl DeniedBy {
    fn word(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy denies",
            Self::Quarantine(_) => "quarantine refuses",
        }
    }

    fn help(&self) -> String {
        match self {
            Self::Policy(directory) => format!(
                "`hushpipe policy explain` shows every fact; the policies are in {}",
                printable_path(directory)
            ),
            Self::Quarantine(directory) => format!(
                "`hushpipe incident status` shows it, and `hushpipe incident close` ends it; incidents are in {}",
                printable_path(directory)
            ),
        }
    }
}

impl Denial {
    /// hushpipe's exit code for it.
    pub const EXIT: Exit = Exit::Denied;

    /// Whether a policy that decided wants the program stopped when a rotation is denied.
    pub fn stops(&self) -> bool {
        self.refused.iter().any(|decision| decision.ruling.stop)
    }

    /// The policies that decided, each once.
    pub fn policies(&self) -> Vec<&str> {
        let policies = self.refused.iter();
        let mut policies: Vec<&str> = policies
            .flat_map(|decision| &decision.ruling.policies)
            .map(String::as_str)
            .collect();
        policies.sort_unstable();
        policies.dedup();
        policies
    }
}

impl Denial {
    /// All of it in one line, for the log and for other processes.
    pub fn in_a_line(&self) -> String {
        let (head, items, help) = self.parts();
        format!("{head} {}. {help}", items.join("; "))
    }

    /// Each refusal, with its reason and facts.
    pub fn items(&self) -> Vec<String> {
        self.parts().1
    }

    /// What is refused, each refusal with its reason and facts, and where to look.
    fn parts(&self) -> (String, Vec<String>, String) {
        let first = self.refused.first().map(|decision| &decision.query);
        let head = match first.map(|query| (&query.principal, query.action)) {
            Some((Principal::Service(service), _)) => format!(
                "{} {} of {} secrets to service {}:",
                self.by.word(),
                self.refused.len(),
                self.asked,
                printable(&service.name)
            ),
            Some((Principal::Person(person), action)) => format!(
                "policy denies {} (uid {}) to {action}:",
                printable(&person.name),
                person.uid
            ),
            None => "policy denies it:".to_owned(),
        };
        let read = self.facts.iter().map(Vec::as_slice);
        let read = read.chain(std::iter::repeat(&[][..]));
        let refused = self.refused.iter().zip(read).map(|(decision, read)| {
            let facts = match read {
                [] => facts(&decision.query),
                read => read.join(", "),
            };
            if let DeniedBy::Quarantine(_) = self.by {
                let resource = named(&decision.query.resource);
                return format!("{resource}: {}", quarantined(&decision.ruling));
            }
            format!(
                "{}: {} ({facts})",
                named(&decision.query.resource),
                why(&decision.ruling),
            )
        });
        let notes = self.notes.iter().map(|note| printable(note));
        (head, refused.chain(notes).collect(), self.by.help())
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, items, help) = self.parts();
        f.write_str(&head)?;
        for item in items {
            write!(f, "\n  {}", folded(&item))?;
        }
        write!(f, "\n  help: {help}")
    }
}

impl std::error::Error for Denial {}

/// The longest line that a terminal shows well.
const COLUMNS: usize = 96;

/// On several lines, where one would be too long: between one reason or fact and the next.
fn folded(item: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    let mut rest = item;
    while !rest.is_empty() {
        let ends = [", ", "; ", " ("].iter();
        let ends = ends.filter_map(|end| Some(rest.find(end)? + end.find(' ')? + 1));
        let (piece, after) = rest.split_at(ends.min().unwrap_or(rest.len()));
        let width = piece.trim_end().chars().count();
        if column > 0 && column + width > COLUMNS {
            text.truncate(text.trim_end().len());
            text += "\n    ";
            column = 4;
        }
        text += piece;
        column += piece.chars().count();
        rest = after;
    }
    text
}

fn named(resource: &Resource) -> String {
    let kind = match resource {
        Resource::Secret(_) => "secret",
        Resource::Service(_) => "service",
    };
    format!("{kind} {}", printable(resource.name()))
}

/// Which incidents it is in, or why they cannot be read.
fn quarantined(ruling: &Ruling) -> String {
    let all = ruling.policies.iter().chain(&ruling.errors);
    let all: Vec<String> = all.map(|one| printable(one)).collect();
    all.join(", ")
}

/// Which policies decided, and how the refusal is lifted.
fn why(ruling: &Ruling) -> String {
    let policies: Vec<String> = ruling.policies.iter().map(|id| printable(id)).collect();
    let mut why = match (ruling.effect, policies.as_slice()) {
        (_, []) => "no policy permits it".to_owned(),
        (_, [one]) => format!("policy {one} forbids it"),
        (_, several) => format!("policies {} forbid it", several.join(", ")),
    };
    for error in &ruling.errors {
        why += "; a policy failed: ";
        why += &printable(error);
    }
    if ruling.effect == Effect::Pending {
        for obligation in &ruling.obligations {
            why += "; ";
            why += &lifted_by(obligation);
        }
    }
    why
}

fn lifted_by(obligation: &Obligation) -> String {
    match obligation {
        Obligation::Reason { policy } => {
            format!("{} wants a reason: give --reason TEXT", printable(policy))
        }
        Obligation::Approval {
            policy,
            needed,
            group,
            within,
        } => format!(
            "{} wants {needed} of {} to approve, within {}",
            printable(policy),
            printable(group),
            super::format_duration(*within)
        ),
    }
}

/// The facts that policies mostly go by, as far as they are known.
fn facts(query: &Query) -> String {
    let mut all: Vec<(&str, String)> = Vec::new();
    let mut add = |name: &'static str, value: &str| {
        if !value.is_empty() {
            all.push((name, printable(value)));
        }
    };
    if let Resource::Secret(secret) = &query.resource {
        add("classification", &secret.classification);
        add("store", &secret.store);
    }
    let context = &query.context;
    let facts = &context.facts;
    add("environment", &facts.environment);
    add("occasion", &context.occasion);
    if query.action == Action::Deliver {
        add("isolation", &context.isolation);
        add("program", &facts.program.path);
        add("sha256", facts.program.sha256.get(..12).unwrap_or_default());
        add("user", &facts.user);
        add("unit", &facts.unit);
    }
    if let Principal::Person(person) = &query.principal {
        add("groups", &person.groups.join(" "));
    }
    add("reason", &facts.reason);
    let all: Vec<String> = all
        .into_iter()
        .map(|(name, value)| format!("{name} {value:?}"))
        .collect();
    all.join(", ")
}

/// Decides, before a store is asked.
pub trait Policy {
    /// What it answers to each of these questions, in their order. An error of evaluation denies.
    fn rule(&self, queries: &[Query]) -> Vec<Ruling>;

    /// Whether what it answers may depend on the age of a secret.
    fn reads_age(&self) -> bool {
        false
    }

    /// What the policies that a ruling names read of its query, as they name it, each once.
    fn facts(&self, _: &Query, _: &Ruling) -> Vec<String> {
        Vec::new()
    }

    /// Of all policies that were in force when it answered last, in hex.
    fn digest(&self) -> String {
        String::new()
    }

    /// Whether a person, by the name that signed an approval, is in a group.
    fn is_member(&self, _person: &str, _group: &str) -> bool {
        false
    }
}

/// Why a release is not on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditError {
    /// What failed, on what, and why.
    pub why: String,
    /// What to do, where that is known.
    pub help: Option<String>,
}

impl AuditError {
    /// hushpipe's exit code for it.
    pub const EXIT: Exit = Exit::Deadline;
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write the audit log: {}", self.why)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for AuditError {}

/// What a recorder's write comes to.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), AuditError>> + 'a>>;

/// Puts releases and decisions on record.
pub trait Recorder {
    /// Fails where a release could not be recorded, as far as that can be seen beforehand: before a store
    /// is asked.
    fn prepare(&self) -> Result<(), AuditError>;

    /// Ends when this release is on record, with its decisions. Nothing of it is delivered before.
    fn write<'a>(&'a self, release: &'a Release<'_>) -> Recording<'a>;

    /// Puts decisions on record that allow what no release follows: commands, and files that go elsewhere.
    fn decided(&self, decisions: &[Decision]) -> Result<(), AuditError>;

    /// Takes denials, to put them on record as soon as that is possible: they are denials in any case.
    fn denied(&self, decisions: &[Decision]);

    /// Puts on record that a person is about to see or change secrets that no launcher delivers, with the
    /// decisions on that.
    fn custody(&self, queries: &[Query], decisions: &[Decision]) -> Result<(), AuditError>;
}

/// The proof that a release is on record. [`record`] alone makes it:
///
/// ```compile_fail
/// let forged = hushpipe::model::Receipt(());
/// ```
#[derive(Debug)]
pub struct Receipt(());

#[cfg(test)]
impl Receipt {
    /// For the tests of what takes one.
    pub const fn of_a_test() -> Self {
        Self(())
    }
}

/// Puts a release on record.
pub async fn record(recorder: &dyn Recorder, release: &Release<'_>) -> Result<Receipt, AuditError> {
    recorder.write(release).await?;
    Ok(Receipt(()))
}

/// For a host without a site: nothing need be on record.
#[derive(Clone, Copy, Debug)]
pub struct NoSite;

impl Recorder for NoSite {
    fn write<'a>(&'a self, _: &'a Release<'_>) -> Recording<'a> {
        Box::pin(ready(Ok(())))
    }

    fn prepare(&self) -> Result<(), AuditError> {
        Ok(())
    }

    fn decided(&self, _: &[Decision]) -> Result<(), AuditError> {
        Ok(())
    }

    fn denied(&self, _: &[Decision]) {}

    fn custody(&self, _: &[Query], _: &[Decision]) -> Result<(), AuditError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_refusal_is_folded_between_its_facts() {
        assert_eq!(
            folded("secret a: no (b \"c\", d)"),
            "secret a: no (b \"c\", d)"
        );
        let long = format!(
            "secret a: policy {0} forbids it; {0} wants 2 (x \"{0}\", y \"z\")",
            "p".repeat(60)
        );
        let wanted = long.replace("; ", ";\n    ").replace("2 (", "2\n    (");
        assert_eq!(folded(&long), wanted);
        let word = "w".repeat(300);
        assert_eq!(folded(&word), word);
    }
}
