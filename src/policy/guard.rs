//! What a policy's conditions compare first, so that policies that compare it with something else are
//! neither built nor evaluated: an index, as databases have them.
//!
//! Cedar evaluates the parts of `a && b && c` in order, and ends at the first that is false. A policy is
//! passed over where such a part is false, if no part before it could have been an error, as an error
//! denies. It holds where it has no other parts, and all of them are true. Only comparisons of attributes
//! with texts, and attributes that are yes or no, are looked at here; all else is Cedar's.

use std::borrow::Cow;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp, Var};

use super::attributes::{self, Attribute};
use super::bytes::{Reader, Writer};

/// A part of a condition: that an attribute is one of these values, or that it is none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// By its place in the table of attributes.
    attribute: u8,
    negated: bool,
    values: Vec<Attribute<'static>>,
}

/// What must hold for a policy to match or to fail.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Guard {
    tests: Vec<Test>,
    /// Whether there is nothing else: where all holds, the policy does.
    is_all: bool,
}

/// What a guard says of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The policy does not match, and does not fail.
    No,
    /// It matches.
    Yes,
    /// Cedar has to say it.
    Open,
}

/// By the clauses of a policy, in their order.
pub fn guard(clauses: &[Clause]) -> Guard {
    let mut found = Guard {
        tests: Vec::new(),
        is_all: true,
    };
    for clause in clauses {
        let goes_on = match clause {
            Clause::When(expression) => parts(expression, true, &mut found),
            Clause::Unless(expression) => parts(expression, false, &mut found),
        };
        if !goes_on {
            break;
        }
    }
    found
}

/// The parts of a conjunction, one after the other: of `expression`, or of its negation. Returns whether
/// what follows may be looked at: nothing of it can be an error.
fn parts(expression: &Expr, wanted: bool, found: &mut Guard) -> bool {
    match expression {
        Expr::UnaryOp {
            op: UnaryOp::Not,
            expr,
        } => return parts(expr, !wanted, found),
        // !(a || b) is !a && !b.
        Expr::BinaryOp {
            op: BinaryOp::And,
            left,
            right,
        } if wanted => return parts(left, true, found) && parts(right, true, found),
        Expr::BinaryOp {
            op: BinaryOp::Or,
            left,
            right,
        } if !wanted => return parts(left, false, found) && parts(right, false, found),
        _ => {}
    }
    match test(expression) {
        Some(test) => found.tests.push(Test {
            negated: test.negated == wanted,
            ..test
        }),
        None => found.is_all = false,
    }
    cannot_fail(expression)
}

/// A part that compares one attribute with texts.
fn test(expression: &Expr) -> Option<Test> {
    let of = |attribute, values| Test {
        attribute,
        negated: false,
        values,
    };
    match expression {
        Expr::GetAttr { .. } => Some(of(attribute(expression)?, vec![Attribute::Flag(true)])),
        Expr::BinaryOp { op, left, right } => match op {
            BinaryOp::Eq | BinaryOp::NotEq => {
                let one = |name, value| Some((attribute(name)?, constant(value)?));
                let (attribute, value) = one(left, right).or_else(|| one(right, left))?;
                Some(Test {
                    negated: *op == BinaryOp::NotEq,
                    ..of(attribute, vec![value])
                })
            }
            BinaryOp::Contains => {
                let Expr::Set(all) = &**left else { return None };
                let values = all.iter().map(|one| constant(one));
                Some(of(attribute(right)?, values.collect::<Option<_>>()?))
            }
            BinaryOp::Or => {
                let (mut left, right) = (test(left)?, test(right)?);
                if left.attribute != right.attribute || left.negated || right.negated {
                    return None;
                }
                left.values.extend(right.values);
                Some(left)
            }
            _ => None,
        },
        _ => None,
    }
}

fn attribute(expression: &Expr) -> Option<u8> {
    attributes::place(&name(expression)?)
}

/// `context.program.path`, of a chain that begins at a variable.
fn name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Var(var) => Some(name_of(var).to_owned()),
        Expr::GetAttr { expr, attr } => Some(format!("{}.{attr}", name(expr)?)),
        _ => None,
    }
}

/// A variable as policies write it.
pub const fn name_of(var: &Var) -> &'static str {
    match var {
        Var::Principal => "principal",
        Var::Action => "action",
        Var::Resource => "resource",
        Var::Context => "context",
    }
}

fn constant(expression: &Expr) -> Option<Attribute<'static>> {
    match expression {
        Expr::Literal(Literal::String(text)) => Some(Attribute::Text(Cow::Owned(text.to_string()))),
        Expr::Literal(Literal::Bool(value)) => Some(Attribute::Flag(*value)),
        _ => None,
    }
}

/// Whether an expression of a validated policy can be no error: it calculates nothing (which can
/// overflow), and reads attributes and tags of nothing but what each query has.
fn cannot_fail(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(_) | Expr::Var(_) => true,
        Expr::GetAttr { .. } => name(expression).is_some(),
        Expr::UnaryOp { op, expr } => {
            matches!(op, UnaryOp::Not | UnaryOp::IsEmpty) && cannot_fail(expr)
        }
        Expr::BinaryOp { op, left, right } => {
            is_total(*op) && cannot_fail(left) && cannot_fail(right)
        }
        Expr::HasAttr { expr, .. } | Expr::Like { expr, .. } => cannot_fail(expr),
        Expr::Is { expr, in_expr, .. } => {
            cannot_fail(expr) && in_expr.iter().all(|expr| cannot_fail(expr))
        }
        Expr::IfThenElse {
            cond,
            then_expr,
            else_expr,
        } => [cond, then_expr, else_expr]
            .iter()
            .all(|expr| cannot_fail(expr)),
        Expr::Set(all) => all.iter().all(|one| cannot_fail(one)),
        Expr::Record(all) => all.values().all(|one| cannot_fail(one)),
        _ => false,
    }
}

/// Whether an operator has a result for all operands of its types: no arithmetic, which can overflow, no
/// tag, which can be missing, and no function of an extension.
const fn is_total(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq
            | BinaryOp::NotEq
            | BinaryOp::Less
            | BinaryOp::LessEq
            | BinaryOp::Greater
            | BinaryOp::GreaterEq
            | BinaryOp::And
            | BinaryOp::Or
            | BinaryOp::In
            | BinaryOp::Contains
            | BinaryOp::ContainsAll
            | BinaryOp::ContainsAny
            | BinaryOp::HasTag
    )
}

/// For [`answer`].
pub fn write(guard: &Guard, to: &mut Writer) {
    to.flag(guard.is_all);
    to.count(guard.tests.len());
    for test in &guard.tests {
        to.byte(test.attribute);
        to.flag(test.negated);
        to.count(test.values.len());
        for value in &test.values {
            match value {
                Attribute::Text(text) => {
                    to.flag(false);
                    to.text(text);
                }
                Attribute::Flag(value) => {
                    to.flag(true);
                    to.flag(*value);
                }
            }
        }
    }
}

/// What a guard that [`write()`] wrote says, by the attributes of a query. `None`: these are no such bytes.
pub fn answer(from: &mut Reader<'_>, attributes: &[Option<Attribute<'_>>]) -> Option<Answer> {
    let mut is_known = from.flag()?;
    for _ in 0..from.count()? {
        let attribute = attributes.get(usize::from(from.byte()?))?;
        let negated = from.flag()?;
        let mut is_one = false;
        for _ in 0..from.count()? {
            let is_flag = from.flag()?;
            is_one |= if is_flag {
                let value = from.flag()?;
                *attribute == Some(Attribute::Flag(value))
            } else {
                let text = from.text()?;
                matches!(attribute, Some(Attribute::Text(one)) if one == text)
            };
        }
        match attribute {
            Some(_) if is_one == negated => return Some(Answer::No),
            Some(_) => {}
            None => is_known = false,
        }
    }
    Some(if is_known { Answer::Yes } else { Answer::Open })
}

#[cfg(test)]
mod tests_of_guards {
    use cedar_policy::{EvalResult, Expression, Policy, eval_expression};

    use super::super::compiled::Compiled;
    use super::super::entities::Closed;
    use super::super::expressions::tree;
    use super::super::request::{asked, principal, resource};
    use super::super::schema::schema_json;
    use super::super::tests::query;
    use super::super::uid::Types;
    use super::*;
    use crate::model::query::{Action, Person, Principal, Program, Query, Resource};

    fn guard_of(condition: &str) -> Guard {
        let text = format!("permit (principal, action, resource) {condition};");
        let policy = Policy::parse(None, text).expect("it is one");
        guard(tree(&policy).expect("it has one").clauses())
    }

    /// The names and values of a policy's tests.
    fn of(condition: &str) -> Vec<(&'static str, bool, usize)> {
        let found = guard_of(condition).tests;
        let shown = |test: &Test| {
            let (name, _) = attributes::TABLE[usize::from(test.attribute)];
            (name, test.negated, test.values.len())
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn what_comes_after_a_part_that_can_fail_is_cedars() {
        assert_eq!(
            of("when { resource.owner == \"a\" && resource.age * 2 > 1 && context.break_glass }"),
            [("resource.owner", false, 1)]
        );
        assert_eq!(
            of("when { resource.getTag(\"a\") == \"b\" } when { context.break_glass }"),
            []
        );
        assert_eq!(
            of("when { Secret::\"a\".owner == \"b\" && context.break_glass }"),
            []
        );
        assert_eq!(of("when { -resource.age < 1 && context.break_glass }"), []);
        assert_eq!(
            of("when { resource.hasTag(\"a\") } unless { !context.break_glass }"),
            [("context.break_glass", false, 1)]
        );
    }

    #[test]
    fn negations_and_lists_are_what_they_are() {
        assert_eq!(
            of("unless { resource.owner != \"a\" || context.terminal }"),
            [("resource.owner", false, 1), ("context.terminal", true, 1)]
        );
        assert_eq!(
            of("when { [\"a\", \"b\"].contains(resource.owner) && \"a\" != context.host }"),
            [("resource.owner", false, 2), ("context.host", true, 1)]
        );
        assert_eq!(
            of("when { resource.owner == \"a\" || resource.owner == \"b\" }"),
            [("resource.owner", false, 2)]
        );
        assert_eq!(
            of("when { resource.owner == \"a\" || context.host == \"b\" }"),
            []
        );
        assert_eq!(
            of("unless { resource.owner == \"a\" && context.terminal }"),
            []
        );
    }

    #[test]
    fn a_policy_holds_by_its_guard_where_it_has_nothing_else() {
        for condition in [
            "",
            "when { resource.owner == \"a\" }",
            "when { resource.owner == \"a\" && context.terminal } unless { context.break_glass }",
            "when { [\"a\"].contains(context.host) }",
        ] {
            assert!(guard_of(condition).is_all, "{condition}");
        }
        for condition in [
            "when { resource.hasTag(\"a\") && context.terminal }",
            "when { context.terminal && resource.age > 1 }",
            "when { context.terminal && resource.age + 1 > 1 && context.terminal }",
            "when { context.terminal } when { false }",
            "unless { true }",
            "when { resource.owner == principal.owner }",
        ] {
            assert!(!guard_of(condition).is_all, "{condition}");
        }
    }

    /// A query of a launch, and one of a command for a service, with a value of its own for each text.
    fn queries() -> [Query; 2] {
        let mut launch = query();
        let facts = &mut launch.context.facts;
        facts.program = Program {
            path: "/bin/x".into(),
            argv0: "x".into(),
            sha256: "00".into(),
            interpreter: "/bin/sh".into(),
            interpreter_sha256: "01".into(),
            pinned: true,
            owner: 1,
            mode: 0o4755,
        };
        (facts.unit, facts.container, facts.pod) = ("u".into(), "c".into(), "p".into());
        (facts.user, facts.host, facts.reason) = ("me".into(), "here".into(), "why".into());
        facts.arguments_sha256 = "02".into();
        facts.manifest.path = "/m".into();
        facts.manifest.sha256 = "03".into();
        facts.manifest.variables_sha256 = "04".into();
        facts.manifest.signed_by = "ann".into();
        launch.context.isolation = "private".into();
        launch.context.mode = "exec".into();
        launch.context.occasion = "launch".into();
        let mut status = launch.clone();
        status.action = Action::Status;
        let Principal::Service(service) = launch.principal.clone() else {
            unreachable!("it is a launch")
        };
        status.resource = Resource::Service(service);
        status.principal = Principal::Person(Person {
            name: "ann".into(),
            interactive: true,
            ..Person::default()
        });
        [launch, status]
    }

    #[test]
    fn each_attribute_is_what_cedar_sees() {
        let types = Types::new();
        let none = Compiled::of(&[], &Closed::new(), &types);
        let mut seen = vec![false; attributes::TABLE.len()];
        for query in queries() {
            let subjects = (
                principal(&query.principal, &none).expect("it is whole"),
                resource(&query, &none).expect("it is whole"),
            );
            let others = std::collections::BTreeMap::new();
            let asked = asked(&types, &query, (&subjects.0, &subjects.1), &others);
            let asked = asked.expect("it is one");
            for (place, (name, get)) in attributes::TABLE.iter().enumerate() {
                let expression: Expression = name.parse().expect("it is one");
                let cedar = eval_expression(&asked.request, &asked.entities, &expression).ok();
                let own = get(&query).map(|value| match value {
                    Attribute::Text(text) => EvalResult::String(text.into_owned()),
                    Attribute::Flag(value) => EvalResult::Bool(value),
                });
                seen[place] |= own.is_some();
                assert_eq!(own, cedar, "{name}");
            }
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn each_text_and_flag_of_the_schema_is_known() {
        let schema = schema_json();
        let schema = &schema[""];
        let of_type = |kind: &str| schema["entityTypes"][kind]["shape"]["attributes"].clone();
        let common = |name: &str| schema["commonTypes"][name]["attributes"].clone();
        let all = [
            ("principal", of_type("Service")),
            ("principal", of_type("Person")),
            ("resource", of_type("Secret")),
            ("resource", of_type("Service")),
            ("context", common("Facts")),
            ("context.program", common("Program")),
            ("context.manifest", common("Manifest")),
        ];
        let mut known = 0;
        for (above, attributes) in all {
            for (name, kind) in attributes.as_object().expect("it has some") {
                let kind = kind["name"].as_str().or_else(|| kind["type"].as_str());
                if matches!(
                    kind,
                    Some("String" | "Bool" | "Boolean" | "__cedar::String" | "__cedar::Bool")
                ) {
                    let name = format!("{above}.{name}");
                    assert!(attributes::place(&name).is_some(), "{name}");
                    known += 1;
                }
            }
        }
        assert!(known >= attributes::TABLE.len(), "{known}");
    }
}
