//! Random queries on random policies, and what Cedar's own authorizer says of them: by the whole set, with
//! entities, context and request that Cedar reads from JSON and validates by the schema. `HUSHPIPE_NIGHTLY`
//! has Cedar's command line (`cedar run-tests`, by tests/install --nightly) say the same: decision, policies
//! and errors. Whoever decides in hushpipe is compared with it where all of them are known: by the gate's
//! tests.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicyId, PolicySet, Request, Schema,
};
use serde_json::{Value, json};

use super::facts::view;
use super::schema::schema;
use super::tests::query;
use crate::model::query::{Action, Effect, Person, Principal, Query, Resource, Secret, Service};
use crate::model::words::Words;

/// xorshift64*, seeded: the same cases each time.
pub struct Random(pub u64);

impl Random {
    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn is(&mut self) -> bool {
        self.below(2) == 0
    }
}

const NAMES: [&str; 6] = ["a", "b", "c\"", "d\0", "e\u{2028}é", ""];
const GROUPS: [&str; 4] = ["g", "h", "i", "j\\"];

fn quoted(text: &str) -> String {
    format!("\"{}\"", cedar_policy::EntityId::new(text).escaped())
}

fn policy(random: &mut Random, index: usize) -> String {
    let forbids = random.below(3) == 0;
    let mut text = format!("@id(\"p{index}\")");
    if forbids {
        text += random.of(&[
            "",
            "",
            " @approval(\"1 of g within 1h\")",
            " @reason",
            " @reason @approval(\"2 of h within 1d\")",
        ]);
    }
    let deliver = random.is();
    let name = quoted(random.of(&NAMES));
    let group = quoted(random.of(&GROUPS));
    let (kind, above) = if deliver {
        ("Service", "Role")
    } else {
        ("Person", "Group")
    };
    let principal = match random.below(6) {
        0 => format!(" == {kind}::{name}"),
        1 => format!(" in {above}::{group}"),
        2 => format!(" is {kind}"),
        3 => format!(" is {kind} in {above}::{group}"),
        _ => String::new(),
    };
    let action = match (deliver, random.below(4)) {
        (true, 3) => " in [Action::\"deliver\"]",
        (true, _) => " == Action::\"deliver\"",
        (false, 0) => " == Action::\"reveal\"",
        (false, _) => " in [Action::\"reveal\", Action::\"change\", Action::\"rotate\"]",
    };
    let resource = match random.below(4) {
        0 => format!(" == Secret::{}", quoted(random.of(&NAMES))),
        1 => " is Secret".to_owned(),
        _ => String::new(),
    };
    let effect = if forbids { "forbid" } else { "permit" };
    write!(
        text,
        " {effect} (principal{principal}, action{action}, resource{resource})"
    )
    .expect("a String takes all that is written");
    for _ in 0..random.below(3) {
        let clause = random.of(&["when", "unless"]);
        write!(text, " {clause} {{ {} }}", condition(random, 2))
            .expect("a String takes all that is written");
    }
    text + ";\n"
}

/// Parts that the index knows, those that it does not, and those that fail, in any order.
fn condition(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.below(3) > 0 {
        let left = condition(random, depth - 1);
        return match random.below(5) {
            0 => format!("!({left})"),
            1 => format!("({left} || {})", condition(random, depth - 1)),
            2 => format!(
                "(if {left} then {} else true)",
                condition(random, depth - 1)
            ),
            _ => format!("({left} && {})", condition(random, depth - 1)),
        };
    }
    let mut name = || quoted(random.of(&NAMES));
    let (name, other) = (name(), name());
    match random.below(18) {
        0 => format!("resource.classification == {name}"),
        1 => format!("resource.hasTag({name}) && resource.getTag({name}) == {other}"),
        2 => "context.program.pinned && context.break_glass".to_owned(),
        3 => "context.deliveries.contains(\"file\") || context.deliveries.isEmpty()".to_owned(),
        4 => format!("context.site.hasTag({name})"),
        // It overflows for the oldest.
        5 | 6 => "resource.age * 2 > 10".to_owned(),
        7 => format!(
            "Role::{} in Role::{}",
            quoted(random.of(&GROUPS)),
            quoted(random.of(&GROUPS))
        ),
        8 => format!("principal.name == {name}"),
        9 => format!("{name} != resource.classification"),
        10 => format!("[{name}, {other}].contains(context.reason)"),
        11 => format!("(context.reason == {name} || context.reason == {other})"),
        12 => format!("(context.reason == {name} || principal.name == {other})"),
        13 => "context.break_glass == false".to_owned(),
        14 => "!context.break_glass".to_owned(),
        15 => "context.program.mode == \"0755\"".to_owned(),
        // It fails, as nothing is known of this secret.
        16 => format!("(resource.name != {name} || Secret::{name}.owner == {other})"),
        _ => format!("context.reason != {name} && context.program.mode like \"07*\""),
    }
}

/// A tree of roles, and one of groups, with members.
fn entities(random: &mut Random) -> Value {
    let mut all = Vec::new();
    for (above, below) in [("Role", "Service"), ("Group", "Person")] {
        let parents = |random: &mut Random, from: usize| {
            let groups = GROUPS[from..].iter().filter(|_| random.below(3) == 0);
            let parents = groups.map(|id| json!({"type": above, "id": id}));
            parents.collect::<Vec<_>>()
        };
        for (index, id) in GROUPS.iter().enumerate() {
            let parents = parents(random, index + 1);
            all.push(json!({"uid": {"type": above, "id": id}, "parents": parents}));
        }
        for id in NAMES.iter().filter(|_| random.is()).collect::<Vec<_>>() {
            let parents = parents(random, 0);
            all.push(json!({"uid": {"type": below, "id": id}, "parents": parents}));
        }
    }
    Value::Array(all)
}

fn asked(random: &mut Random) -> Query {
    let mut asked = query();
    asked.action = Action::TABLE[random.below(4)].1;
    let name = |random: &mut Random| random.of(&NAMES).to_owned();
    asked.principal = if asked.action == Action::Deliver {
        Principal::Service(Service {
            name: name(random),
            ..Service::default()
        })
    } else {
        Principal::Person(Person {
            name: name(random),
            uid: 7,
            groups: GROUPS
                .iter()
                .filter(|_| random.is())
                .map(|&id| id.to_owned())
                .collect(),
            interactive: random.is(),
        })
    };
    asked.resource = Resource::Secret(Box::new(Secret {
        name: name(random),
        classification: name(random),
        labels: std::iter::once((name(random), name(random))).collect(),
        age: if random.below(3) == 0 {
            i64::MAX
        } else {
            random.below(20) as i64
        },
        ..Secret::default()
    }));
    let context = &mut asked.context;
    context.deliveries = if random.is() {
        vec!["file".to_owned()]
    } else {
        Vec::new()
    };
    context.facts.program.pinned = random.is();
    context.facts.program.mode = if random.is() { 0o755 } else { 0o4711 };
    context.facts.break_glass = random.is();
    context.facts.reason = name(random);
    context.facts.site = std::iter::once((name(random), name(random))).collect();
    asked
}

/// As Cedar's JSON has it.
struct Asked {
    request: Request,
    entities: Entities,
    /// The same for Cedar's command line.
    written: Value,
}

fn cedar(schema: &Schema, query: &Query, written: &Value) -> Asked {
    let facts = view(query);
    let uid = |kind: &str, of: &Value| json!({"type": kind, "id": of["name"]});
    let principal = match query.principal {
        Principal::Service(_) => uid("Service", &facts["principal"]),
        Principal::Person(_) => uid("Person", &facts["principal"]),
    };
    let resource = uid("Secret", &facts["resource"]);
    let attributes = |of: &Value| {
        let mut attributes = of.clone();
        let object = attributes.as_object_mut().expect("it is an object");
        object.retain(|key, _| !matches!(key.as_str(), "type" | "labels" | "groups"));
        attributes
    };
    let mut parents = Vec::new();
    let mut entities: Vec<Value> = Vec::new();
    for entity in written.as_array().expect("it is a list") {
        if entity["uid"] == principal {
            parents.extend(entity["parents"].as_array().cloned().unwrap_or_default());
        } else if matches!(entity["uid"]["type"].as_str(), Some("Role" | "Group")) {
            let mut entity = entity.clone();
            entity["attrs"] = json!({});
            entities.push(entity);
        }
    }
    if let Principal::Person(person) = &query.principal {
        let groups = person.groups.iter();
        parents.extend(groups.map(|id| json!({"type": "Group", "id": id})));
    }
    let none = json!({});
    let labels = |of: &Value| of.get("labels").unwrap_or(&none).clone();
    entities.push(json!({"uid": principal, "parents": parents,
        "attrs": attributes(&facts["principal"]), "tags": labels(&facts["principal"])}));
    entities.push(json!({"uid": resource, "parents": [],
        "attrs": attributes(&facts["resource"]), "tags": labels(&facts["resource"])}));
    let site = json!({"type": "Site", "id": "site"});
    entities
        .push(json!({"uid": site, "parents": [], "attrs": {}, "tags": facts["context"]["site"]}));
    let mut context = facts["context"].clone();
    context["site"] = json!({ "__entity": site });
    let action = json!({"type": "Action", "id": query.action});
    let named = |uid: &Value| {
        let id = uid["id"].as_str().expect("an id is a text");
        format!(
            "{}::{}",
            uid["type"].as_str().expect("it has one"),
            quoted(id)
        )
    };
    let written = json!({
        "request": {
            "principal": named(&principal), "action": named(&action), "resource": named(&resource),
            "context": context,
        },
        "entities": entities,
    });
    let uid = |json: Value| EntityUid::from_json(json).expect("it is a name");
    let action = uid(action);
    let context = Context::from_json_value(context, Some((schema, &action)));
    let context = context.unwrap_or_else(|error| panic!("{error}"));
    let request = Request::new(uid(principal), action, uid(resource), context, Some(schema));
    Asked {
        request: request.unwrap_or_else(|error| panic!("{error}")),
        entities: Entities::from_json_value(Value::Array(entities), Some(schema))
            .unwrap_or_else(|error| panic!("{error}")),
        written,
    }
}

/// Has Cedar's command line decide on the same, by the whole set.
struct CommandLine {
    directory: tempfile::TempDir,
    tests: Vec<Value>,
}

impl CommandLine {
    /// `None`: that is for the night.
    fn new() -> Option<Self> {
        std::env::var_os("HUSHPIPE_NIGHTLY")?;
        let directory = tempfile::tempdir().expect("it can be made");
        Some(Self {
            directory,
            tests: Vec::new(),
        })
    }

    /// What the authorizer says, the command line has to say.
    fn expects(&mut self, set: &PolicySet, asked: &Asked) {
        let response = Authorizer::new().is_authorized(&asked.request, set, &asked.entities);
        let named = |id: &PolicyId| set.annotation(id, "id").expect("each has one").to_owned();
        let diagnostics = response.diagnostics();
        let mut test = asked.written.clone();
        test["decision"] = json!(match response.decision() {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        });
        test["reason"] = diagnostics.reason().map(named).collect();
        test["num_errors"] = json!(diagnostics.errors().count());
        self.tests.push(test);
    }

    #[allow(clippy::disallowed_methods, reason = "another program is asked")]
    fn decides(&mut self, text: &str) {
        let path = |name: &str| self.directory.path().join(name);
        let (policies, tests) = (path("p.cedar"), path("tests.json"));
        std::fs::write(&policies, text).expect("it is writable");
        let all = Value::Array(std::mem::take(&mut self.tests));
        std::fs::write(&tests, all.to_string()).expect("it is writable");
        let output = std::process::Command::new("cedar")
            // With a schema its warnings would count as failures.
            .args(["run-tests", "--policies"])
            .arg(&policies)
            .arg("--tests")
            .arg(&tests)
            .output()
            .expect("tests/install --nightly installs cedar");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let start: String = said.chars().take(2_000).collect();
        assert!(output.status.success(), "{start}\n{text}\n{all}");
    }
}

/// What the ruling must be, by Cedar's decisions alone.
fn expected(set: &PolicySet, asked: &Asked, reason: &str) -> Expected {
    let decide =
        |set: &PolicySet| Authorizer::new().is_authorized(&asked.request, set, &asked.entities);
    let without = |drop: &dyn Fn(&PolicyId) -> bool| {
        let kept = set.policies().filter(|policy| !drop(policy.id()));
        PolicySet::from_policies(kept.cloned()).expect("ids differ")
    };
    let has = |id: &PolicyId, name: &str| set.annotation(id, name).is_some();
    let response = decide(set);
    let failed = response.diagnostics().errors().map(|error| {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        let id = set.annotation(error.policy_id(), "id");
        id.expect("each has one").to_owned()
    });
    let failed: BTreeSet<String> = failed.collect();
    let given = !reason.trim().is_empty();
    let lifted = |id: &PolicyId| given && has(id, "reason") && !has(id, "approval");
    let approvable = |id: &PolicyId| has(id, "approval") && (given || !has(id, "reason"));
    let open = |id: &PolicyId| has(id, "reason") || has(id, "approval");
    let allows =
        |drop: &dyn Fn(&PolicyId) -> bool| decide(&without(drop)).decision() == Decision::Allow;
    let effect = if !failed.is_empty() {
        Effect::Deny
    } else if allows(&lifted) {
        Effect::Allow
    } else if allows(&open) {
        Effect::Pending
    } else {
        Effect::Deny
    };
    let by_approvals =
        effect == Effect::Pending && allows(&|id: &PolicyId| lifted(id) || approvable(id));
    Expected {
        effect,
        failed,
        by_approvals,
    }
}

/// Policies, entities, and questions to them; with what Cedar makes of each.
pub struct Round {
    /// Of all policies.
    pub text: String,
    /// entities.json
    pub entities: Value,
    set: PolicySet,
    schema: Schema,
    command_line: Option<CommandLine>,
}

/// What Cedar says of a question.
pub struct Expected {
    /// Of the set, of the set without what a reason has lifted, and of the set without what something could.
    pub effect: Effect,
    /// The policies that fail.
    pub failed: BTreeSet<String>,
    /// Whether approvals alone would lift all that forbids it.
    pub by_approvals: bool,
}

impl Round {
    /// The next one.
    pub fn new(random: &mut Random) -> Self {
        let text: String = (0..random.below(12))
            .map(|index| policy(random, index))
            .collect();
        Self {
            entities: entities(random),
            set: text
                .parse()
                .unwrap_or_else(|error| panic!("{error}\n{text}")),
            text,
            schema: schema(),
            command_line: CommandLine::new(),
        }
    }

    /// A question, and its answer by Cedar.
    pub fn ask(&mut self, random: &mut Random) -> (Query, Expected) {
        let query = asked(random);
        let cedar = cedar(&self.schema, &query, &self.entities);
        if let Some(command_line) = &mut self.command_line {
            command_line.expects(&self.set, &cedar);
        }
        let expected = expected(&self.set, &cedar, &query.context.facts.reason);
        (query, expected)
    }

    /// Has Cedar's command line, at night, say the same of all questions.
    pub fn end(&mut self) {
        if let Some(command_line) = &mut self.command_line {
            command_line.decides(&self.text);
        }
    }
}
