//! Files of signers: every option of the manual, and what is wrong with a line.

use super::made::{Certified, Key};
use crate::approval::{Moment, Signature, SignerError, Signers, SigningKey};

fn signing(file: &[u8]) -> SigningKey {
    let signature = Signature::parse(file).unwrap();
    signature.verify(b"m", "n").unwrap().clone()
}

fn of(key: &Key) -> SigningKey {
    signing(&key.sign("n", b"m"))
}

fn at(seconds: u64) -> Moment {
    Moment::from_unix(seconds)
}

/// 2026-11-28T12:00:00Z
const NOON: u64 = 1_795_867_200;

#[test]
fn a_file_with_every_option_of_the_manual_is_read() {
    let keys: Vec<Key> = (1..=6).map(Key::new).collect();
    let line = |index: usize| keys[index].line();
    let text = format!(
        "# Comments allowed at start of line\n\
         \n  \t\n\
         user1@example.com,user2@example.com {}\r\n\
         *@example.com,!mallory@example.com Cert-Authority {} with a comment\n\
         user3@example.com NAMESPACES=\"file,appr*,!approval2\" {}\n\
         \"user4@example.com\"  valid-after=\"20261128Z\",valid-before=\"20261129120000Z\"\t{}\n\
         user5@example.com namespaces=\"a\\\"b, c\",valid-after=\"202611281200\" {}\n\
         \t user6@example.com {} # comment",
        line(0),
        line(1),
        line(2),
        line(3),
        line(4),
        line(5)
    );
    let all = Signers::parse(text.as_bytes(), &|_| Some(NOON as i64)).unwrap();
    let find =
        |index: usize, namespace, seconds| all.find(&of(&keys[index]), namespace, at(seconds));
    let names = |index, namespace, seconds| find(index, namespace, seconds).unwrap().names;
    assert_eq!(
        names(0, "n", NOON),
        ["user1@example.com", "user2@example.com"]
    );
    assert_eq!(names(2, "approval", NOON), ["user3@example.com"]);
    for other in ["approval2", "git"] {
        let namespace = SignerError::Namespace {
            line: 6,
            namespace: other,
        };
        assert_eq!(find(2, other, NOON), Err(namespace));
    }
    let midnight = NOON - 12 * 3600;
    assert_eq!(names(3, "n", midnight), ["user4@example.com"]);
    assert_eq!(names(3, "n", NOON + 86400), ["user4@example.com"]);
    let since = at(midnight);
    assert_eq!(
        find(3, "n", midnight - 1),
        Err(SignerError::NotYet { line: 7, since })
    );
    let until = at(NOON + 86400);
    assert_eq!(
        find(3, "n", NOON + 86401),
        Err(SignerError::Expired { line: 7, until })
    );
    assert_eq!(names(4, "a\"b", NOON), ["user5@example.com"]);
    assert!(matches!(
        find(4, "a\"b", NOON - 1),
        Err(SignerError::NotYet { line: 8, .. })
    ));
    assert_eq!(names(5, "n", NOON), ["user6@example.com"]);
    // The authority's key is nobody's.
    assert!(matches!(
        find(1, "n", NOON),
        Err(SignerError::Unknown { .. })
    ));
    let certified = |who: &'static [&'static str]| {
        let certified = Certified {
            principals: who,
            ..Certified::USER
        };
        let blob = certified.blob(&keys[5], &keys[1]);
        all.find(&signing(&keys[5].sign_as(&blob, "n", b"m")), "n", at(NOON))
    };
    let both = certified(&["alice@example.com", "alice@example.org"]).unwrap();
    assert_eq!(both.names, ["alice@example.com"]);
    let mallory = certified(&["mallory@example.com"]);
    assert!(matches!(
        mallory,
        Err(SignerError::Principals { line: 5, .. })
    ));
}

#[test]
fn a_key_for_a_pattern_is_no_person() {
    let key = Key::new(1);
    let all = Signers::parse(format!("*@example.com {}", key.line()).as_bytes(), &|_| {
        None
    })
    .unwrap();
    let error = all.find(&of(&key), "n", at(NOON));
    assert!(matches!(error, Err(SignerError::Nameless { line: 1, .. })));
}

#[test]
fn several_lines_of_a_key_are_one_person_with_several_names() {
    let key = Key::new(1);
    let line = key.line();
    let text = format!("a {line}\nb namespaces=\"other\" {line}\nc,a {line}\n");
    let all = Signers::parse(text.as_bytes(), &|_| None).unwrap();
    assert_eq!(
        all.find(&of(&key), "n", at(NOON)).unwrap().names,
        ["a", "c"]
    );
}

#[test]
fn every_wrong_line_is_reported_with_its_number() {
    let good = Key::new(1).line();
    let key = good.strip_prefix("ssh-ed25519 ").unwrap();
    for (wrong, why) in [
        ("alice".to_owned(), "no key"),
        (
            format!("alice no-touch-required {good}"),
            "unknown option or key type no-touch-required",
        ),
        (
            format!("alice namespaces=file {good}"),
            "not in double quotes",
        ),
        (
            format!("alice namespaces=\"file {good}"),
            "no closing quote",
        ),
        (format!("alice namespaces {good}"), "has no value"),
        (
            format!("alice cert-authority=\"x\" {good}"),
            "unknown option",
        ),
        (
            format!("alice namespaces=\"a\",namespaces=\"b\" {good}"),
            "twice",
        ),
        (
            format!("alice namespaces=\"a\"x {good}"),
            "separated by commas",
        ),
        (format!("alice valid-after=\"2026\" {good}"), "YYYYMMDD"),
        (
            format!("alice valid-before=\"20260230Z\" {good}"),
            "YYYYMMDD",
        ),
        (
            format!("alice valid-after=\"20270101Z\",valid-before=\"20260101Z\" {good}"),
            "not later",
        ),
        (format!("alice cert-authority, {good}"), "unknown option"),
        ("alice cert-authority".to_owned(), "no key"),
        ("alice ssh-ed25519 %%%".to_owned(), "not base64"),
        ("alice ssh-ed25519 AAAA".to_owned(), "the key is refused"),
        (
            format!("alice ssh-rsa {key}"),
            "of type ssh-ed25519, not ssh-rsa",
        ),
        (
            format!("alice mldsa44 {key}"),
            "unknown option or key type mldsa44",
        ),
        (
            format!("alice cert-authority ssh-ed25519-cert-v01@openssh.com {key}"),
            "list the key of its authority",
        ),
        (format!("\"alice {good}"), "no closing quote"),
    ] {
        let text = format!("# first\n{wrong}\nbob {good}\n{wrong}\n");
        let errors = Signers::parse(text.as_bytes(), &|_| None).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| error.line).collect::<Vec<_>>(),
            [2, 4],
            "{wrong}"
        );
        assert!(errors[0].what.contains(why), "{wrong}: {}", errors[0]);
    }
    assert!(Signers::parse(b"alice \xff", &|_| None).is_err());
}
