//! What is wrong with policies, each at its place.

use std::fmt;

use miette::Diagnostic;

use crate::model::printable::printable;
use crate::model::{Exit, Place};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file, by its name in the directory.
    pub file: String,
    /// Where in it.
    pub at: Place,
    /// What is wrong.
    pub message: String,
    /// What to do; empty where the message says it.
    pub help: String,
}

/// All that is wrong, in the order of the files; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl PolicyErrors {
    /// hushpipe's exit code for them.
    pub const EXIT: Exit = Exit::Manifest;
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.at;
        write!(
            f,
            "{}:{line}:{column}: {}",
            printable(&self.file),
            self.message
        )?;
        if !self.help.is_empty() {
            write!(f, ": {}", self.help)?;
        }
        Ok(())
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}
impl std::error::Error for PolicyErrors {}

/// A text that was read, and its name.
#[derive(Clone, Copy)]
pub struct File<'t> {
    pub name: &'t str,
    pub text: &'t str,
}

impl File<'_> {
    /// An error at a byte of it.
    pub fn error(
        self,
        offset: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> PolicyError {
        PolicyError {
            file: self.name.to_owned(),
            at: self.place(offset),
            message: message.into(),
            help: help.into(),
        }
    }

    /// What Cedar says about a text that begins at a byte of this one.
    pub fn diagnostic(self, base: usize, says: &dyn Diagnostic) -> PolicyError {
        let first = says.labels().and_then(|mut labels| labels.next());
        let offset = first.as_ref().map_or(0, miette::LabeledSpan::offset);
        let help = says.help().map(|help| help.to_string());
        let label = first.as_ref().and_then(|label| label.label());
        let help = help.or_else(|| label.map(str::to_owned));
        self.error(
            base + offset,
            printable(&says.to_string()),
            printable(&help.unwrap_or_default()),
        )
    }

    /// Line and column, in characters, of a byte.
    pub fn place(self, offset: usize) -> Place {
        let end = self.text.floor_char_boundary(offset);
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}
