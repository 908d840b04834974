use std::time::Duration;

use super::*;
use crate::model::template::Template;
use crate::model::{
    Delivery, DeliveryKind, EnvSpec, Forward, Isolation, Leftovers, Mode, OnRotate, Refresh,
    RotateAction, RunSpec, SecretSpec, Signal, Source, Stop, StoreName, ValueFormat,
};

/// Self-signed, ed25519, valid from 2026-11-23 to 2036-11-20.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBRDCB96ADAgECAhR75blcs09L8Hd5mTy/8sC3/71OkTAFBgMrZXAwGDEWMBQG
A1UEAwwNaHVzaHBpcGUtdGVzdDAeFw0yNjExMjMyMDI4MzJaFw0zNjExMjAyMDI4
MzJaMBgxFjAUBgNVBAMMDWh1c2hwaXBlLXRlc3QwKjAFBgMrZXADIQDRxAYMyobF
AFg62LqzfCtksCBqDi0LyNScQ/dkC+oMkKNTMFEwHQYDVR0OBBYEFKtr7MxbmY7+
Yx83tBXAGbQHj4BNMB8GA1UdIwQYMBaAFKtr7MxbmY7+Yx83tBXAGbQHj4BNMA8G
A1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EAAcRPkmMc4JRQE4I+OOhUWNS3AyVVPjfW
ndTXqN5ueEWZ1+panRhl9MchFdvWVoCnJbnJOVnyg/xUer9J4yk/Bg==
-----END CERTIFICATE-----
";

/// Within the certificate's time, before it, and after it.
const WITHIN: u64 = 1_800_000_000;
const BEFORE: u64 = 1_700_000_000;
const AFTER: u64 = 2_200_000_000;

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn raw(bytes: impl AsRef<[u8]>) -> Value {
    Value::bytes(SecretBytes::new(bytes.as_ref().to_vec()))
}

fn fields(list: &[(&str, &str)]) -> Value {
    let bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    Value::Fields(
        list.iter()
            .map(|(name, text)| ((*name).to_owned(), bytes(text).into()))
            .collect(),
    )
}

fn secret(checks: Checks) -> SecretSpec {
    SecretSpec {
        at: Place { line: 7, column: 3 },
        source: Source {
            store: StoreName::new("dir").unwrap(),
            key: Some("k".to_owned()),
            version: None,
            request: None,
            format: ValueFormat::Raw,
        },
        trim: false,
        refresh: Refresh::Store,
        checks,
        on_rotate: None,
        classification: None,
        owner: None,
        environment: None,
        labels: std::collections::BTreeMap::new(),
        max_age: None,
        public: Vec::new(),
    }
}

fn run() -> RunSpec {
    RunSpec {
        command: vec!["true".into()],
        user: None,
        group: None,
        supplementary_groups: None,
        cwd: None,
        umask: None,
        env: EnvSpec::default(),
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
    }
}

fn plan(secrets: Vec<(&str, Checks)>, channels: Vec<Channel>) -> Plan {
    Plan {
        manifest: PathBuf::from("m.yaml"),
        manifest_file: None,
        manifest_sha256: None,
        manifest_signer: None,
        manifest_variables: None,
        service: "s".to_owned(),
        environment: None,
        owner: None,
        labels: std::collections::BTreeMap::new(),
        stores: BTreeMap::new(),
        secrets: secrets
            .into_iter()
            .map(|(secret_name, checks)| (name(secret_name), secret(checks)))
            .collect(),
        deliveries: channels
            .into_iter()
            .enumerate()
            .map(|(index, channel)| Delivery {
                at: Place {
                    line: 20 + index,
                    column: 5,
                },
                kind: DeliveryKind::Stdin,
                channel,
            })
            .collect(),
        isolation: Isolation::Auto,
        mode: Mode::Supervise,
        run: run(),
        on_rotate: OnRotate::only(RotateAction::Nothing, Duration::ZERO),
        warnings: Vec::new(),
    }
}

fn messages_at(seconds: u64, plan: &Plan, values: Vec<(&str, Value)>) -> Vec<String> {
    let values: BTreeMap<SecretName, Value> = values
        .into_iter()
        .map(|(secret_name, value)| (name(secret_name), value))
        .collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    check_at(plan, &values, now)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn messages(plan: &Plan, values: Vec<(&str, Value)>) -> Vec<String> {
    messages_at(WITHIN, plan, values)
}

fn whole(checks: FieldChecks) -> Checks {
    Checks {
        whole: checks,
        fields: BTreeMap::new(),
    }
}

fn one(checks: FieldChecks, value: Value) -> Vec<String> {
    let plan = plan(vec![("a", whole(checks))], vec![]);
    let start = "m.yaml:7:3: secret a: ";
    messages(&plan, vec![("a", value)])
        .iter()
        .map(|fault| fault.strip_prefix(start).unwrap().to_owned())
        .collect()
}

fn certified(seconds: u64, value: &str) -> Vec<String> {
    let checks = FieldChecks {
        certificate: true,
        ..FieldChecks::default()
    };
    let plan = plan(vec![("a", whole(checks))], vec![]);
    messages_at(seconds, &plan, vec![("a", raw(value))])
}

#[test]
fn without_checks_any_value_will_do() {
    assert!(one(FieldChecks::default(), raw(b"\xff\0")).is_empty());
    assert!(one(FieldChecks::default(), fields(&[])).is_empty());
}

#[test]
fn a_pattern_matches_somewhere_and_is_shown_while_the_value_is_not() {
    let checks = |pattern: &str| FieldChecks {
        pattern: Some(pattern.to_owned()),
        ..FieldChecks::default()
    };
    assert!(one(checks("k_l"), raw("sk_live_x")).is_empty());
    assert_eq!(
        one(checks("^sk_live_"), raw("hunter2")),
        [r#"does not match the pattern "^sk_live_""#]
    );
    assert_eq!(
        one(checks("."), raw(b"a\xff")),
        ["is not UTF-8, so no pattern can match it"]
    );
    assert_eq!(
        one(checks("("), raw("a")),
        [r#"the pattern "(" is no regular expression"#]
    );
}

#[test]
fn lengths_are_in_bytes_and_bounds_are_within() {
    let checks = |least, most| FieldChecks {
        min_length: least,
        max_length: most,
        ..FieldChecks::default()
    };
    assert!(one(checks(Some(4), Some(4)), raw("éé")).is_empty());
    assert_eq!(
        one(checks(Some(5), None), raw("abcd")),
        ["is shorter than 5 bytes"]
    );
    assert_eq!(
        one(checks(None, Some(3)), raw("abcd")),
        ["is longer than 3 bytes"]
    );
    assert_eq!(one(checks(Some(1), None), raw("")), ["is empty"]);
}

#[test]
fn json_is_parsed_and_not_quoted() {
    let checks = FieldChecks {
        json: true,
        ..FieldChecks::default()
    };
    assert!(one(checks.clone(), raw(" {\"a\": [1]}\n")).is_empty());
    assert_eq!(
        one(checks, raw("{\"a\":\n hunter2}")),
        ["is not JSON: line 2, column 2"]
    );
}

#[test]
fn a_certificate_is_valid_now_or_the_dates_are_told() {
    assert!(certified(WITHIN, CERTIFICATE).is_empty());
    assert_eq!(
        certified(AFTER, CERTIFICATE),
        ["m.yaml:7:3: secret a: its certificate expired on 2036-11-20T20:28:32Z"]
    );
    assert_eq!(
        certified(BEFORE, CERTIFICATE),
        ["m.yaml:7:3: secret a: its certificate is not valid before 2026-11-23T20:28:32Z"]
    );
}

#[test]
fn certificates_may_stand_among_other_things_and_be_wrapped_in_any_way() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let bundle = format!("{key}# mine\n{CERTIFICATE}\n{CERTIFICATE}\n\n");
    assert!(certified(WITHIN, &bundle).is_empty());
    assert!(certified(WITHIN, &CERTIFICATE.replace('\n', "\r\n")).is_empty());
    let joined = CERTIFICATE.replace('\n', "");
    assert!(certified(WITHIN, &joined).is_empty());
}

#[test]
fn damaged_certificates_are_counted() {
    let fault = |value: &str| certified(WITHIN, value).remove(0);
    for empty in ["", "hunter2", "-----BEGIN PRIVATE KEY-----"] {
        assert!(fault(empty).contains("holds no PEM certificate"), "{empty}");
    }
    let cut = &CERTIFICATE[..200];
    assert!(fault(cut).ends_with("certificate 1 in it cannot be read"));
    let second = format!("{CERTIFICATE}{}", CERTIFICATE.replace("MIIB", "MIIC"));
    assert!(fault(&second).ends_with("certificate 2 in it cannot be read"));
    let not_base64 = CERTIFICATE.replace("MIIB", "M!IB");
    assert!(fault(&not_base64).ends_with("certificate 1 in it cannot be read"));
}

#[test]
fn all_faults_of_all_secrets_come_in_one_go() {
    let checks = FieldChecks {
        pattern: Some("^z".to_owned()),
        min_length: Some(10),
        json: true,
        certificate: true,
        ..FieldChecks::default()
    };
    let plan = plan(
        vec![("a", whole(checks.clone())), ("b", whole(checks))],
        vec![],
    );
    let faults = messages(&plan, vec![("a", raw("x")), ("b", raw("y"))]);
    assert_eq!(faults.len(), 8, "{faults:#?}");
}

#[test]
fn a_field_that_is_checked_must_be_there() {
    let short = FieldChecks {
        min_length: Some(3),
        ..FieldChecks::default()
    };
    let checks = Checks {
        whole: FieldChecks::default(),
        fields: [
            ("key".to_owned(), FieldChecks::default()),
            ("user".to_owned(), short),
        ]
        .into(),
    };
    let plan = plan(vec![("a", checks)], vec![]);
    let values = vec![("a", fields(&[("id", "hunter2"), ("user", "x")]))];
    assert_eq!(
        messages(&plan, values),
        [
            "m.yaml:7:3: secret a.key: there is no such field: it has 2 fields, whose names are not shown",
            "m.yaml:7:3: secret a.user: is shorter than 3 bytes",
        ]
    );
    let faults = messages(&plan, vec![("a", raw("x"))]);
    assert_eq!(faults.len(), 2);
    assert!(faults[0].contains("one value without fields"));
}

#[test]
fn checks_of_a_whole_need_one_value() {
    let checks = FieldChecks {
        min_length: Some(1),
        ..FieldChecks::default()
    };
    assert_eq!(
        one(checks, fields(&[("b", "x"), ("a", "y")])),
        ["has fields, so one must be named (it has 2 fields, whose names are not shown)"]
    );
}

/// A template that names these.
fn template(names: &[&str]) -> Channel {
    let names = names.iter().map(|name| SecretRef::parse(name).unwrap());
    Channel::Template(Template::new(String::new(), names.collect()))
}

#[test]
fn what_a_delivery_names_must_be_there() {
    let reference = |text: &str| Channel::Secret(SecretRef::parse(text).unwrap());
    let channels = vec![
        reference("db.user"),
        reference("db.gone"),
        reference("db"),
        reference("token"),
        reference("token.x"),
        template(&["db.user", "db.absent", "token"]),
        template(&["db", "other"]),
    ];
    let plan = plan(
        vec![("db", Checks::default()), ("token", Checks::default())],
        channels,
    );
    let values = vec![
        ("db", fields(&[("user", "hunter2")])),
        ("token", raw("hunter2")),
    ];
    assert_eq!(
        messages(&plan, values),
        [
            "m.yaml:21:5: secret db.gone: there is no such field: it has 1 field, whose name is not shown",
            "m.yaml:22:5: secret db: has fields, so one must be named (it has 1 field, whose name is not shown)",
            "m.yaml:24:5: secret token.x: is one value without fields: leave the field out, or \
             set a `format`",
            "m.yaml:25:5: secret db.absent: there is no such field: it has 1 field, whose name is not shown",
        ]
    );
}

#[test]
fn what_is_delivered_is_not_empty_without_leave() {
    let reference = |text: &str| Channel::Secret(SecretRef::parse(text).unwrap());
    let least = |least| FieldChecks {
        min_length: Some(least),
        ..FieldChecks::default()
    };
    let channels = || {
        vec![
            reference("token"),
            reference("db.password"),
            template(&["db.user", "db.password"]),
            reference("db.user"),
        ]
    };
    let values = || {
        vec![
            ("db", fields(&[("user", "a"), ("password", "")])),
            ("token", raw("")),
        ]
    };
    let plain = || vec![("db", Checks::default()), ("token", Checks::default())];
    let faults = messages(&plan(plain(), channels()), values());
    let places: Vec<_> = faults
        .iter()
        .map(|fault| fault.split(" is empty: give it a value").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "m.yaml:20:5: secret token:",
            "m.yaml:21:5: secret db.password:",
            "m.yaml:22:5: secret db.password:",
        ]
    );
    let allowed = |whole: FieldChecks, fields: FieldChecks| Checks {
        whole,
        fields: [("password".to_owned(), fields)].into(),
    };
    for db in [
        allowed(least(0), FieldChecks::default()),
        allowed(FieldChecks::default(), least(0)),
    ] {
        let token = Checks {
            whole: least(0),
            ..Checks::default()
        };
        let plan = plan(vec![("db", db), ("token", token)], channels());
        assert!(messages(&plan, values()).is_empty());
    }
    let one = vec![
        ("db", Checks::default()),
        ("token", allowed(least(1), least(1))),
    ];
    let told = messages(&plan(one, vec![reference("token")]), values());
    assert_eq!(
        told.iter().filter(|told| told.contains("is empty")).count(),
        1
    );
}

#[test]
fn a_pattern_is_not_matched_against_a_value_of_any_size() {
    let long = "a".repeat(MATCHED + 1);
    let checks = |pattern: &str| FieldChecks {
        pattern: Some(pattern.to_owned()),
        ..FieldChecks::default()
    };
    let told = one(checks("^(a|aa|aaa)*b$"), raw(&long));
    assert!(
        told[0].starts_with("is longer than the 262144 bytes"),
        "{told:?}"
    );
    assert!(one(checks("^a"), raw(&long[1..])).is_empty());
    // A pattern that compiles to much has less time for each byte.
    let told = one(checks("^[a-f]{20000}$"), raw(&long[..100_000]));
    assert!(told[0].contains("a shorter pattern"), "{told:?}");
    assert!(one(checks("^[a-z]{1,4000}$"), raw("secret")).is_empty());
}
