//! What could not be read.

use crate::model::printable::printable;

/// So many inputs that could not be read are named.
const NAMED: usize = 20;

/// What could not be read.
#[derive(Debug, Default)]
pub struct Notes {
    /// Each with its cause; printable.
    pub texts: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Notes {
    /// Adds one.
    pub fn add(&mut self, path: &str, cause: &dyn std::fmt::Display) {
        if self.texts.len() < NAMED {
            let cause = printable(&cause.to_string());
            self.texts
                .push(format!("{} was skipped: {cause}", printable(path)));
        } else {
            self.more += 1;
        }
    }
}
