//! All policies of a site, checked.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use super::compiled::{Built, Checked, Compiled, Damaged};
use super::depth::{DEEPEST, depth};
use super::entities::{self, Closed};
use super::error::{File, PolicyError, PolicyErrors};
use super::request;
use super::rule::Rule;
use super::schema::schema;
use super::statements::{Statement, statements};
use super::uid::{Kind, Types, Uid};
use crate::model::printable::printable;
use crate::model::query::{Person, Principal};

/// How many slices are kept: one for each set of policies that may match a query.
const SLICES: usize = 64;

/// More policies are not read: each costs time and memory where it is checked.
const MOST: usize = 10_000;

/// The policies and entities of a site.
#[derive(Debug)]
pub struct Policies {
    pub(super) compiled: Compiled,
    /// Made when Cedar is asked first.
    types: OnceCell<Types>,
    warnings: Vec<PolicyError>,
    rules: RefCell<HashMap<usize, Rc<Rule>>>,
    slices: RefCell<HashMap<Vec<usize>, Rc<Slice>>>,
}

/// Some of the policies, for Cedar: those that may match a query. The id of each is its index.
#[derive(Debug)]
pub(super) struct Slice {
    pub permits: PolicySet,
    pub forbids: PolicySet,
    /// What they name beside principal and resource, and what that is in.
    pub others: BTreeMap<Uid, BTreeSet<Uid>>,
}

impl Policies {
    /// Reads all files (name and text) and entities.json, and validates them against the schema. All that
    /// is wrong is given, with its place.
    pub fn parse(files: &[(String, String)], entities: Option<&str>) -> Result<Self, PolicyErrors> {
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        let mut set = PolicySet::new();
        let all = files.iter().map(|(_, text)| statements(text).len());
        let count: usize = all.sum();
        if let Some((name, text)) = files.first().filter(|_| count > MOST) {
            let message = format!("{count} policies in this directory, and at most {MOST}");
            let help = "join those that differ in a name: [\"a\", \"b\"].contains(resource.name)";
            return Err(PolicyErrors(vec![
                File { name, text }.error(0, message, help),
            ]));
        }
        for (name, text) in files {
            let file = File { name, text };
            for (statement, policy) in read(file, &mut errors) {
                match Rule::new(file, statement, &policy) {
                    Ok(rule) => {
                        let id = PolicyId::new(rules.len().to_string());
                        let added = set.add(policy.new_id(id));
                        added.expect("the numbers differ");
                        let text = statement.text;
                        rules.push((Checked { rule, policy, text }, statement.start));
                    }
                    Err(wrong) => errors.extend(wrong),
                }
            }
        }
        duplicates(&rules, files, &mut errors);
        let warnings = validate(&set, &rules, files, &mut errors);
        let entities = match entities {
            Some(text) => entities::parse(File {
                name: "entities.json",
                text,
            }),
            None => Ok(Closed::new()),
        };
        match entities {
            Ok(entities) if errors.is_empty() => {
                let types = Types::new();
                let rules: Vec<_> = rules.into_iter().map(|(rule, _)| rule).collect();
                let compiled = Compiled::of(&rules, &entities, &types);
                Ok(Self::new(compiled, warnings))
            }
            entities => {
                let order = |error: &PolicyError| {
                    let place = files.iter().position(|(name, _)| *name == error.file);
                    (place, error.at.line, error.at.column)
                };
                errors.sort_by_key(order);
                errors.extend(entities.err().into_iter().flatten());
                Err(PolicyErrors(errors))
            }
        }
    }

    pub(super) fn new(compiled: Compiled, warnings: Vec<PolicyError>) -> Self {
        Self {
            compiled,
            types: OnceCell::new(),
            warnings,
            rules: RefCell::default(),
            slices: RefCell::default(),
        }
    }

    /// How many policies there are.
    pub const fn len(&self) -> usize {
        self.compiled.len()
    }

    /// Whether some policy reads the age of a secret.
    pub const fn reads_age(&self) -> bool {
        self.compiled.reads_age()
    }

    /// Whether there is none: everything is denied.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What Cedar finds odd: a policy that can never match, text that looks like another one.
    pub fn warnings(&self) -> &[PolicyError] {
        &self.warnings
    }

    /// Whether somebody is in a group, by a unix group or by entities.json, directly or through others.
    /// Where the compiled policies are damaged, nobody is.
    pub fn is_member(&self, person: &str, unix_groups: &[String], group: &str) -> bool {
        let wanted = Uid::new(Kind::Group, group);
        let person = Principal::Person(Person {
            name: person.to_owned(),
            groups: unix_groups.to_vec(),
            ..Person::default()
        });
        let found = request::principal(&person, &self.compiled);
        found.is_ok_and(|subject| subject.above.contains(&wanted))
    }

    pub(super) fn types(&self) -> &Types {
        self.types.get_or_init(Types::new)
    }

    pub(super) fn rule(&self, index: usize) -> Result<Rc<Rule>, Damaged> {
        if let Some(rule) = self.rules.borrow().get(&index) {
            return Ok(Rc::clone(rule));
        }
        let rule = Rc::new(self.compiled.rule(index)?);
        self.rules.borrow_mut().insert(index, Rc::clone(&rule));
        Ok(rule)
    }

    pub(super) fn build(&self, index: usize) -> Result<Built, Damaged> {
        self.compiled.build(index, self.types())
    }

    /// Some of the policies, by their indices.
    pub(super) fn slice(&self, chosen: Vec<usize>) -> Result<Rc<Slice>, String> {
        if let Some(slice) = self.slices.borrow().get(&chosen) {
            return Ok(Rc::clone(slice));
        }
        let slice = Rc::new(self.cut(&chosen)?);
        let mut slices = self.slices.borrow_mut();
        if slices.len() >= SLICES {
            slices.clear();
        }
        slices.insert(chosen, Rc::clone(&slice));
        Ok(slice)
    }

    fn cut(&self, chosen: &[usize]) -> Result<Slice, String> {
        let mut slice = Slice {
            permits: PolicySet::new(),
            forbids: PolicySet::new(),
            others: BTreeMap::new(),
        };
        for index in chosen {
            let built = self.build(*index).map_err(|error| error.to_string())?;
            slice.others.extend(built.others);
            let to = match built.policy.effect() {
                Effect::Permit => &mut slice.permits,
                Effect::Forbid => &mut slice.forbids,
            };
            let added = to.add(built.policy);
            added.map_err(|error| error.to_string())?;
        }
        Ok(slice)
    }
}

/// As Cedar numbers the policies of a text.
fn numbered(place: usize) -> PolicyId {
    PolicyId::new(format!("policy{place}"))
}

/// The policies of a file. The whole of it is parsed at once, as that is faster; where that fails, each by
/// itself, so that one that is wrong hides no other one.
fn read<'t>(file: File<'t>, errors: &mut Vec<PolicyError>) -> Vec<(Statement<'t>, Policy)> {
    let (found, deep): (Vec<_>, Vec<_>) = statements(file.text)
        .into_iter()
        .partition(|one| depth(one.text) <= DEEPEST);
    errors.extend(deep.iter().map(|one| too_deep(file, *one)));
    // Cedar parses nothing of them.
    if deep.is_empty()
        && let Ok(set) = file.text.parse::<PolicySet>()
    {
        let all: Vec<_> = found
            .iter()
            .enumerate()
            .filter_map(|(place, one)| Some((*one, set.policy(&numbered(place))?.clone())))
            .collect();
        if all.len() == found.len() && set.num_of_policies() == all.len() {
            return all;
        }
    }
    let mut read = Vec::new();
    for one in found {
        match Policy::parse(None, one.text) {
            Ok(policy) => read.push((one, policy)),
            Err(wrong) => {
                let wrong = wrong.iter().map(|wrong| file.diagnostic(one.start, wrong));
                errors.extend(wrong);
            }
        }
    }
    read
}

fn too_deep(file: File<'_>, one: Statement<'_>) -> PolicyError {
    let message = format!(
        "this policy is nested too deeply: {} levels of brackets and operators in a row, and at most {DEEPEST}",
        depth(one.text)
    );
    let help = "write `a == \"x\" || a == \"y\"` as [\"x\", \"y\"].contains(a), or make several policies of it";
    file.error(one.start, message, help)
}

fn duplicates(
    rules: &[(Checked<'_>, usize)],
    files: &[(String, String)],
    errors: &mut Vec<PolicyError>,
) {
    let mut seen: BTreeMap<&str, &Rule> = BTreeMap::new();
    for (Checked { rule, .. }, start) in rules {
        match seen.get(rule.id.as_str()) {
            Some(first) => {
                let message = format!(
                    "the id `{}` is also the one of {}:{}",
                    printable(&rule.id),
                    printable(&first.file),
                    first.line
                );
                let file = file_of(rule, files);
                errors.push(file.error(*start, message, "give each policy an @id of its own"));
            }
            None => {
                seen.insert(&rule.id, rule);
            }
        }
    }
}

fn file_of<'t>(rule: &Rule, files: &'t [(String, String)]) -> File<'t> {
    let found = files.iter().find(|(name, _)| *name == rule.file);
    let (name, text) = found.expect("a rule is of a file");
    File { name, text }
}

/// Has Cedar validate all, and gives what it warns of.
fn validate(
    set: &PolicySet,
    rules: &[(Checked<'_>, usize)],
    files: &[(String, String)],
    errors: &mut Vec<PolicyError>,
) -> Vec<PolicyError> {
    let result = Validator::new(schema()).validate(set, ValidationMode::Strict);
    let shown = |id: &PolicyId, says: &dyn Diagnostic| {
        let index: usize = id.to_string().parse().expect("its id is its index");
        let (Checked { rule, .. }, start) = &rules[index];
        let mut error = file_of(rule, files).diagnostic(*start, says);
        let id = PolicyId::new(&rule.id);
        let numbered = format!("policy `{index}`");
        error.message = error.message.replace(&numbered, &format!("policy `{id}`"));
        error
    };
    let wrong = result.validation_errors();
    errors.extend(wrong.map(|error| shown(error.policy_id(), error)));
    let odd = result.validation_warnings();
    odd.map(|warning| shown(warning.policy_id(), warning))
        .collect()
}
