use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::model::{
    Channel, Delivery, DirectoryStore, FdKind, FileMode, FileSpec, Forward, Isolation, Leftovers,
    Mode, OnRotate, OwnerSpec, Place, RunSpec, SecretRef, SecretSpec, Signal, Stop, StoreSpec,
    ValueFormat,
};

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

pub fn names(text: &str) -> BTreeSet<SecretName> {
    text.split_whitespace().map(name).collect()
}

const NONE: &BTreeSet<SecretName> = &BTreeSet::new();

const fn by_name(wanted: &BTreeSet<SecretName>) -> Fetch<'_> {
    Fetch {
        secrets: None,
        wanted,
        pinned: NONE,
    }
}

fn secret(store: &str, key: &str) -> SecretSpec {
    SecretSpec {
        at: Place::default(),
        source: Source {
            store: StoreName::new(store).unwrap(),
            key: Some(key.to_owned()),
            version: None,
            request: None,
            format: ValueFormat::Raw,
        },
        trim: false,
        refresh: Refresh::Store,
        checks: crate::model::Checks::default(),
        on_rotate: None,
        classification: None,
        owner: None,
        environment: None,
        labels: std::collections::BTreeMap::new(),
        max_age: None,
        public: Vec::new(),
    }
}

fn delivery(kind: &str) -> Delivery {
    let kind = match kind {
        "fd" => DeliveryKind::Fd {
            number: 3,
            kind: FdKind::Memfd,
            mode: FileMode::default(),
            owner: OwnerSpec::default(),
        },
        path => DeliveryKind::File(FileSpec {
            path: PathBuf::from(path),
            mode: FileMode::default(),
            owner: OwnerSpec::default(),
            link: None,
        }),
    };
    Delivery {
        at: Place::default(),
        kind,
        channel: Channel::Secret(SecretRef::parse("unused").unwrap()),
    }
}

/// Secrets as `store:name`, where `!name` needs a restart and `~name` is never looked at; deliveries
/// as `kind: names`.
pub fn reach(secrets: &str, deliveries: &[(&str, &str)]) -> Reach {
    reach_of(&plan_of(secrets, deliveries), deliveries)
}

pub fn reach_of(plan: &Plan, deliveries: &[(&str, &str)]) -> Reach {
    let uses = deliveries.iter().map(|(_, used)| names(used));
    Reach::new(plan, uses.collect())
}

pub fn plan_of(secrets: &str, deliveries: &[(&str, &str)]) -> Plan {
    let mut plan = plan();
    for text in secrets.split_whitespace() {
        let (store, key) = text.split_once(':').unwrap();
        let mut spec = secret(store, key);
        let plain = key.trim_start_matches(['!', '~']);
        if key.starts_with('!') {
            spec.on_rotate = Some(RotateAction::Restart);
        }
        if key.starts_with('~') {
            spec.refresh = Refresh::Never;
        }
        let store_spec = StoreSpec {
            at: Place::default(),
            kind: StoreKind::Directory(DirectoryStore {
                path: PathBuf::from("/s"),
            }),
            trust: Vec::new(),
        };
        plan.stores.insert(spec.source.store.clone(), store_spec);
        plan.secrets.insert(name(plain), spec);
    }
    plan.deliveries = deliveries.iter().map(|(kind, _)| delivery(kind)).collect();
    plan
}

fn plan() -> Plan {
    Plan {
        manifest: PathBuf::new(),
        manifest_file: None,
        manifest_sha256: None,
        manifest_signer: None,
        manifest_variables: None,
        service: "t".to_owned(),
        environment: None,
        owner: None,
        labels: std::collections::BTreeMap::new(),
        stores: BTreeMap::new(),
        secrets: BTreeMap::new(),
        deliveries: Vec::new(),
        isolation: Isolation::Auto,
        mode: Mode::Supervise,
        run: RunSpec {
            command: vec!["x".into()],
            user: None,
            group: None,
            supplementary_groups: None,
            cwd: None,
            umask: None,
            env: crate::model::EnvSpec::default(),
            fds: Vec::new(),
            sha256: None,
            judged: false,
            startup: crate::model::Startup::default(),
            stop: Stop {
                signal: Signal::TERM,
                timeout: Duration::from_secs(30),
                leftovers: Leftovers::Terminate,
            },
            forward: Forward::default(),
            core_dumps: false,
            no_new_privs: true,
            redact: Vec::new(),
            rlimits: BTreeMap::new(),
        },
        on_rotate: OnRotate::only(RotateAction::Signal(Signal::HUP), Duration::ZERO),
        warnings: Vec::new(),
    }
}

/// `a1 b2`: what is there, by a version of one digit.
fn values(text: &str) -> BTreeMap<SecretName, char> {
    text.split_whitespace()
        .map(|word| {
            let (key, version) = word.split_at(word.len() - 1);
            (name(key), version.chars().next().unwrap())
        })
        .collect()
}

/// What a draft of this brings, in words: `means new / stays` and marks.
fn drafted(ledger: &mut Ledger<char>, reach: &Reach, fetched: &str, room: bool) -> String {
    let draft = ledger.draft(reach, &values(fetched), by_name(NONE), room);
    let new: Vec<&str> = draft.new.iter().map(SecretName::as_str).collect();
    let means = match draft.found.new {
        None => "nothing",
        Some(Means::Told) => "told",
        Some(Means::Restart) => "restart",
    };
    let marks = [
        (draft.found.outage, "outage"),
        (draft.found.short, "short"),
        (draft.bad, "bad"),
    ];
    let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark);
    let words = std::iter::once(means).chain(new).chain(marks);
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_can_reach_the_program_makes_a_generation() {
    let reach = reach(
        "s:file s:fd s:!fdr s:~never s:unused",
        &[("/a", "file never"), ("fd", "fd fdr")],
    );
    let table = [
        ("file1 fd1 fdr1 never1", "nothing"),
        ("file2 fd1 fdr1 never1", "told file"),
        ("file1 fd2 fdr1 never1", "nothing"),
        ("file1 fd1 fdr1 never2", "nothing"),
        // What a program would be started with.
        ("file2 fd2 fdr1 never2", "told fd file never"),
        ("file1 fd2 fdr2 never1", "restart fd fdr"),
        ("file2 fd2 fdr2 never2", "restart fd fdr file never"),
    ];
    for (fetched, expected) in table {
        let mut ledger = Ledger::new(values("file1 fd1 fdr1 never1 unused1"));
        assert_eq!(
            drafted(&mut ledger, &reach, fetched, true),
            expected,
            "{fetched}"
        );
    }
    assert!(reach.reaches(&name("fdr")) && reach.reaches(&name("never")));
    assert!(!reach.reaches(&name("fd")) && !reach.reaches(&name("unused")));
    assert!(reach.is_asked_for(&name("fd")) && !reach.is_asked_for(&name("unused")));
}

#[test]
fn without_restarts_what_is_read_once_is_not_asked_for() {
    let reach = reach("s:file s:fd", &[("/a", "file"), ("fd", "fd")]);
    assert!(!reach.is_asked_for(&name("fd")) && !reach.restarts());
    let mut ledger = Ledger::new(values("file1 fd1"));
    assert_eq!(drafted(&mut ledger, &reach, "file2", true), "told file");
}

#[test]
fn a_store_that_is_down_keeps_back_only_what_is_shown_with_it() {
    let reach = reach(
        "x:a x:b y:c z:d",
        &[("/1", "a"), ("/2", "b c"), ("/3", "d")],
    );
    let table = [
        // y is down.
        ("a1 b1 d2", "told d outage"),
        // b cannot be shown without c, and a belongs to b.
        ("a2 b2 d2", "told d outage"),
        // Nothing new is shown with c.
        ("a2 b1 d1", "told a outage"),
        ("a1 b1 d1", "nothing outage"),
        // A part of x is down: all of it waits.
        ("a2 c1 d1", "nothing outage"),
        ("a2 c2 d1", "nothing outage"),
        ("", "nothing outage"),
    ];
    for (fetched, expected) in table {
        let mut ledger = Ledger::new(values("a1 b1 c1 d1"));
        assert_eq!(
            drafted(&mut ledger, &reach, fetched, true),
            expected,
            "{fetched}"
        );
    }
    let mut ledger = Ledger::new(values("a1 b1 c1 d1"));
    let draft = ledger.draft(&reach, &values("a2 b1 d1"), by_name(NONE), true);
    assert_eq!(draft.stays, [false, true, false]);
}

#[test]
fn what_is_quarantined_waits_until_there_is_another() {
    let reach = reach("x:a x:b y:c", &[("/1", "a"), ("/2", "b"), ("/3", "c")]);
    let mut ledger = Ledger::new(values("a1 b1 c1"));
    ledger.quarantine(values("a2"));
    assert_eq!(
        drafted(&mut ledger, &reach, "a2 b1 c1", true),
        "nothing bad"
    );
    assert_eq!(drafted(&mut ledger, &reach, "a2 b2 c2", true), "told c bad");
    assert_eq!(
        drafted(&mut ledger, &reach, "b2 c1", true),
        "nothing outage"
    );
    assert!(ledger.is_bad(&name("a")));
    assert_eq!(drafted(&mut ledger, &reach, "a3 b2 c1", true), "told a b");
    // After another one it is judged anew.
    assert_eq!(drafted(&mut ledger, &reach, "a2 b1 c1", true), "told a");
}

#[test]
fn without_room_for_a_restart_the_rest_goes_on() {
    let reach = reach(
        "x:!a x:b y:c",
        &[("/1", "a"), ("/2", "b"), ("/3", "c"), ("fd", "c")],
    );
    let mut ledger = Ledger::new(values("a1 b1 c1"));
    assert_eq!(
        drafted(&mut ledger, &reach, "a2 b1 c2", true),
        "restart a c"
    );
    assert_eq!(
        drafted(&mut ledger, &reach, "a2 b2 c2", false),
        "told c short"
    );
    assert_eq!(
        drafted(&mut ledger, &reach, "a2 b1 c1", false),
        "nothing short"
    );
    assert_eq!(drafted(&mut ledger, &reach, "a1 b2 c1", false), "told b");
}

#[test]
fn what_is_adopted_is_known_and_what_is_put_back_as_well() {
    let reach = reach("x:a y:b", &[("/1", "a"), ("/2", "b")]);
    let mut ledger = Ledger::new(values("a1 b1"));
    let fetched = values("a2 b1");
    let draft = ledger.draft(&reach, &fetched, by_name(NONE), true);
    ledger.adopt(&draft, &fetched);
    assert!(ledger.has(&name("a"), '2'));
    assert_eq!(drafted(&mut ledger, &reach, "a2 b1", true), "nothing");
    ledger.put_back(values("a1"));
    ledger.quarantine(values("a2"));
    assert_eq!(drafted(&mut ledger, &reach, "a2 b1", true), "nothing bad");
    assert_eq!(drafted(&mut ledger, &reach, "a1 b1", true), "nothing");
}

#[test]
fn what_is_never_looked_at_comes_when_it_is_asked_for_by_name() {
    let reach = reach("x:~a y:b", &[("/1", "a"), ("/2", "b")]);
    let mut ledger = Ledger::new(values("a1 b1"));
    let fetched = values("a2 b1");
    let mut new = |wanted: &str| {
        ledger
            .draft(&reach, &fetched, by_name(&names(wanted)), true)
            .new
    };
    assert_eq!(new(""), names(""));
    assert_eq!(new("b"), names(""));
    assert_eq!(new("a"), names("a"));
}

/// Each change, and what is fetched for it.
#[test]
fn what_is_combined_is_fetched_together() {
    let deliveries = [("/1", "a c"), ("/2", "d"), ("fd", "e d"), ("/3", "c")];
    let combined = |secrets: &str, changed: &str| {
        let found = reach(secrets, &deliveries).combined(&names(changed));
        let found: Vec<&str> = found.iter().map(SecretName::as_str).collect();
        found.join(" ")
    };
    let apart = "x:a x:b y:c z:d w:e";
    for (changed, fetched) in [("d", "d"), ("a", "a c"), ("c", "a c"), ("b", ""), ("e", "")] {
        assert_eq!(combined(apart, changed), fetched, "{changed}");
    }
    // One store, one unit; and what a restart starts with is all of it.
    assert_eq!(combined("x:a y:c x:d w:e", "c"), "a c d");
    assert_eq!(combined("x:a y:!c z:d w:e", "d"), "d e");
    assert_eq!(combined("x:a y:!c z:d w:e", "a"), "a c d e");
}
