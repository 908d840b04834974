//! Names of entities: their type, and an id of any characters.

use std::fmt;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use serde::{Deserialize, Serialize};

use crate::model::words::{Words, words};

words! {
    /// The entity types of the schema.
    Kind {
        /// A group of services.
        Role = "Role",
        /// The principal of a launch.
        Service = "Service",
        /// A group of people.
        Group = "Group",
        /// The principal of a command.
        Person = "Person",
        /// What it is about.
        Secret = "Secret",
        /// The host.
        Site = "Site",
    }
}

impl Kind {
    /// The type of Cedar's, by its name.
    pub fn of(name: &EntityTypeName) -> Option<Self> {
        let name = name.to_string();
        let found = Self::TABLE.iter().find(|(word, _)| *word == name);
        found.map(|(_, kind)| *kind)
    }

    /// What entities of this type may be in.
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Role | Self::Service => Some(Self::Role),
            Self::Group | Self::Person => Some(Self::Group),
            Self::Secret | Self::Site => None,
        }
    }
}

/// The name of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Uid {
    pub kind: Kind,
    pub id: String,
}

impl Uid {
    pub fn new(kind: Kind, id: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
        }
    }

    /// As Cedar has it; `None`: the schema has no such type.
    pub fn of(uid: &EntityUid) -> Option<Self> {
        Some(Self::new(Kind::of(uid.type_name())?, uid.id().unescaped()))
    }
}

/// As policies write it.
impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}::\"{}\"",
            self.kind,
            EntityId::new(&self.id).escaped()
        )
    }
}

/// Cedar's names of the types, parsed once.
#[derive(Debug)]
pub struct Types {
    kinds: Vec<(Kind, EntityTypeName)>,
    action: EntityTypeName,
}

impl Types {
    pub fn new() -> Self {
        let parse = |name: &str| name.parse().expect("a word is a name");
        let kinds = Kind::TABLE.iter();
        Self {
            kinds: kinds.map(|(word, kind)| (*kind, parse(word))).collect(),
            action: parse("Action"),
        }
    }

    pub fn uid(&self, kind: Kind, id: &str) -> EntityUid {
        let found = self.kinds.iter().find(|(one, _)| *one == kind);
        let (_, name) = found.expect("the table has each kind");
        EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id))
    }

    pub fn action(&self, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.action.clone(), EntityId::new(id))
    }
}
