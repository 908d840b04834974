//! What policies say, on texts as sites have them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::model::query::{
    Action, Context, Effect, Facts, Obligation, Person, Principal, Query, Resource, Ruling, Secret,
    Service,
};

pub const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);";

pub fn query() -> Query {
    Query {
        principal: Principal::Service(Service {
            name: "billing".to_owned(),
            owner: "payments".to_owned(),
            labels: BTreeMap::from([("tier".to_owned(), "1".to_owned())]),
            ..Service::default()
        }),
        action: Action::Deliver,
        resource: Resource::Secret(Box::new(Secret {
            name: "db.password".to_owned(),
            classification: "restricted".to_owned(),
            labels: BTreeMap::from([("pci".to_owned(), "yes".to_owned())]),
            ..Secret::default()
        })),
        context: Context {
            deliveries: vec!["file".to_owned()],
            facts: Facts {
                environment: "production".to_owned(),
                site: BTreeMap::from([("region".to_owned(), "eu-1".to_owned())]),
                ..Facts::default()
            },
            ..Context::default()
        },
    }
}

fn parse(texts: &[&str], entities: Option<&str>) -> Result<Policies, PolicyErrors> {
    let files: Vec<(String, String)> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| (format!("{index}.cedar"), (*text).to_owned()))
        .collect();
    Policies::parse(&files, entities)
}

pub fn policies(text: &str) -> Policies {
    parse(&[text], None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn wrong(texts: &[&str], entities: Option<&str>) -> String {
    parse(texts, entities).expect_err("it is wrong").to_string()
}

fn decide(text: &str, query: &Query) -> Ruling {
    policies(text).decide(query)
}

/// A policy with this condition.
fn with_condition(condition: &str) -> String {
    format!("@id(\"x\") forbid (principal, action, resource) when {{ {condition} }};")
}

/// Conditions that are as deep as the number says, in each way that there is.
fn deep(levels: usize) -> Vec<String> {
    let around = |open: &str, close: &str, count: usize| {
        format!("{}true{}", open.repeat(count), close.repeat(count))
    };
    let chain = |part: &str, by: &str| vec![part; levels].join(by);
    let brackets = levels / 6;
    vec![
        chain("resource.name == \"a\"", " || "),
        chain("resource.name == \"a\"", " && "),
        format!("{} == 1", chain("1", " + ")),
        format!("{} == 1", chain("1", " * ")),
        around("(", ")", brackets),
        around("!(", ")", brackets),
        around("(true || ", ")", brackets),
        around("if true then true else ", "", levels),
        format!("{} == [1]", around("[", "]", brackets)),
        format!("{} == 1", around("{a: ", "}", brackets)),
        format!("context{} == 1", ".a".repeat(levels)),
        format!("context{} == 1", "[\"a\"]".repeat(levels)),
        format!("resource.name{} == 1", ".contains(1)".repeat(levels / 2)),
    ]
}

#[test]
fn policies_that_are_too_deep_for_the_stack_are_refused_before_they_are_parsed() {
    for condition in deep(20_000) {
        let text = format!("{PERMIT}\n{}\noops;", with_condition(&condition));
        let said = wrong(&[&text], None);
        assert!(
            said.contains("0.cedar:2:1: this policy is nested too deeply: "),
            "{said}"
        );
        assert!(said.contains("contains(a)"), "{said}");
        // The others are looked at all the same.
        assert!(said.contains("0.cedar:3:"), "{said}");
    }
}

#[test]
fn policies_that_are_just_not_too_deep_are_parsed_and_evaluated() {
    // As a program's first thread has it; those of tests have less.
    let large = std::thread::Builder::new().stack_size(8 << 20);
    let all = large.spawn(|| {
        let parsed = deep(super::depth::DEEPEST - 20)
            .into_iter()
            .filter(|condition| {
                let text = with_condition(condition);
                let found = parse(&[&text], None);
                if let Err(errors) = &found {
                    assert!(!errors.to_string().contains("too deeply"), "{errors}");
                }
                found.is_ok_and(|policies| {
                    let ruling = policies.decide(&query());
                    assert!(
                        ruling
                            .errors
                            .iter()
                            .all(|error| !error.contains("recursion")),
                        "{ruling:?}"
                    );
                    true
                })
            });
        parsed.count()
    });
    let parsed = all
        .expect("a thread starts")
        .join()
        .expect("its stack suffices");
    assert!(parsed >= 6, "{parsed} were good");
}

#[test]
fn more_policies_than_a_launch_can_bear_are_refused_unread() {
    let many = PERMIT.repeat(10_001);
    let said = wrong(&[&many], None);
    assert_eq!(said.lines().count(), 1);
    assert!(
        said.contains("10001 policies in this directory, and at most 10000"),
        "{said}"
    );
}

#[test]
fn groups_in_thousands_of_others_are_an_error_at_once() {
    let group = |index: usize| format!("{{\"type\": \"Group\", \"id\": \"g{index}\"}}");
    let entries = (0..20_000).map(|index| {
        format!(
            "{{\"uid\": {}, \"parents\": [{}]}}",
            group(index),
            group(index + 1)
        )
    });
    let all = format!("[{}]", entries.collect::<Vec<_>>().join(","));
    let said = wrong(&[PERMIT], Some(&all));
    assert!(said.contains("is in more than 1000 others"), "{said}");
}

#[test]
fn what_no_policy_permits_is_denied() {
    let ruling = decide("", &query());
    assert_eq!(ruling.effect, Effect::Deny);
    assert_eq!((ruling.policies.len(), ruling.stop), (0, false));
    let ruling = decide(PERMIT, &query());
    assert_eq!(
        (ruling.effect, ruling.policies),
        (Effect::Allow, vec!["all".to_owned()])
    );
}

const APPROVAL: &str = r#"
permit (principal, action == Action::"deliver", resource);
@id("two") @approval("2 of sre within 8h")
forbid (principal, action == Action::"deliver", resource)
when { resource.classification == "restricted" && context.environment == "production" };
"#;

#[test]
fn a_forbid_with_an_approval_is_pending() {
    let ruling = decide(APPROVAL, &query());
    assert_eq!(ruling.effect, Effect::Pending);
    assert_eq!(ruling.policies, ["two"]);
    assert_eq!(
        ruling.obligations,
        [Obligation::Approval {
            policy: "two".to_owned(),
            needed: 2,
            group: "sre".to_owned(),
            within: Duration::from_hours(8),
        }]
    );
    let mut other = query();
    other.context.facts.environment = "staging".to_owned();
    assert_eq!(decide(APPROVAL, &other).effect, Effect::Allow);
}

#[test]
fn without_a_permit_approvals_would_not_help() {
    let forbid = APPROVAL.split_once(';').expect("a permit is first").1;
    let ruling = decide(forbid, &query());
    assert_eq!((ruling.effect, ruling.policies.len()), (Effect::Deny, 0));
}

#[test]
fn a_forbid_without_an_annotation_wins_over_those_that_have_one() {
    let text = format!(
        "{APPROVAL} @id(\"never\") @on_rotation(\"stop\") forbid (principal, action, resource);"
    );
    let ruling = decide(&text, &query());
    assert_eq!(ruling.effect, Effect::Deny);
    assert_eq!(ruling.policies, ["two", "never"]);
    assert!(ruling.stop && ruling.obligations.is_empty());
}

#[test]
fn a_reason_lifts_its_forbid_and_blanks_are_none() {
    let text = format!("{PERMIT} @id(\"why\") @reason forbid (principal, action, resource);");
    let ruling = decide(&text, &query());
    assert_eq!(ruling.effect, Effect::Pending);
    assert_eq!(
        ruling.obligations,
        [Obligation::Reason {
            policy: "why".to_owned()
        }]
    );
    let mut given = query();
    given.context.facts.reason = "  ".to_owned();
    assert_eq!(decide(&text, &given).effect, Effect::Pending);
    given.context.facts.reason = "INC-1".to_owned();
    assert_eq!(decide(&text, &given).effect, Effect::Allow);
    let both = text.replace("@reason", "@reason @approval(\"1 of sre within 1h\")");
    assert_eq!(decide(&both, &given).obligations.len(), 1);
    assert_eq!(decide(&both, &query()).obligations.len(), 2);
}

#[test]
fn an_error_of_evaluation_denies_whatever_else_holds() {
    let text = format!(
        "{PERMIT} @id(\"big\") forbid (principal, action == Action::\"deliver\", resource) when {{ resource.age * 2 > 1 }};"
    );
    let mut old = query();
    if let Resource::Secret(secret) = &mut old.resource {
        secret.age = i64::MAX;
    }
    let ruling = decide(&text, &old);
    assert_eq!(
        (ruling.effect, ruling.policies),
        (Effect::Deny, vec!["big".to_owned()])
    );
    assert!(
        ruling.errors[0].contains("policy `big`"),
        "{:?}",
        ruling.errors
    );
    assert_eq!(decide(&text, &query()).effect, Effect::Allow);
}

#[test]
fn labels_roles_groups_and_the_site_are_seen() {
    let text = r#"
permit (principal in Role::"payments", action == Action::"deliver", resource)
when {
  resource.hasTag("pci") && resource.getTag("pci") == "yes" &&
  principal.hasTag("tier") && principal.getTag("tier") == "1" &&
  context.site.hasTag("region") && context.site.getTag("region") == "eu-1" &&
  context.deliveries.contains("file") && Role::"core" in Role::"all"
};
permit (principal in Group::"oncall", action == Action::"reveal", resource)
when { principal.uid == 1000 && !principal.interactive };"#;
    let entities = r#"[
  {"uid": {"type": "Service", "id": "billing"}, "parents": [{"__entity": {"type": "Role", "id": "core"}}]},
  {"uid": {"type": "Role", "id": "core"}, "parents": [{"type": "Role", "id": "payments"}], "attrs": {}},
  {"uid": {"type": "Role", "id": "payments"}, "parents": [{"type": "Role", "id": "all"}]},
  {"uid": {"type": "Group", "id": "sre"}, "parents": [{"type": "Group", "id": "oncall"}]}
]"#;
    let policies = parse(&[text], Some(entities)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(policies.decide(&query()).effect, Effect::Allow);
    let mut person = query();
    person.action = Action::Reveal;
    person.principal = Principal::Person(Person {
        name: "ann".to_owned(),
        uid: 1000,
        groups: vec!["sre".to_owned()],
        interactive: false,
    });
    assert_eq!(policies.decide(&person).effect, Effect::Allow);
    assert!(policies.is_member("ann", &["sre".to_owned()], "oncall"));
    assert!(!policies.is_member("ann", &[], "oncall"));
}

#[test]
fn an_id_is_a_value_whatever_is_in_it() {
    let text = "permit (principal == Service::\"a\", action, resource);";
    for name in [
        "a\"",
        "a\0",
        "a\", action, resource); permit (principal",
        "\u{430}",
        "",
        "A",
    ] {
        let mut other = query();
        let service = Service {
            name: name.to_owned(),
            ..Service::default()
        };
        other.principal = Principal::Service(service);
        assert_eq!(decide(text, &other).effect, Effect::Deny, "{name:?}");
        let exact = format!(
            "permit (principal == {}, action, resource);",
            uid::Uid::new(uid::Kind::Service, name)
        );
        assert_eq!(decide(&exact, &other).effect, Effect::Allow, "{name:?}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_its_place() {
    let first = "permit (principal, action == Action::\"deliver\", resource)\nwhen { resource.clasification == \"x\" };\n";
    let second = "@id(\"a\")\n@aproval(\"x\")\nforbid (principal, action, resource);\nforbid (principal is Servce, action, resource);\n permit (oops);\n";
    let third = "@id(\"b\") forbid (principal, action, resource); @id(\"b\") @approval(\"two\") forbid (principal, action, resource);\n@id(\"b\") forbid (principal, action, resource);";
    let entities = "[\n {\"uid\": {\"type\": \"Rol\", \"id\": \"x\"}},\n {\"uid\": {\"type\": \"Group\", \"id\": \"a\"}, \"parents\": [{\"type\": \"Group\", \"id\": \"b\"}]},\n {\"uid\": {\"type\": \"Group\", \"id\": \"b\"}, \"parents\": [{\"type\": \"Group\", \"id\": \"a\"}]}]";
    let text = wrong(&[first, second, third], Some(entities));
    let expected = [
        "0.cedar:2:8: for policy `0.cedar:1`, attribute `clasification`",
        "1.cedar:2:1: @aproval is unknown; did you mean @approval?",
        "1.cedar:4:22: ",
        "Servce",
        "1.cedar:5:10: ",
        "2.cedar:1:57: @approval",
        "2.cedar:2:1: the id `b`",
        "entities.json:2:10: unknown entity type `Rol`: did you mean Role?",
        "a cycle: Group::\"a\" in Group::\"b\" in Group::\"a\"",
    ];
    for part in expected {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn templates_attributes_of_entities_and_strange_json_are_refused() {
    assert!(
        wrong(
            &["permit (principal == ?principal, action, resource);"],
            None
        )
        .contains("0.cedar:1:")
    );
    assert!(wrong(&["permit (principal, action, resource)"], None).contains("0.cedar:1:"));
    for (text, said) in [
        (
            "[{\"uid\": {\"type\": \"Role\", \"id\": \"x\"}, \"attrs\": {\"a\": 1}}]",
            "attributes",
        ),
        (
            "[{\"uid\": {\"type\": \"Secret\", \"id\": \"x\"}, \"parents\": [{\"type\": \"Role\", \"id\": \"x\"}]}]",
            "has no parents",
        ),
        (
            "[{\"uid\": {\"type\": \"Person\", \"id\": \"x\"}, \"parents\": [{\"type\": \"Role\", \"id\": \"x\"}]}]",
            "cannot be in a Role",
        ),
        ("{}", "entities.json:1:1"),
        (
            "[{\"uid\": 1}]",
            "entities.json:1:10: this is not the name of an entity",
        ),
        ("[\n{\"id\": 1}]", "entities.json:2:"),
        (
            "[{\"uid\": {\"type\": \"Role\", \"id\": \"x\"}}, {\"uid\": {\"type\": \"Role\", \"id\": \"x\"}}]",
            "is there twice",
        ),
        (
            "[{\"uid\": {\"type\": \"Role\", \"id\": \"x\"}, \"parents\": [{\"type\": \"Role\", \"id\": \"x\"}]}]",
            "a cycle",
        ),
    ] {
        let found = wrong(&[PERMIT], Some(text));
        assert!(found.contains(said), "{said} is not in {found}");
    }
}

#[test]
fn the_schema_has_a_json_form() {
    let json = schema_json();
    assert!(json[""]["entityTypes"]["Secret"].is_object());
    assert_eq!(
        json[""]["actions"].as_object().map(serde_json::Map::len),
        Some(7)
    );
}

#[test]
fn a_denial_names_what_its_policy_reads() {
    let policies = policies(APPROVAL);
    let why = policies.why(&query(), &policies.decide(&query()));
    assert_eq!(
        why.lines(),
        [
            "policy `two` (0.cedar:3) forbids it: resource.classification = \"restricted\", \
          context.environment = \"production\"; lifted by 2 approvals of sre within 8h"
        ]
    );
    let nothing = self::policies("");
    let why = nothing.why(&query(), &nothing.decide(&query()));
    assert!(
        why.lines()[0]
            .starts_with("no policy permits it (action = \"deliver\", principal = \"billing\"")
    );
}
