//! Raw bytes read as a value: as they are, as JSON, or as `NAME=value` lines.
//!
//! A fault says where it is and what is wrong there, and never quotes what stands there.

mod dotenv;
mod error;
mod json;

use std::collections::BTreeMap;

use crate::model::ValueFormat;
use crate::secret::{Field, SecretBytes, Value};

pub use dotenv::{Entry, dotenv, dotenv_entries};
use error::What;
pub use error::{FormatError, MAX_VALUE};

/// Reads bytes as a value.
///
/// `raw`: as they are. `json`: an object's members are the fields (a string as its bytes, everything
/// else as its compact JSON text, and known as such); a string, number or boolean at the top is a raw
/// value. Null members are treated as missing; null and an array at the top and a duplicate member are
/// faults.
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

/// The members of a JSON object that stands within a text, as [`read`] gives them.
pub(crate) fn members(object: &str) -> Result<BTreeMap<String, Field>, FormatError> {
    json::members(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Fault;

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
