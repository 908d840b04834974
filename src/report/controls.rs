//! What the records show of controls: met, not met, or not observed, which is the default. A record shows what
//! happened, not what an auditor concludes: each line says on what it rests.
//!
//! Ids and titles follow OWASP Non-Human Identities Top 10 (2025), PCI DSS 4.0.1, the AICPA's Trust Services
//! Criteria (2017, SOC 2), NIST SP 800-57 part 1 revision 5, and CIS Controls 8.

use serde::Serialize;

use super::figures::Evidence;
use super::graph::Graph;
use super::numbers::Numbers;
use crate::model::words::words;

words! {
    /// What is shown of a control.
    Status {
        /// The records show it.
        Met = "met",
        /// The records show the contrary.
        NotMet = "not met",
        /// The records do not say.
        NotObserved = "not observed",
    }
}

/// A control, and what is shown of it.
#[derive(Debug, Serialize)]
pub struct Control {
    /// Of which list.
    pub framework: &'static str,
    /// Its id there.
    pub id: &'static str,
    /// In words.
    pub title: &'static str,
    /// What is shown.
    pub status: Status,
    /// On what that rests.
    pub why: String,
    /// Records that show it; `hushpipe audit prove SEQ` on their host proves each.
    pub records: Vec<Evidence>,
}

/// What is found, and which kinds of records show it.
type Found = (Status, String, &'static [&'static str]);

/// What is judged.
struct Case<'g> {
    graph: &'g Graph,
    n: &'g Numbers,
}

type Judge = fn(&Case<'_>) -> Found;

const OWASP: &str = "OWASP NHI Top 10 2025";
const PCI: &str = "PCI DSS 4.0.1";
const SOC: &str = "SOC 2";
const NIST: &str = "NIST SP 800-57";
const CIS: &str = "CIS Controls 8";

const CONTROLS: &[(&str, &str, &str, Judge)] = &[
    (
        OWASP,
        "NHI1",
        "Improper offboarding: nothing is left that nobody uses",
        offboarded,
    ),
    (
        OWASP,
        "NHI2",
        "Secret leakage: no secret lies in the open",
        not_leaked,
    ),
    (OWASP, "NHI3", "Vulnerable third-party identities", unknown),
    (OWASP, "NHI4", "Insecure authentication", unknown),
    (
        OWASP,
        "NHI5",
        "Overprivileged identities: policy decides on each release",
        decided,
    ),
    (
        OWASP,
        "NHI6",
        "Insecure cloud deployment configurations",
        unknown,
    ),
    (
        OWASP,
        "NHI7",
        "Long-lived secrets: each is replaced in time",
        replaced,
    ),
    (
        OWASP,
        "NHI8",
        "Environment isolation: no value is in two environments",
        isolated,
    ),
    (
        OWASP,
        "NHI9",
        "Reuse: each service has secrets of its own",
        not_reused,
    ),
    (
        OWASP,
        "NHI10",
        "Human use: no person sees a service's secret",
        not_seen,
    ),
    (
        PCI,
        "7.2.5",
        "Application and system accounts have the least privileges",
        decided,
    ),
    (
        PCI,
        "8.6.1",
        "Interactive use of such accounts is exceptional, justified and attributable",
        justified,
    ),
    (
        PCI,
        "8.6.2",
        "Their passwords are not hard-coded in scripts, files or code",
        not_leaked,
    ),
    (
        PCI,
        "8.6.3",
        "Their passwords are changed periodically",
        replaced,
    ),
    (
        PCI,
        "10.2.1",
        "Audit logs are active on all components",
        logged,
    ),
    (
        PCI,
        "10.2.2",
        "Audit logs say who, what, when, where, with what success",
        complete,
    ),
    (
        PCI,
        "10.3.2",
        "Audit logs are protected from modification",
        protected,
    ),
    (
        PCI,
        "10.3.4",
        "Changes of audit logs are detected",
        protected,
    ),
    (PCI, "10.4.1", "Audit logs are reviewed", reviewed),
    (
        PCI,
        "10.5.1",
        "Audit logs are kept for twelve months",
        retained,
    ),
    (
        SOC,
        "CC6.1",
        "Logical access to protected assets is restricted",
        decided,
    ),
    (
        SOC,
        "CC6.2",
        "Access is authorised before it is given, and removed when it ends",
        offboarded,
    ),
    (
        SOC,
        "CC6.3",
        "Access follows roles, least privilege and segregation of duties",
        approved,
    ),
    (
        SOC,
        "CC6.6",
        "Threats from outside: no credential lies in the open",
        not_leaked,
    ),
    (SOC, "CC7.1", "Vulnerabilities are looked for", scanned),
    (
        SOC,
        "CC7.2",
        "Components are monitored for anomalies",
        logged,
    ),
    (SOC, "CC7.4", "Incidents are responded to", contained),
    (NIST, "5.2", "A key has one purpose", not_reused),
    (NIST, "5.3", "Cryptoperiods are kept", replaced),
    (NIST, "8.3.5", "Keys are revoked", revoked),
    (NIST, "9.2", "Inventory management", listed),
    (NIST, "9.4", "Audit", logged),
    (
        CIS,
        "3.11",
        "Sensitive data is encrypted at rest",
        encrypted,
    ),
];

/// All controls.
pub fn assess(graph: &Graph, numbers: &Numbers) -> Vec<Control> {
    let case = Case { graph, n: numbers };
    let control =
        |(framework, id, title, judge): &(&'static str, &'static str, &'static str, Judge)| {
            let (status, why, kinds) = judge(&case);
            Control {
                framework,
                id,
                title,
                status,
                why,
                records: graph.figures.evidence(kinds),
            }
        };
    CONTROLS.iter().map(control).collect()
}

fn not_observed(why: impl Into<String>) -> Found {
    (Status::NotObserved, why.into(), &[])
}

fn judged(is_met: bool, why: String, kinds: &'static [&'static str]) -> Found {
    (
        if is_met { Status::Met } else { Status::NotMet },
        why,
        kinds,
    )
}

impl Case<'_> {
    fn count(&self, kinds: &[&str]) -> u64 {
        self.graph.figures.of(kinds)
    }

    /// Whether the values of all secrets could be compared.
    fn is_compared(&self) -> bool {
        self.n.secrets > 0 && self.graph.fingerprinted == self.n.secrets
    }

    fn compared(&self) -> String {
        format!(
            "{} of {} secrets have fingerprints to compare",
            self.graph.fingerprinted, self.n.secrets
        )
    }
}

fn unknown(_: &Case<'_>) -> Found {
    not_observed("no record says anything of it")
}

fn offboarded(case: &Case<'_>) -> Found {
    let n = case.n;
    match () {
        () if n.unused > 0 => {
            let why = format!(
                "{} of {} secrets are unused for 90 days",
                n.unused, n.secrets
            );
            judged(false, why, &["release"])
        }
        () if n.secrets > 0 && n.span >= 90 => judged(
            true,
            format!("all {} secrets are in use", n.secrets),
            &["release"],
        ),
        () => not_observed(format!("the records reach back {} days of 90", n.span)),
    }
}

fn not_leaked(case: &Case<'_>) -> Found {
    if case.graph.scans == 0 {
        return not_observed("no scan was read");
    }
    let (found, scans) = (case.n.findings, case.graph.scans);
    judged(
        found == 0,
        format!("{scans} scans, {found} open findings"),
        &[],
    )
}

fn scanned(case: &Case<'_>) -> Found {
    match case.graph.scans {
        0 => not_observed("no scan was read"),
        scans => judged(true, format!("{scans} scans were read"), &[]),
    }
}

fn decided(case: &Case<'_>) -> Found {
    let (decided, all) = (case.graph.figures.decided, case.graph.figures.releases);
    let why = format!("policy decided on {decided} of {all} releases");
    if all > 0 && decided == all {
        judged(true, why, &["decision", "denied"])
    } else {
        not_observed(why)
    }
}

fn replaced(case: &Case<'_>) -> Found {
    let n = case.n;
    let limited = n.secrets - n.no_max_age;
    match () {
        () if n.overdue > 0 => {
            let why = format!(
                "{} of {limited} secrets are older than their max_age",
                n.overdue
            );
            judged(false, why, &["rotated", "release"])
        }
        () if n.secrets > 0 && n.no_max_age == 0 => {
            let why = format!("all {limited} secrets are younger than their max_age");
            judged(true, why, &["rotated", "release"])
        }
        () => not_observed(format!(
            "{} of {} secrets have no max_age",
            n.no_max_age, n.secrets
        )),
    }
}

fn isolated(case: &Case<'_>) -> Found {
    match case.n.crossing {
        0 if case.is_compared() && case.n.environments > 1 => judged(
            true,
            format!("no value is in two of {} environments", case.n.environments),
            &["release"],
        ),
        0 => not_observed(case.compared()),
        found => judged(
            false,
            format!("{found} values are in several environments"),
            &["release"],
        ),
    }
}

fn not_reused(case: &Case<'_>) -> Found {
    let n = case.n;
    if n.shared + n.by_many > 0 {
        let why = format!(
            "{} secrets have another one's value, {} are used by several services",
            n.shared, n.by_many
        );
        return judged(false, why, &["release"]);
    }
    if case.is_compared() {
        return judged(
            true,
            format!("all {} values differ", n.secrets),
            &["release"],
        );
    }
    not_observed(case.compared())
}

fn not_seen(case: &Case<'_>) -> Found {
    match (case.count(&["revealed"]), case.graph.records) {
        (0, 0) => not_observed("no record was read"),
        (0, _) => judged(true, "no secret was shown to a person".to_owned(), &[]),
        (shown, _) => judged(
            false,
            format!("secrets were shown to people {shown} times"),
            &["revealed"],
        ),
    }
}

fn justified(case: &Case<'_>) -> Found {
    let (asked, said) = (case.count(&["reveal"]), case.graph.figures.reasons);
    match asked {
        0 if case.graph.records == 0 => not_observed("no record was read"),
        0 => judged(true, "no secret was shown to a person".to_owned(), &[]),
        asked => judged(
            asked == said,
            format!("{said} of {asked} requests of people gave a reason"),
            &["reveal"],
        ),
    }
}

fn approved(case: &Case<'_>) -> Found {
    match case.count(&["approval_spent"]) {
        0 => not_observed("no approval was used"),
        spent => judged(
            true,
            format!("{spent} approvals of other people were used"),
            &["approval_spent", "approval_given"],
        ),
    }
}

fn logged(case: &Case<'_>) -> Found {
    let n = case.n;
    let why = format!("{} of {} hosts have records", n.hosts - n.silent, n.hosts);
    match () {
        () if n.hosts == 0 => not_observed("no host is known"),
        () => judged(n.silent == 0, why, &["start", "release", "end"]),
    }
}

fn complete(case: &Case<'_>) -> Found {
    let (records, damaged) = (case.graph.records, case.graph.damaged);
    if records == 0 {
        return not_observed("no record was read");
    }
    let why = format!("{records} records, {damaged} lines that are none");
    judged(damaged == 0, why, &["release", "denied", "control"])
}

fn protected(_: &Case<'_>) -> Found {
    not_observed("`hushpipe audit verify` shows it, for the log of each host, by its key")
}

fn reviewed(case: &Case<'_>) -> Found {
    match case.count(&["read"]) {
        0 => not_observed("no reading of a log is on record"),
        read => not_observed(format!(
            "logs were read {read} times; by whom, and why, is not judged"
        )),
    }
}

fn retained(case: &Case<'_>) -> Found {
    let why = format!("the records reach back {} days", case.n.span);
    if case.n.span >= 365 {
        judged(true, why, &[])
    } else {
        not_observed(why)
    }
}

fn contained(case: &Case<'_>) -> Found {
    match case.graph.figures.containment.median_and_most() {
        Some((median, _)) => judged(
            true,
            format!(
                "{} incidents were contained, in {median} s at the median",
                case.graph.figures.containment.count
            ),
            &["incident_opened", "incident_step"],
        ),
        None => not_observed("no incident was contained"),
    }
}

fn revoked(case: &Case<'_>) -> Found {
    match case.count(&["revoked"]) {
        0 => not_observed("nothing was revoked"),
        times => judged(
            true,
            format!("leases were revoked {times} times"),
            &["revoked"],
        ),
    }
}

fn listed(case: &Case<'_>) -> Found {
    let n = case.n;
    match n.secrets {
        0 => not_observed("no secret is known"),
        all => judged(
            n.no_owner == 0,
            format!("{} of {all} secrets have an owner", all - n.no_owner),
            &["release"],
        ),
    }
}

fn encrypted(case: &Case<'_>) -> Found {
    let stores = &case.graph.stores;
    let of = |kinds: &[&str]| {
        let found = stores
            .iter()
            .filter(|store| kinds.contains(&store.kind.as_str()));
        found.count()
    };
    let (open, sealed) = (of(&["directory"]), of(&["vault", "sealed"]));
    match () {
        () if open > 0 => judged(
            false,
            format!("{open} stores are directories of plain files"),
            &[],
        ),
        () if sealed > 0 && sealed == stores.len() => judged(
            true,
            format!("all {sealed} stores encrypt what they hold"),
            &["release"],
        ),
        () => not_observed(format!(
            "the type of {} stores is not known",
            stores.len() - sealed
        )),
    }
}
