//! The head of a policy, and whether it may match.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use serde::{Deserialize, Serialize};

use super::uid::{Kind, Uid};

/// What a policy is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    principal: Bound,
    resource: Bound,
    /// None: all.
    actions: Option<Vec<String>>,
}

/// What a principal or a resource must be. Each that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bound {
    is: Option<Kind>,
    equals: Option<Uid>,
    within: Option<Uid>,
    /// It names a type that the schema has not: nothing matches.
    never: bool,
}

/// Principal or resource of a query, and all that it is in.
pub struct Subject {
    pub uid: Uid,
    pub above: BTreeSet<Uid>,
}

impl Scope {
    pub fn of(policy: &Policy) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Bound::default(),
            PrincipalConstraint::Eq(uid) => Bound::equals(&uid),
            PrincipalConstraint::In(uid) => Bound::within(&uid),
            PrincipalConstraint::Is(name) => Bound::is(Kind::of(&name)),
            PrincipalConstraint::IsIn(name, uid) => Bound::within(&uid).and(Kind::of(&name)),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Bound::default(),
            ResourceConstraint::Eq(uid) => Bound::equals(&uid),
            ResourceConstraint::In(uid) => Bound::within(&uid),
            ResourceConstraint::Is(name) => Bound::is(Kind::of(&name)),
            ResourceConstraint::IsIn(name, uid) => Bound::within(&uid).and(Kind::of(&name)),
        };
        let id = |uid: &EntityUid| uid.id().unescaped().to_owned();
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(uid) => Some(vec![id(&uid)]),
            // The schema has no groups of actions: to be in one of these is to be it.
            ActionConstraint::In(uids) => Some(uids.iter().map(id).collect()),
        };
        Self {
            principal,
            resource,
            actions,
        }
    }

    /// Whether the head holds.
    pub fn may_match(&self, principal: &Subject, action: &str, resource: &Subject) -> bool {
        let actions = self.actions.as_ref();
        actions.is_none_or(|actions| actions.iter().any(|one| one == action))
            && self.principal.holds(principal)
            && self.resource.holds(resource)
    }
}

impl Bound {
    fn equals(uid: &EntityUid) -> Self {
        let equals = Uid::of(uid);
        Self {
            never: equals.is_none(),
            equals,
            ..Self::default()
        }
    }

    fn within(uid: &EntityUid) -> Self {
        let within = Uid::of(uid);
        Self {
            never: within.is_none(),
            within,
            ..Self::default()
        }
    }

    fn is(kind: Option<Kind>) -> Self {
        Self::default().and(kind)
    }

    fn and(self, kind: Option<Kind>) -> Self {
        Self {
            never: self.never || kind.is_none(),
            is: kind,
            ..self
        }
    }

    fn holds(&self, subject: &Subject) -> bool {
        let within = |uid: &Uid| *uid == subject.uid || subject.above.contains(uid);
        !self.never
            && self.is.is_none_or(|kind| kind == subject.uid.kind)
            && self.equals.as_ref().is_none_or(|uid| *uid == subject.uid)
            && self.within.as_ref().is_none_or(within)
    }
}
