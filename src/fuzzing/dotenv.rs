//! Values: `NAME=value` lines, and JSON.

use crate::delivery::dotenv::{Quotes, Style, write};
use crate::model::ValueFormat;
use crate::secret::{SecretBytes, Value};
use crate::stores::format;

/// A file of a store: entries stand where they say, and what is written of a value is read as that
/// value. Read as JSON as well.
pub fn dotenv(data: &[u8]) {
    for format in [ValueFormat::Raw, ValueFormat::Json, ValueFormat::Dotenv] {
        match format::read(SecretBytes::new(data.to_vec()), format) {
            Ok(Value::Raw(bytes)) if format == ValueFormat::Raw => {
                assert!(bytes.expose() == data, "it is not as it was");
            }
            // A number or a string of JSON.
            Ok(Value::Raw(bytes)) => assert!(bytes.len() <= data.len()),
            Ok(Value::Fields(_)) => assert!(format != ValueFormat::Raw),
            // Where, and what: nothing of the content.
            Err(error) => assert!(error.to_string().len() < 200),
        }
    }
    let bytes = SecretBytes::new(data.to_vec());
    let Ok(entries) = format::dotenv_entries(&bytes) else {
        return;
    };
    let mut end = 0;
    for entry in entries {
        assert!(entry.lead.start >= end && entry.end <= data.len());
        assert!(entry.lead.end == entry.written.start && entry.written.end <= entry.end);
        end = entry.end;
        assert!(memchr::memmem::find(&data[entry.lead], entry.name.as_bytes()).is_some());
        written(&entry.value);
    }
}

/// What is written can be read.
fn written(value: &SecretBytes) {
    let Ok(text) = std::str::from_utf8(value.expose()) else {
        return;
    };
    let quotes = [None, Some(Quotes::Single), Some(Quotes::Double)];
    let styles = quotes
        .into_iter()
        .flat_map(|quotes| [false, true].map(|expand| Style { expand, quotes }));
    for style in styles {
        let Ok(line) = write(text, style) else {
            continue;
        };
        let line = SecretBytes::new(format!("A={line}\nB=after\n").into_bytes());
        let Ok(entries) = format::dotenv(&line) else {
            panic!("what was written cannot be read");
        };
        assert!(entries[0].1.same(value), "another value was read");
        assert_eq!((entries.len(), entries[1].0.as_str()), (2, "B"));
    }
}
