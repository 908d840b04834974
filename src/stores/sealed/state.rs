//! What a store holds by its index.

use super::index::{Index, digest};
use super::memory::Remembered;

/// The index's file in a store.
pub const INDEX: &str = "index";

/// What a store holds.
pub struct State {
    /// By its index, or, where a person said so, by what lies there.
    pub index: Index,
    /// The index as it is on the disk; `None`: there is none.
    pub text: Option<String>,
}

impl State {
    /// Of an index that was just written.
    pub const fn written(index: Index, text: String) -> Self {
        let text = Some(text);
        Self { index, text }
    }

    /// Of an index that is not written.
    pub const fn of(index: Index) -> Self {
        let text = None;
        Self { index, text }
    }

    /// Whether both were read from the same index.
    pub fn same(&self, other: &Self) -> bool {
        self.text.is_some() && self.text == other.text
    }

    /// What a host remembers of it.
    pub fn to_remember(&self) -> Option<Remembered> {
        let text = self.text.as_ref()?;
        Some(Remembered {
            store: self.index.store,
            number: self.index.number,
            index: digest(text.as_bytes()),
            members: self.index.members.keys().cloned().collect(),
        })
    }
}
