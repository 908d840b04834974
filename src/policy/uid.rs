//! Names of entities: their type, and an id of any characters.

use std::fmt;

use cedar_policy::pst::EntityType;
use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use serde_json::json;

use super::bytes::{Reader, Writer};
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

    /// Its number in bytes, which is its place in the table.
    pub fn place(self) -> u8 {
        let place = Self::TABLE.iter().position(|(_, kind)| *kind == self);
        let place = place.expect("the table has each kind");
        u8::try_from(place).expect("there are few")
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// What it is compared by.
    pub fn key(&self) -> (u8, &str) {
        (self.kind.place(), &self.id)
    }

    pub fn write(&self, to: &mut Writer) {
        to.byte(self.kind.place());
        to.text(&self.id);
    }

    /// What [`Uid::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (_, kind) = Kind::TABLE.get(usize::from(from.byte()?))?;
        Some(Self::new(*kind, from.text()?))
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

/// Cedar's names of the types of the schema, made once.
#[derive(Debug)]
pub struct Types {
    /// In the order of [`Kind::TABLE`]; `Action` is the last.
    all: Vec<Type>,
}

#[derive(Debug)]
struct Type {
    name: EntityTypeName,
    /// The same in trees of policies.
    in_tree: EntityType,
}

impl Types {
    pub fn new() -> Self {
        let words = Kind::TABLE.iter().map(|(word, _)| *word);
        Self {
            all: words.chain(["Action"]).map(Type::new).collect(),
        }
    }

    pub fn uid(&self, kind: Kind, id: &str) -> EntityUid {
        self.named(usize::from(kind.place()), id)
    }

    pub fn action(&self, id: &str) -> EntityUid {
        self.named(self.all.len() - 1, id)
    }

    fn named(&self, place: usize, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.all[place].name.clone(), EntityId::new(id))
    }

    /// Where a tree's type is among these. `None`: the schema has it not.
    pub fn place(&self, in_tree: &EntityType) -> Option<u8> {
        let place = self.all.iter().position(|one| one.in_tree == *in_tree)?;
        u8::try_from(place).ok()
    }

    /// The type of a tree at a place.
    pub fn at(&self, place: u8) -> Option<EntityType> {
        Some(self.all.get(usize::from(place))?.in_tree.clone())
    }
}

impl Type {
    /// By JSON: to read it as policies are read takes ten times as long, as it makes their parser.
    fn new(word: &str) -> Self {
        let uid = EntityUid::from_json(json!({"type": word, "id": ""})).expect("a word is a name");
        let name = uid.type_name().clone();
        Self {
            in_tree: name.as_ref().clone().into(),
            name,
        }
    }
}
