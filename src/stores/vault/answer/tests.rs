use super::*;

fn body(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn secret(text: &str) -> Secret {
    Secret::read(&body(text)).ok().unwrap()
}

fn field(secret: &Secret, name: &str) -> String {
    String::from_utf8(secret.fields[name].expose().to_vec()).unwrap()
}

fn words(fault: &Fault) -> &str {
    match fault {
        Fault::Missing { hint } => hint,
        Fault::Malformed { reason } | Fault::Denied { reason } => reason,
        _ => panic!("another fault"),
    }
}

fn fault(text: &str) -> Fault {
    Secret::read(&body(text)).err().unwrap()
}

const METADATA: &str = r#""metadata":{"created_time":"t","custom_metadata":null,
    "deletion_time":"","destroyed":false,"version":7}"#;

#[test]
fn kv_of_version_2_is_known_by_its_form() {
    let inner = secret(&format!(
        r#"{{"lease_id":"","data":{{"data":{{"a":"x","n":null}},{METADATA}}}}}"#
    ));
    let version = Numbered {
        number: 7,
        created: "t".to_owned(),
    };
    assert_eq!(inner.version, Some(version));
    assert_eq!(inner.fields.keys().collect::<Vec<_>>(), ["a"]);
    // A secret of version 1 may have such fields, and others.
    let outer = secret(&format!(
        r#"{{"data":{{"data":{{"a":"x"}},"more":1,{METADATA}}}}}"#
    ));
    assert_eq!(outer.version, None);
    assert_eq!(field(&outer, "data"), r#"{"a":"x"}"#);
    assert_eq!(field(&outer, "more"), "1");
}

#[test]
fn a_lease_is_one_by_its_id() {
    let leased = secret(
        r#"{"lease_id":"db/creds/a/1","lease_duration":60,"renewable":true,
            "data":{"username":"u","password":"p"}}"#,
    );
    let lease = leased.lease.unwrap();
    assert_eq!(lease.id, "db/creds/a/1");
    assert!(lease.renewable && lease.ttl == Duration::from_mins(1));
    assert_eq!(leased.ttl, None);
    let plain = secret(r#"{"lease_id":"","lease_duration":30,"data":{"a":"x"}}"#);
    assert!(plain.lease.is_none());
    assert_eq!(plain.ttl, Some(Duration::from_secs(30)));
    let timed = secret(r#"{"lease_duration":0,"data":{"a":"x","ttl":15}}"#);
    assert_eq!(timed.ttl, Some(Duration::from_secs(15)));
}

#[test]
fn what_is_left_of_a_static_password_is_no_part_of_it() {
    let fixed = secret(
        r#"{"data":{"password":"p","ttl":7,"last_vault_rotation":"t","rotation_period":9}}"#,
    );
    assert_eq!(fixed.ttl, Some(Duration::from_secs(7)));
    let names: Vec<_> = fixed.fields.keys().collect();
    assert_eq!(
        names,
        ["last_vault_rotation", "password", "rotation_period"]
    );
}

#[test]
fn a_list_of_pem_texts_is_one_text_and_other_lists_are_json() {
    let pki = secret(
        r#"{"data":{"ca_chain":["-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----"],
            "list":["-----BEGIN X","y"],"none":[]}}"#,
    );
    assert_eq!(
        field(&pki, "ca_chain"),
        "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n\
         -----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----"
    );
    assert_eq!(field(&pki, "list"), r#"["-----BEGIN X","y"]"#);
    assert_eq!(field(&pki, "none"), "[]");
}

#[test]
fn what_is_no_secret_is_refused_and_never_quoted() {
    for (text, said) in [
        ("<html>hunter2", "is not that of a Vault"),
        ("{\"data\":\"hunter2\"}", "not usable as JSON"),
        (
            r#"{"data":null,"auth":{"client_token":"hunter2"}}"#,
            "is a login",
        ),
        (
            r#"{"data":null,"wrap_info":{"token":"hunter2"}}"#,
            "a wrapping token",
        ),
        (r#"{"data":null}"#, "holds no data"),
        (r#"{"data":{"a":1,"a":2}}"#, "a member of this name"),
    ] {
        let fault = fault(text);
        let words = words(&fault);
        assert!(
            words.contains(said) && !words.contains("hunter2"),
            "{words}"
        );
    }
}

#[test]
fn why_it_is_missing_is_told_by_the_answer() {
    let gone = |deleted: &str, destroyed: bool| {
        body(&format!(
            r#"{{"data":{{"data":null,"metadata":{{"created_time":"t",
                "deletion_time":"{deleted}","destroyed":{destroyed},"version":3}}}}}}"#
        ))
    };
    let warned =
        body(r#"{"data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}"#);
    for (body, pinned, said) in [
        (
            gone("2026-01-01T00:00:00Z", false),
            None,
            "version 3 was deleted",
        ),
        (gone("", true), None, "version 3 was destroyed"),
        (warned, None, "write MOUNT/data/KEY"),
        (body(r#"{"errors":[]}"#), None, "no secret at this path"),
        (body("nonsense"), Some(9), "no version 9"),
    ] {
        let fault = missing(&body, "kv/app", pinned);
        assert!(words(&fault).starts_with(said) || words(&fault).contains(said));
    }
}

#[test]
fn a_mount_that_is_not_of_kv_version_2_is_told_of() {
    let none = body(r#"{"errors":[]}"#);
    let told = |path: &str| words(&missing(&none, path, None)).to_owned();
    assert!(told("kv1/data/app").contains("write `path: kv1/app` in place of `mount` and `key`"));
    assert!(!told("database/creds/app").contains("KV"));
    let nowhere =
        body(r#"{"errors":["no handler for route \"kvv/data/app\". route entry not found."]}"#);
    let fault = missing(&nowhere, "kvv/data/app", None);
    assert!(words(&fault).starts_with("no engine is mounted there"));
}

#[test]
fn metadata_tell_which_version_is_there() {
    let now = humantime::parse_rfc3339("2026-06-01T00:00:00Z").unwrap();
    let text = r#"{"data":{"current_version":3,"versions":{
        "1":{"deletion_time":"2026-05-01T00:00:00.5Z","destroyed":false},
        "2":{"deletion_time":"","destroyed":true},
        "3":{"created_time":"t","deletion_time":"2026-07-01T00:00:00Z","destroyed":false}}}}"#;
    let standing = |pinned| standing(&body(text), pinned, now);
    for pinned in [None, Some(3)] {
        let there = Standing::There(Numbered {
            number: 3,
            created: "t".to_owned(),
        });
        assert_eq!(standing(pinned), Some(there));
    }
    for gone in [1, 2, 4] {
        assert_eq!(standing(Some(gone)), Some(Standing::Gone), "{gone}");
    }
    let other = body(r#"{"data":{"data":{},"metadata":{}}}"#);
    assert_eq!(super::standing(&other, None, now), None);
}

/// Found by tests/fuzz: to count with them was a panic.
#[test]
fn times_that_nobody_can_count_with_are_a_hundred_years() {
    use crate::stores::vault::term::Term;
    use crate::stores::vault::token::Token;
    use crate::sys::clock::Boottime;

    let now = Boottime::now();
    for time in [u64::MAX, u64::MAX / 2, u64::MAX / 9] {
        let login = body(&format!(
            r#"{{"auth":{{"client_token":"t","lease_duration":{time},"renewable":true}}}}"#
        ));
        let token = Token::granted(&login, now).ok().unwrap();
        assert!(token.renew(&login, now).is_ok());
        assert_eq!(token.term().map(Term::length), Some(LONGEST));
    }
    let lease = format!(
        r#"{{"lease_id":"a/b","lease_duration":{},"data":{{"a":"b"}}}}"#,
        i64::MAX
    );
    let ttl = secret(&lease).lease.unwrap().ttl;
    let term = Term::new(now, ttl, true).renewed(now, ttl, true);
    assert_eq!(term.length(), LONGEST);
}
