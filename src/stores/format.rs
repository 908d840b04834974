//! Raw bytes read as a value: as they are, as JSON, or as `NAME=value` lines.
//!
//! A fault says where it is and what is wrong there, and never quotes what stands there.

mod dotenv;
mod json;

use std::collections::BTreeMap;
use std::fmt;

use super::Fault;
use crate::model::ValueFormat;
use crate::secret::{Field, SecretBytes, Value};

pub use dotenv::{Entry, dotenv, dotenv_entries};

/// The largest value that is read, in bytes: 16 MiB.
pub const MAX_VALUE: usize = 16 << 20;

/// Why bytes could not be read in their format: where, and what is wrong; never the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatError {
    format: ValueFormat,
    line: usize,
    column: Option<usize>,
    what: What,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    TooLarge,
    NotUtf8,
    Syntax,
    UnexpectedEnd,
    Null,
    Array,
    TooDeep,
    DuplicateMember,
    NoEquals,
    BadName,
    Unterminated,
    AfterQuote,
    DuplicateName { first: usize },
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
            What::Null => "null is no value: leave the member out, or give it a value",
            What::Array => "an array has no named fields: an object or a scalar is expected",
            What::TooDeep => "nested too deeply",
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

/// Reads bytes as a value.
///
/// `raw`: as they are. `json`: an object's members are the fields (a string as its bytes, everything
/// else as its compact JSON text, and known as such); a string, number or boolean at the top is a raw
/// value; null, a duplicate member and an array at the top are faults.
/// `dotenv`: see [`dotenv()`]; each name is a field.
pub fn read(bytes: SecretBytes, format: ValueFormat) -> Result<Value, FormatError> {
    if bytes.len() > MAX_VALUE {
        return Err(FormatError {
            format,
            line: 0,
            column: None,
            what: What::TooLarge,
        });
    }
    match format {
        ValueFormat::Raw => Ok(Value::bytes(bytes)),
        ValueFormat::Json => json::read(&bytes),
        ValueFormat::Dotenv => {
            let entries = dotenv(&bytes)?.into_iter();
            let fields = entries.map(|(name, value)| (name, value.into()));
            Ok(Value::Fields(fields.collect()))
        }
    }
}

/// The members of a JSON object that stands within a text, as [`read`] gives them. A member that is
/// null is none: servers list what they leave out.
pub(crate) fn members(object: &str) -> Result<BTreeMap<String, Field>, FormatError> {
    json::members(object)
}

/// A UTF-8 byte order mark, as Windows editors write it, is no part of the text.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_stay_as_they_are() {
        let bytes = b"\0a\n\xff\r\n".to_vec();
        let value = read(SecretBytes::new(bytes.clone()), ValueFormat::Raw)
            .ok()
            .unwrap();
        assert_eq!(value.raw().unwrap().expose(), bytes);
        assert!(value.field("a").is_none());
    }

    #[test]
    fn what_is_larger_than_the_limit_is_refused_in_every_format() {
        for format in [ValueFormat::Raw, ValueFormat::Json, ValueFormat::Dotenv] {
            let error = read(SecretBytes::new(vec![b' '; MAX_VALUE + 1]), format)
                .err()
                .unwrap();
            assert_eq!(error.to_string(), "it is larger than 16 MiB");
        }
        assert!(read(SecretBytes::new(vec![b' '; MAX_VALUE]), ValueFormat::Raw).is_ok());
    }

    #[test]
    fn a_fault_becomes_a_stores_fault() {
        let error = read(
            SecretBytes::new(b"{\n\n  s3cret".to_vec()),
            ValueFormat::Json,
        )
        .err()
        .unwrap();
        let Fault::Malformed { reason } = Fault::from(error) else {
            panic!("another fault")
        };
        assert_eq!(
            reason,
            "not usable as JSON: line 3, column 3: a syntax error"
        );
    }
}
