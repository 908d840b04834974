//! The head of a policy, and whether it may match: looked at as bytes, as each query looks at those of all
//! policies.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::bytes::{Reader, Writer};
use super::uid::{Kind, Uid};
use crate::model::query::Action;
use crate::model::words::Words;

/// What a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    principal: Bound,
    resource: Bound,
    /// None: all.
    actions: Option<Vec<String>>,
}

/// What a principal or a resource must be. Each that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// For [`may_match`].
    pub fn write(&self, to: &mut Writer) {
        let is_meant = |word: &str| {
            let actions = self.actions.as_ref();
            actions.is_none_or(|actions| actions.iter().any(|one| one == word))
        };
        let actions = Action::TABLE.iter().enumerate();
        let bits = actions.filter(|(_, (word, _))| is_meant(word));
        to.byte(bits.fold(0, |bits, (place, _)| bits | 1 << place));
        self.principal.write(to);
        self.resource.write(to);
    }
}

/// Principal or resource of a query as heads are compared with it.
pub struct Known<'s> {
    uid: (u8, &'s str),
    /// In order.
    above: Vec<(u8, &'s str)>,
}

impl Subject {
    pub fn known(&self) -> Known<'_> {
        let mut above: Vec<_> = self.above.iter().map(Uid::key).collect();
        above.sort_unstable();
        Known {
            uid: self.uid.key(),
            above,
        }
    }
}

/// Whether the head holds that [`Scope::write`] wrote. `None`: it is none. Where it does not hold, it may
/// not have been read to its end.
pub fn may_match(
    from: &mut Reader<'_>,
    principal: &Known<'_>,
    action: Action,
    resource: &Known<'_>,
) -> Option<bool> {
    let place = Action::TABLE.iter().position(|(_, one)| *one == action)?;
    let actions = from.byte()?;
    Some(actions & 1 << place != 0 && holds(from, principal)? && holds(from, resource)?)
}

/// Parts of a bound, as bits.
const IS: u8 = 1;
const EQUALS: u8 = 2;
const WITHIN: u8 = 4;
const NEVER: u8 = 8;

fn holds(from: &mut Reader<'_>, subject: &Known<'_>) -> Option<bool> {
    let parts = from.byte()?;
    let mut holds = parts & NEVER == 0;
    if parts & IS != 0 {
        holds &= from.byte()? == subject.uid.0;
    }
    if parts & EQUALS != 0 {
        holds &= (from.byte()?, from.text()?) == subject.uid;
    }
    if parts & WITHIN != 0 {
        let wanted = (from.byte()?, from.text()?);
        holds &= wanted == subject.uid || subject.above.binary_search(&wanted).is_ok();
    }
    Some(holds)
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

    fn write(&self, to: &mut Writer) {
        let parts = [
            (IS, self.is.is_some()),
            (EQUALS, self.equals.is_some()),
            (WITHIN, self.within.is_some()),
            (NEVER, self.never),
        ];
        let parts = parts.iter().filter(|(_, is)| *is);
        to.byte(parts.fold(0, |bits, (bit, _)| bits | bit));
        self.is.iter().for_each(|kind| to.byte(kind.place()));
        for uid in [&self.equals, &self.within].into_iter().flatten() {
            uid.write(to);
        }
    }
}
