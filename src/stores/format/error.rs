//! Why bytes could not be read in their format.

use std::fmt;

use crate::model::ValueFormat;
use crate::stores::Fault;

/// The largest value that is read, in bytes: 16 MiB.
pub const MAX_VALUE: usize = 16 << 20;

/// The most members, elements or names in one value: reading them must not keep signals waiting.
pub(super) const MAX_ENTRIES: usize = 65_536;

/// Why bytes could not be read in their format: where, and what is wrong; never the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    pub(super) format: ValueFormat,
    pub(super) line: usize,
    pub(super) column: Option<usize>,
    pub(super) what: What,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    TooLarge,
    NotUtf8,
    Syntax,
    UnexpectedEnd,
    Null,
    Array,
    TooDeep,
    TooMany,
    DuplicateMember,
    NoEquals,
    BadName,
    Unterminated,
    AfterQuote,
    DuplicateName { first: usize },
}

impl FormatError {
    /// The line of a name that was there before, if that is what is wrong.
    pub const fn duplicate_name(&self) -> Option<usize> {
        match self.what {
            What::DuplicateName { .. } => Some(self.line),
            _ => None,
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.what, What::TooLarge) {
            return write!(f, "it is larger than {} MiB", MAX_VALUE >> 20);
        }
        f.write_str(match self.format {
            ValueFormat::Raw => "not readable",
            ValueFormat::Json => "not usable as JSON",
            ValueFormat::Dotenv => "not usable as NAME=value lines",
        })?;
        write!(f, ": line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        f.write_str(": ")?;
        f.write_str(match self.what {
            What::TooLarge => unreachable!("written above"),
            What::NotUtf8 => "the bytes are not UTF-8",
            What::Syntax => "a syntax error",
            What::UnexpectedEnd => "it ends too early",
            What::Null => "null is no value",
            What::Array => "an array has no named fields: an object or a scalar is expected",
            What::TooDeep => "nested too deeply",
            What::TooMany => {
                return write!(f, "more than {MAX_ENTRIES} members, elements or names");
            }
            What::DuplicateMember => "a member of this name was there before",
            What::NoEquals => "a `=` is expected after the name",
            What::BadName => {
                "a name is expected: a letter or `_`, then letters, digits, `_`, `.` or `-`"
            }
            What::Unterminated => "the quote that opens here is not closed",
            What::AfterQuote => "something follows the closing quote",
            What::DuplicateName { first } => {
                return write!(f, "the name of line {first} is there again");
            }
        })
    }
}

impl std::error::Error for FormatError {}

impl From<FormatError> for Fault {
    fn from(error: FormatError) -> Self {
        Self::Malformed {
            reason: error.to_string(),
        }
    }
}

/// A UTF-8 byte order mark, as Windows editors write it, is no part of the text.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
