//! Each reason why a launch is not approved.

use std::collections::BTreeSet;
use std::time::Duration;

use super::made::Key;
use crate::approval::{
    ApprovalError, Approved, Asked, Case, CheckError, Launch, Manifest, Moment, NAMESPACE,
    NotApproved, Program, Request, RequestId, SignatureError, SignatureFile, SignerError, Signers,
    Spent, Terms, Variables, Wanted, check,
};

const HOUR: u64 = 3600;
/// 2026-11-28T12:00:00Z
const NOON: u64 = 1_795_867_200;

fn digest(c: char) -> String {
    String::from(c).repeat(64)
}

pub fn launch() -> Launch {
    Launch {
        service: "payments".into(),
        break_glass: false,
        reason: "INC-7".into(),
        environment: "production".into(),
        host: "db1".into(),
        uid: 1000,
        manifest: Manifest {
            path: "/srv/payments/hushpipe.yaml".into(),
            sha256: digest('b'),
            signed_by: String::new(),
        },
        variables: Variables::default(),
        program: Program {
            argv0: "psql".into(),
            interpreter: String::new(),
            interpreter_sha256: String::new(),
            path: "/usr/bin/psql".into(),
            sha256: digest('d'),
        },
        arguments: vec!["-l".into()],
        arguments_sha256: digest('a'),
        directory: "/srv/payments".into(),
        mode: "supervise".into(),
        isolation: String::new(),
        secrets: BTreeSet::from([asked("db/password")]),
        policies_sha256: digest('c'),
    }
}

fn wanted() -> Wanted {
    Wanted {
        group: "sre".into(),
        needed: 2,
        policy: "two".into(),
        within: Duration::from_secs(8 * HOUR),
    }
}

fn asked(path: &str) -> Asked {
    Asked {
        asked: path.into(),
        deliveries: BTreeSet::from(["fd".to_owned()]),
        store: "bao".into(),
    }
}

pub fn request() -> Request {
    Request::new(
        &launch(),
        Terms {
            id: RequestId::new([7; 16]),
            by: "carol".into(),
            created: Moment::from_unix(NOON),
            expires: Moment::from_unix(NOON + 8 * HOUR),
            uses: 1,
            wanted: BTreeSet::from([wanted()]),
        },
    )
}

/// alice, bob and carol are of sre, dora is not; alice has two keys; eve has expired.
fn signers() -> Signers {
    let line = |seed| Key::new(seed).line();
    let text = format!(
        "alice@example.com {}\nalice@example.com {}\nbob {}\ncarol {}\ndora {}\n\
         eve valid-before=\"20260101Z\" {}\nfrank namespaces=\"git\" {}\n",
        line(1),
        line(11),
        line(2),
        line(3),
        line(4),
        line(5),
        line(6)
    );
    Signers::parse(text.as_bytes(), &|_| None).unwrap()
}

fn is_sre(person: &str, group: &str) -> bool {
    group == "sre"
        && [
            "alice@example.com",
            "bob",
            "carol",
            "eve",
            "frank",
            "a",
            "a@example.com",
            "b",
        ]
        .contains(&person)
}

/// A case, to be changed in one thing.
struct Given {
    request: Request,
    signatures: Vec<Vec<u8>>,
    launch: Launch,
    requesters: Vec<String>,
    spent: Spent,
    now: u64,
    signers: Signers,
}

impl Given {
    fn new() -> Self {
        let mut given = Self {
            request: request(),
            signatures: Vec::new(),
            launch: launch(),
            requesters: vec!["root".into()],
            spent: Spent::default(),
            now: NOON + HOUR,
            signers: signers(),
        };
        given.sign(&[1, 2]);
        given
    }

    fn sign(&mut self, seeds: &[u8]) {
        let bytes = self.request.to_bytes();
        let sign = |seed: &u8| Key::new(*seed).sign(NAMESPACE, &bytes);
        self.signatures = seeds.iter().map(sign).collect();
    }

    fn check(&self) -> Result<Approved, NotApproved> {
        let files = self
            .signatures
            .iter()
            .enumerate()
            .map(|(index, bytes)| SignatureFile {
                name: format!("{index}.sig"),
                bytes: bytes.clone(),
            });
        let files: Vec<_> = files.collect();
        let wanted = [wanted()];
        check(&Case {
            request: &self.request,
            bytes: &self.request.to_bytes(),
            signatures: &files,
            signers: &self.signers,
            wanted: &wanted,
            launch: &self.launch,
            requesters: &self.requesters,
            spent: self.spent,
            members: &is_sre,
            now: Moment::from_unix(self.now),
        })
    }

    fn errors(&self) -> Vec<CheckError> {
        self.check().expect_err("it is not approved").errors
    }

    /// Why the first signature that does not count does not.
    fn why(&self) -> ApprovalError {
        let errors = self.errors().into_iter();
        let mut whys = errors.filter_map(|error| match error {
            CheckError::Signature { why, .. } => Some(why),
            _ => None,
        });
        whys.next().expect("a signature does not count")
    }
}

#[test]
fn two_people_who_may_are_enough() {
    let approved = Given::new().check().unwrap();
    let names: Vec<_> = approved
        .approvers
        .iter()
        .map(|one| one.name().to_owned())
        .collect();
    assert_eq!(names, ["alice@example.com", "bob"]);
    assert!(approved.ignored.is_empty());
}

#[test]
fn one_is_not_enough_and_one_with_two_keys_is_one() {
    let mut given = Given::new();
    for seeds in [&[1][..], &[1, 11], &[1, 1], &[11, 1, 11]] {
        given.sign(seeds);
        let not = given.check().unwrap_err();
        assert!(not.is_waiting());
        assert!(matches!(
            not.errors[..],
            [CheckError::Missing {
                needed: 2,
                found: 1,
                ..
            }]
        ));
        assert_eq!(not.approvers.len(), 1);
    }
}

#[test]
fn two_names_of_one_key_are_one_person() {
    let mut given = Given::new();
    let text = format!(
        "a {0}\nb {0}\nb {1}\n",
        Key::new(1).line(),
        Key::new(2).line()
    );
    given.signers = Signers::parse(text.as_bytes(), &|_| None).unwrap();
    assert!(matches!(
        given.errors()[..],
        [CheckError::Missing { found: 1, .. }]
    ));
}

#[test]
fn a_short_and_a_long_name_are_one_person() {
    let mut given = Given::new();
    let text = format!(
        "a {}\na@example.com {}\n",
        Key::new(1).line(),
        Key::new(2).line()
    );
    given.signers = Signers::parse(text.as_bytes(), &|_| None).unwrap();
    let not = given.check().unwrap_err();
    assert_eq!(not.approvers.len(), 1);
    assert!(matches!(
        not.errors[..],
        [CheckError::Missing { found: 1, .. }]
    ));
}

#[test]
fn the_requester_cannot_approve_under_any_name() {
    let mut given = Given::new();
    given.sign(&[1, 3]);
    assert_eq!(given.why(), ApprovalError::Requester("carol".into()));
    // Who launches with another's request cannot either.
    given.sign(&[2, 1]);
    given.requesters = vec!["alice".into(), "root".into()];
    assert_eq!(given.why(), ApprovalError::Requester("alice".into()));
    given.requesters = vec!["BOB@host".into()];
    assert_eq!(given.why(), ApprovalError::Requester("BOB@host".into()));
    // Two addresses with one local part are two people.
    given.requesters = vec!["alice@example.org".into()];
    assert!(given.check().is_ok());
}

#[test]
fn unknown_and_expired_signers_and_those_of_other_namespaces_do_not_count() {
    let mut given = Given::new();
    given.sign(&[2, 99]);
    assert!(matches!(
        given.why(),
        ApprovalError::Signer(SignerError::Unknown { .. })
    ));
    given.sign(&[2, 5]);
    assert!(matches!(
        given.why(),
        ApprovalError::Signer(SignerError::Expired { line: 6, .. })
    ));
    given.sign(&[2, 6]);
    assert!(matches!(
        given.why(),
        ApprovalError::Signer(SignerError::Namespace { line: 7, .. })
    ));
}

#[test]
fn who_is_in_no_group_does_not_count() {
    let mut given = Given::new();
    given.sign(&[2, 4]);
    assert!(matches!(given.why(), ApprovalError::NotMember { person, .. } if person == "dora"));
}

#[test]
fn a_signature_in_another_namespace_or_of_other_bytes_does_not_count() {
    let mut given = Given::new();
    let bytes = given.request.to_bytes();
    given.signatures[1] = Key::new(2).sign("file", &bytes);
    let ApprovalError::Signature(SignatureError::Namespace { found, wanted }) = given.why() else {
        panic!("{:?}", given.why());
    };
    assert_eq!((&*found, wanted), ("file", NAMESPACE));
    given.signatures[1] = Key::new(2).sign(NAMESPACE, b"another request\n");
    assert_eq!(
        given.why(),
        ApprovalError::Signature(SignatureError::Invalid)
    );
    given.signatures[1] = b"\x1b[2Jnot a signature".to_vec();
    assert!(matches!(
        given.why(),
        ApprovalError::Signature(SignatureError::Armour(_))
    ));
    // What does not count is no harm to what does.
    given.sign(&[1, 99, 2]);
    assert_eq!(given.check().unwrap().ignored.len(), 1);
}

#[test]
fn another_launch_is_not_the_one_that_was_approved() {
    let other = |what: &str, change: fn(&mut Launch)| {
        let mut given = Given::new();
        change(&mut given.launch);
        let errors = given.errors();
        assert!(
            matches!(&errors[..], [CheckError::Other { what: found, .. }] if *found == what),
            "{what}: {errors:?}"
        );
    };
    other("host", |launch| launch.host = "db2".into());
    other("a launch", |launch| launch.break_glass = true);
    other("the reason", |launch| launch.reason = "INC-8".into());
    other("service", |launch| launch.service = "billing".into());
    other("environment", |launch| {
        launch.environment = "staging".into();
    });
    other("user", |launch| launch.uid = 0);
    other("manifest", |launch| launch.manifest.path = "/tmp/m".into());
    other("a manifest of digest", |launch| {
        launch.manifest.sha256 = digest('e');
    });
    other("a manifest signed by", |launch| {
        launch.manifest.signed_by = "mallory".into();
    });
    other("variables of digest", |launch| {
        launch.variables.sha256 = digest('e');
    });
    other("variables", |launch| {
        launch.variables.names.insert("LD_PRELOAD".into());
    });
    other("argv[0]", |launch| launch.program.argv0 = "-psql".into());
    other("interpreter", |launch| {
        launch.program.interpreter = "/tmp/sh".into();
    });
    other("an interpreter of digest", |launch| {
        launch.program.interpreter_sha256 = digest('e');
    });
    other("arguments", |launch| launch.arguments = vec!["-c".into()]);
    other("directory", |launch| launch.directory = "/tmp".into());
    other("mode", |launch| launch.mode = "exec".into());
    other("isolation", |launch| launch.isolation = "shared".into());
    other("program", |launch| launch.program.path = "/tmp/psql".into());
    other("a program of digest", |launch| {
        launch.program.sha256 = digest('e');
    });
    other("arguments of digest", |launch| {
        launch.arguments_sha256 = digest('e');
    });
    let mut given = Given::new();
    given.launch.secrets.insert(asked("db/root"));
    assert_eq!(given.errors(), [CheckError::Secret(asked("db/root"))]);
}

#[test]
fn a_launch_may_leave_the_reason_to_its_request() {
    let mut given = Given::new();
    given.launch.reason = String::new();
    assert!(given.check().is_ok());
}

#[test]
fn policies_that_are_newer_than_the_request_want_a_new_one() {
    let mut given = Given::new();
    given.launch.policies_sha256 = digest('e');
    assert_eq!(given.errors(), [CheckError::Policies]);
    let mut given = Given::new();
    let other = Wanted {
        policy: "other".into(),
        ..wanted()
    };
    // The same policy by name, which says that one is enough.
    let less = Wanted {
        needed: 1,
        ..wanted()
    };
    for wanted in [other, less] {
        given.request.policies.wanted = BTreeSet::from([wanted]);
        given.sign(&[1, 2]);
        assert_eq!(given.errors(), [CheckError::Policy("two".into())]);
    }
}

#[test]
fn it_expires_and_ages_and_is_used_up() {
    let mut given = Given::new();
    given.now = NOON + 8 * HOUR - 1;
    assert!(given.check().is_ok());
    given.now = NOON + 8 * HOUR;
    assert_eq!(
        given.errors(),
        [CheckError::Expired(Moment::from_unix(given.now))]
    );
    given.request.expires = Moment::from_unix(NOON + 100 * HOUR);
    given.sign(&[1, 2]);
    assert!(given.check().is_ok());
    given.now += 1;
    assert!(matches!(given.errors()[..], [CheckError::TooOld { .. }]));
    let mut given = Given::new();
    given.spent.uses = 1;
    assert_eq!(given.errors(), [CheckError::UsedUp(1)]);
}

#[test]
fn a_clock_that_is_set_back_brings_nothing_back() {
    let mut given = Given::new();
    given.now = NOON - 1;
    assert_eq!(
        given.errors(),
        [CheckError::Future(Moment::from_unix(NOON))]
    );
    let mut given = Given::new();
    given.request.uses = 2;
    given.sign(&[1, 2]);
    given.spent.uses = 1;
    given.spent.latest = Some(Moment::from_unix(NOON + 2 * HOUR));
    assert!(matches!(given.errors()[..], [CheckError::Future(_)]));
    given.spent.latest = None;
    given.spent.ended = true;
    assert!(matches!(given.errors()[..], [CheckError::Expired(_)]));
}
