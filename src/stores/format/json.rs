//! JSON objects as fields.
//!
//! serde_json checks the text and finds the members; their texts are borrowed, so no tree of values
//! is made. Its errors may quote what they stumble on: their position is taken and no more.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{FormatError, MAX_ENTRIES, MAX_VALUE, What, without_mark};
use crate::model::ValueFormat;
use crate::secret::{Field, SecretBytes, Value};

/// Objects and arrays within each other.
const MAX_DEPTH: usize = 64;

/// What lies deep is read once a level: so many bytes in all.
const MAX_READ: usize = 4 * MAX_VALUE;

/// Reads the whole text.
pub(super) fn read(bytes: &SecretBytes) -> Result<Value, FormatError> {
    let bytes = without_mark(bytes.expose());
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let (line, column) = position(&valid, valid.len());
        fault(line, column, What::NotUtf8)
    })?;
    let reading = Reading::new(text);
    let whole: &RawValue = reading.parse(text)?;
    match whole.get().as_bytes().first() {
        Some(b'{') => reading.fields(whole).map(Value::Fields),
        Some(b'[') => Err(reading.fault_at(whole, What::Array)),
        _ => reading.field(whole, 0).map(Value::Raw),
    }
}

/// Reads an object, as [`read`] does.
pub(super) fn members(object: &str) -> Result<BTreeMap<String, Field>, FormatError> {
    let reading = Reading::new(object);
    let whole: &RawValue = reading.parse(object)?;
    reading.fields(whole)
}

struct Reading<'a> {
    text: &'a str,
    /// Members and elements so far.
    entries: Cell<usize>,
    /// Bytes that were read, each as often as it was.
    read: Cell<usize>,
}

impl<'a> Reading<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            entries: Cell::new(0),
            read: Cell::new(0),
        }
    }

    /// An object's members.
    fn members(
        &self,
        object: &'a RawValue,
    ) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, FormatError> {
        let members = self.parse::<Members>(object.get())?.0;
        self.count(object, members.len())?;
        Ok(members)
    }

    /// An array's elements.
    fn elements(&self, array: &'a RawValue) -> Result<Vec<&'a RawValue>, FormatError> {
        let elements = self.parse::<Elements>(array.get())?.0;
        self.count(array, elements.len())?;
        Ok(elements)
    }

    fn count(&self, value: &RawValue, more: usize) -> Result<(), FormatError> {
        self.entries.set(self.entries.get() + more);
        self.read.set(self.read.get() + value.get().len());
        if self.entries.get() > MAX_ENTRIES {
            return Err(self.fault_at(value, What::TooMany));
        }
        if self.read.get() > MAX_READ {
            return Err(self.fault_at(value, What::TooDeep));
        }
        Ok(())
    }

    /// Null members are treated as missing: many writers list what they have no value for.
    fn fields(&self, object: &'a RawValue) -> Result<BTreeMap<String, Field>, FormatError> {
        let mut fields = BTreeMap::new();
        let mut nulls = BTreeSet::new();
        for (name, value) in self.members(object)? {
            if fields.contains_key(name.as_ref()) || nulls.contains(&name) {
                return Err(self.fault_at(value, What::DuplicateMember));
            }
            if value.get() == "null" {
                nulls.insert(name);
            } else {
                fields.insert(name.into_owned(), self.field(value, 1)?);
            }
        }
        Ok(fields)
    }

    fn field(&self, value: &'a RawValue, depth: usize) -> Result<Field, FormatError> {
        let text = value.get();
        let json = |text: Vec<u8>| Field::json(SecretBytes::new(text));
        Ok(match text.as_bytes().first() {
            Some(b'"') => {
                let text: String =
                    serde_json::from_str(text).map_err(|_| self.fault_at(value, What::Syntax))?;
                SecretBytes::new(text.into_bytes()).into()
            }
            Some(b'n') => return Err(self.fault_at(value, What::Null)),
            Some(b'{' | b'[') => {
                self.check_nested(value, depth)?;
                json(compact(text))
            }
            _ => json(text.as_bytes().to_vec()),
        })
    }

    /// Equal names and bottomless nesting are refused within members as well: who reads the text
    /// next may take the other one, or overflow its stack.
    fn check_nested(&self, value: &'a RawValue, depth: usize) -> Result<(), FormatError> {
        if depth >= MAX_DEPTH {
            return Err(self.fault_at(value, What::TooDeep));
        }
        match value.get().as_bytes().first() {
            Some(b'{') => {
                let mut names = BTreeSet::new();
                for (name, member) in self.members(value)? {
                    if !names.insert(name) {
                        return Err(self.fault_at(member, What::DuplicateMember));
                    }
                    self.check_nested(member, depth + 1)?;
                }
            }
            Some(b'[') => {
                for element in self.elements(value)? {
                    self.check_nested(element, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn parse<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, FormatError> {
        serde_json::from_str(part).map_err(|error| {
            let what = if error.is_eof() {
                What::UnexpectedEnd
            } else if error.is_data() {
                What::TooMany
            } else {
                What::Syntax
            };
            if part.len() == self.text.len() {
                // serde_json counts bytes; the column that people count has characters.
                let line = self.text.split('\n').nth(error.line().saturating_sub(1));
                let column = line.map_or(0, |line| {
                    let bytes = error.column().min(line.len());
                    String::from_utf8_lossy(&line.as_bytes()[..bytes])
                        .chars()
                        .count()
                });
                fault(error.line(), column.max(1), what)
            } else {
                let (line, column) = position(self.text, self.offset(part));
                fault(line, column, what)
            }
        })
    }

    fn fault_at(&self, value: &RawValue, what: What) -> FormatError {
        let (line, column) = position(self.text, self.offset(value.get()));
        fault(line, column, what)
    }

    /// Where a borrowed part stands in the text.
    fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }
}

const fn fault(line: usize, column: usize, what: What) -> FormatError {
    FormatError {
        format: ValueFormat::Json,
        line,
        column: Some(column),
        what,
    }
}

/// 1-based line and column, in characters, of an offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// Valid JSON without the white space between its tokens.
fn compact(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            quoted = true;
        } else if byte.is_ascii_whitespace() {
            continue;
        }
        out.push(byte);
    }
    out
}

/// An object's members in their order, equal names kept.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MAX_ENTRIES {
                        return Err(A::Error::custom("too many"));
                    }
                    members.push((Cow::Owned(name), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// An array's elements.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == MAX_ENTRIES {
                        return Err(A::Error::custom("too many"));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: impl AsRef<[u8]>) -> Result<Value, FormatError> {
        read(&SecretBytes::new(text.as_ref().to_vec()))
    }

    fn field(text: &str, name: &str) -> String {
        let value = json(text).ok().unwrap();
        String::from_utf8(value.field(name).unwrap().expose().to_vec()).unwrap()
    }

    fn message(text: impl AsRef<[u8]>) -> String {
        json(text).err().unwrap().to_string()
    }

    #[test]
    fn members_are_fields_and_keep_their_text() {
        let text = r#"{"s": "a\n\"\u00e9\ud83d\ude00", "n": 1.50e+400, "big": 123456789012345678901234567890,
            "b": true, "o": { "x y" : [ 1 , "a \" b" , {} ] }, "e": ""}"#;
        assert_eq!(field(text, "s"), "a\n\"é😀");
        assert_eq!(field(text, "n"), "1.50e+400");
        assert_eq!(field(text, "big"), "123456789012345678901234567890");
        assert_eq!(field(text, "b"), "true");
        assert_eq!(field(text, "o"), r#"{"x y":[1,"a \" b",{}]}"#);
        assert_eq!(field(text, "e"), "");
    }

    #[test]
    fn many_members_and_much_within_each_other_are_refused_soon() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"{n:x}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(json(object(MAX_ENTRIES)).is_ok());
        let many = "more than 65536 members, elements or names";
        assert!(message(object(MAX_ENTRIES + 1)).contains(many));
        let rows = vec!["[1,2,3,4,5,6,7,8,9]"; MAX_ENTRIES / 8].join(",");
        assert!(message(format!("{{\"a\":[{rows}]}}")).contains(many));
        let deep = format!(
            "{{\"a\":{}\"{}\"{}}}",
            "[".repeat(60),
            "x".repeat(2 << 20),
            "]".repeat(60)
        );
        assert!(message(deep).contains("nested too deeply"));
    }

    #[test]
    fn a_scalar_at_the_top_is_a_raw_value() {
        for (text, bytes) in [
            ("\"a\\tb\"\n", "a\tb"),
            (" 42 ", "42"),
            ("false", "false"),
            ("\u{feff}\"x\"", "x"),
        ] {
            let value = json(text).ok().unwrap();
            assert_eq!(value.raw().unwrap().expose(), bytes.as_bytes());
        }
    }

    #[test]
    fn faults_say_where_and_never_what_stands_there() {
        for (text, expected) in [
            ("", "line 1, column 1: it ends too early"),
            (
                "{\"a\": \"hunter2\"",
                "line 1, column 15: it ends too early",
            ),
            ("{\"a\":\n  hunter2}", "line 2, column 3: a syntax error"),
            ("hunter2", "line 1, column 1: a syntax error"),
            ("{} hunter2", "line 1, column 4: a syntax error"),
            ("{\"é\": hunter2}", "line 1, column 7: a syntax error"),
            ("null", "line 1, column 1: null is no value"),
            (
                "{\"hunter2\":null,\n\"hunter2\":2}",
                "line 2, column 11: a member of this name",
            ),
            ("[\"hunter2\"]", "line 1, column 1: an array has no"),
            (
                "{\"hunter2\":1,\n\"hunter2\":2}",
                "line 2, column 11: a member of this name",
            ),
            (
                "{\"o\":{\"hunter2\":1,\"hunter2\":2}}",
                "line 1, column 29: a member",
            ),
            (
                "{\"o\":[[{\"a\":1,\"\\u0061\":2}]]}",
                "line 1, column 24: a member",
            ),
            ("{\"a\": \"\\ud800\"}", "line 1, column 7: a syntax error"),
        ] {
            let message = message(text);
            let start = format!("not usable as JSON: {expected}");
            assert!(message.starts_with(&start), "{text}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn members_that_are_null_are_missing() {
        let text = r#"{"a":null,"b":"x","c":{"d":null}}"#;
        let value = json(text).ok().unwrap();
        assert!(value.field("a").is_none());
        assert_eq!(field(text, "b"), "x");
        let fields = members(text).ok().unwrap();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(fields["c"].expose(), br#"{"d":null}"#);
        assert!(members("[1]").is_err() && members("null").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        assert_eq!(
            message(b"{\"a\":\n\"b\xff\"}"),
            "not usable as JSON: line 2, column 3: the bytes are not UTF-8"
        );
    }

    #[test]
    fn nesting_has_a_limit_and_does_not_overflow_the_stack() {
        let nested =
            |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(nested(60)).is_ok());
        assert!(message(nested(64)).contains("nested too deeply"));
        assert!(message(nested(1_000_000)).contains("nested too deeply"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(fields: BTreeMap<String, String>) {
            let text = serde_json::to_string_pretty(&fields).unwrap();
            let value = json(text).ok().unwrap();
            for (name, text) in &fields {
                prop_assert_eq!(value.field(name).unwrap().expose(), text.as_bytes());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Err(error) = json(bytes) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
