//! In place of the room, in a build without it: there are no policies.

use crate::model::query::{Query, Ruling};

/// There is none.
#[derive(Debug)]
pub enum Policies {}

impl Policies {
    /// Never called.
    pub fn decide(&self, _: &Query) -> Ruling {
        match *self {}
    }

    /// Never called.
    pub fn facts_read(&self, _: &Query, _: &Ruling) -> Vec<String> {
        match *self {}
    }

    /// Never called.
    pub const fn reads_age(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub const fn len(&self) -> usize {
        match *self {}
    }

    /// Never called.
    pub const fn is_empty(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub const fn is_member(&self, _: &str, _: &[String], _: &str) -> bool {
        match *self {}
    }
}
