//! Checked policies in the form in which they are kept and looked through: bytes, in which a policy that
//! cannot match a query costs some comparisons, and only one that may is built for Cedar.
//!
//! Each policy has its head ([`super::scope`], [`super::guard`]), its id, what is known of it
//! ([`super::rule`]), the entities that it names, and its tree ([`super::expressions`]), or its text where
//! it has none. Then follow the entities of entities.json, in their order, each with all that it is in.

use std::collections::BTreeSet;
use std::ops::Range;

use cedar_policy::{Policy, PolicyId};

use super::attributes::Attribute;
use super::bytes::{Reader, Writer};
use super::entities::Closed;
use super::expressions;
use super::guard::{self, Answer};
use super::rule::Rule;
use super::scope::{self, Known, Scope};
use super::uid::{Types, Uid};
use crate::model::query::Action;

/// Policies and entities.
#[derive(Debug)]
pub struct Compiled {
    bytes: Vec<u8>,
    /// Some policy reads the age of a secret.
    reads_age: bool,
    policies: Vec<Range<usize>>,
    entities: Vec<Range<usize>>,
}

/// The bytes were changed by somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the compiled policies are damaged: remove the files in /var/cache/hushpipe")]
pub struct Damaged;

/// A policy that was checked.
pub struct Checked<'t> {
    pub rule: Rule,
    pub policy: Policy,
    pub text: &'t str,
}

/// A policy, built.
#[derive(Debug)]
pub struct Built {
    /// Its id is its index.
    pub policy: Policy,
    /// Entities that it names and entities.json has, each with what it is in.
    pub others: Vec<(Uid, BTreeSet<Uid>)>,
}

/// What is found, by index, in order.
#[derive(Default)]
pub struct Matching {
    /// They match.
    pub held: Vec<usize>,
    /// Cedar has to say whether they do.
    pub open: Vec<usize>,
}

/// Principal, action, resource and attributes of a query, as heads are compared with them.
pub struct Sought<'q> {
    pub principal: Known<'q>,
    pub action: Action,
    pub resource: Known<'q>,
    pub attributes: Vec<Option<Attribute<'q>>>,
}

impl Compiled {
    pub fn of(policies: &[Checked<'_>], entities: &Closed, types: &Types) -> Self {
        let mut to = Writer::default();
        to.flag(policies.iter().any(Checked::reads_age));
        to.count(policies.len());
        for policy in policies {
            to.block(&policy.compiled(entities, types));
        }
        to.count(entities.len());
        for (uid, above) in entities {
            let mut one = Writer::default();
            uid.write(&mut one);
            one.count(above.len());
            for uid in above {
                uid.write(&mut one);
            }
            to.block(&one.0);
        }
        Self::read(to.0).expect("it was written so")
    }

    /// `None`: these are not bytes of a build like this one.
    pub fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut from = Reader::new(&bytes);
        let reads_age = from.flag()?;
        let (policies, entities) = (from.blocks()?, from.blocks()?);
        from.is_at_end().then_some(())?;
        Some(Self {
            bytes,
            reads_age,
            policies,
            entities,
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether some policy reads the age of a secret.
    pub const fn reads_age(&self) -> bool {
        self.reads_age
    }

    /// How many policies there are.
    pub const fn len(&self) -> usize {
        self.policies.len()
    }

    fn policy(&self, index: usize) -> Option<Reader<'_>> {
        let range = self.policies.get(index)?.clone();
        Some(Reader::new(&self.bytes[range]))
    }

    /// The policies that match a query, and those that may.
    pub fn matching(&self, sought: &Sought<'_>) -> Result<Matching, Damaged> {
        let answer = |index| {
            let mut head = Reader::new(self.policy(index)?.block()?);
            let in_scope = scope::may_match(
                &mut head,
                &sought.principal,
                sought.action,
                &sought.resource,
            )?;
            if in_scope {
                guard::answer(&mut head, &sought.attributes)
            } else {
                Some(Answer::No)
            }
        };
        let mut found = Matching::default();
        for index in 0..self.policies.len() {
            match answer(index).ok_or(Damaged)? {
                Answer::No => {}
                Answer::Yes => found.held.push(index),
                Answer::Open => found.open.push(index),
            }
        }
        Ok(found)
    }

    /// The index of a policy, by its id.
    pub fn find(&self, id: &str) -> Option<usize> {
        let is_it = |index: &usize| {
            self.policy(*index).is_some_and(|mut policy| {
                policy.block();
                policy.text() == Some(id)
            })
        };
        (0..self.policies.len()).find(is_it)
    }

    /// What is known of a policy.
    pub fn rule(&self, index: usize) -> Result<Rule, Damaged> {
        let rule = || {
            let mut from = self.policy(index)?;
            let (_, _) = (from.block()?, from.text()?);
            serde_json::from_slice(from.block()?).ok()
        };
        rule().ok_or(Damaged)
    }

    /// Builds a policy.
    pub fn build(&self, index: usize, types: &Types) -> Result<Built, Damaged> {
        self.built(index, types).ok_or(Damaged)
    }

    fn built(&self, index: usize, types: &Types) -> Option<Built> {
        let mut from = self.policy(index)?;
        let (_, _, _) = (from.block()?, from.text()?, from.block()?);
        let mut others = Vec::new();
        for _ in 0..from.count()? {
            let uid = Uid::read(&mut from)?;
            let mut above = BTreeSet::new();
            self.add_above(&uid, &mut above).ok()?;
            others.push((uid, above));
        }
        let id = index.to_string();
        let policy = if from.flag()? {
            expressions::decode(from.block()?, types, &id)?
        } else {
            Policy::parse(Some(PolicyId::new(id)), from.text()?).ok()?
        };
        Some(Built { policy, others })
    }

    /// Adds all that an entity of entities.json is in to a set. Returns whether it is there.
    pub fn add_above(&self, uid: &Uid, to: &mut BTreeSet<Uid>) -> Result<bool, Damaged> {
        let entity = |range: &Range<usize>| Reader::new(&self.bytes[range.clone()]);
        let order = |range: &Range<usize>| Uid::read(&mut entity(range)).cmp(&Some(uid.clone()));
        let Ok(place) = self.entities.binary_search_by(order) else {
            return Ok(false);
        };
        let mut from = entity(&self.entities[place]);
        Uid::read(&mut from).ok_or(Damaged)?;
        for _ in 0..from.count().ok_or(Damaged)? {
            to.insert(Uid::read(&mut from).ok_or(Damaged)?);
        }
        Ok(true)
    }
}

impl Checked<'_> {
    /// A policy without a tree does if its text may say so.
    fn reads_age(&self) -> bool {
        match expressions::tree(&self.policy) {
            Some(tree) => expressions::reads(&tree, "age"),
            None => self.text.contains("age"),
        }
    }

    fn compiled(&self, entities: &Closed, types: &Types) -> Vec<u8> {
        let tree = expressions::tree(&self.policy)
            .and_then(|tree| Some((expressions::encode(&tree, types)?, tree)));
        let mut head = Writer::default();
        Scope::of(&self.policy).write(&mut head);
        let guard = tree.as_ref().map(|(_, tree)| guard::guard(tree.clauses()));
        guard::write(&guard.unwrap_or_default(), &mut head);
        let named = self.policy.entity_literals();
        let named: BTreeSet<Uid> = named.iter().filter_map(Uid::of).collect();
        let named: Vec<&Uid> = named
            .iter()
            .filter(|uid| entities.contains_key(uid))
            .collect();
        let mut to = Writer::default();
        to.block(&head.0);
        to.text(&self.rule.id);
        to.block(&serde_json::to_vec(&self.rule).expect("texts and numbers can be written"));
        to.count(named.len());
        for uid in named {
            uid.write(&mut to);
        }
        to.flag(tree.is_some());
        match &tree {
            Some((encoded, _)) => to.block(encoded),
            None => to.text(self.text),
        }
        to.0
    }
}
