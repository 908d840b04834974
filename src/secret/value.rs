//! Values on their way from a store to a delivery.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;

use super::bytes::SecretBytes;
use super::field::Field;
use super::{Buffer, member};

/// A secret's value: raw bytes, or a map of fields.
pub enum Value {
    /// As the store gave them.
    Raw(Field),
    /// By name.
    Fields(BTreeMap<String, Field>),
}

impl Value {
    /// One raw value that is no JSON.
    pub fn bytes(bytes: SecretBytes) -> Self {
        Self::Raw(bytes.into())
    }

    /// The whole value's bytes, if it is raw.
    pub const fn raw(&self) -> Option<&Field> {
        match self {
            Self::Raw(field) => Some(field),
            Self::Fields(_) => None,
        }
    }

    /// The field of exactly this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match self {
            Self::Raw(_) => None,
            Self::Fields(fields) => fields.get(name),
        }
    }

    /// A copy of the field of this name; else of the member that the name leads to, as `pool.max` does
    /// in `{"pool": {"max": 7}}`. Null members are treated as missing.
    pub fn find(&self, path: &str) -> Option<Field> {
        if let Some(field) = self.field(path) {
            return Some(field.copy());
        }
        let mut dots = path.match_indices('.').map(|(at, _)| at);
        dots.find_map(|at| {
            let outer = self.field(&path[..at])?;
            member::find(outer, &path[at + 1..])
        })
    }

    /// Every bytes in it: the raw value, or each field.
    pub fn parts(&self) -> Vec<&SecretBytes> {
        match self {
            Self::Raw(field) => vec![field],
            Self::Fields(fields) => fields.values().map(Deref::deref).collect(),
        }
    }

    /// A copy, for another use of the same value.
    #[must_use]
    pub fn copy(&self) -> Self {
        match self {
            Self::Raw(field) => Self::Raw(field.copy()),
            Self::Fields(fields) => {
                let copies = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), field.copy()));
                Self::Fields(copies.collect())
            }
        }
    }

    /// The same without the line ends at the end of its text, and of each field's.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        let trimmed = |field: &Field| {
            let bytes = field.expose();
            let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
            let end = bytes.iter().rposition(|byte| !is_end(byte));
            let bytes = bytes[..end.map_or(0, |last| last + 1)].to_vec();
            field.of_kind(SecretBytes::new(bytes))
        };
        match self {
            Self::Raw(field) => Self::Raw(trimmed(field)),
            Self::Fields(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), trimmed(field)));
                Self::Fields(fields.collect())
            }
        }
    }
}

/// A [`Field`] that waits to be used, in protected memory.
pub struct KeptField {
    buffer: Buffer,
    json: bool,
}

impl KeptField {
    /// Copies the field. The error is the kernel's word when it has no memory.
    pub fn new(field: &Field) -> io::Result<Self> {
        Ok(Self {
            buffer: Buffer::new(field.expose())?,
            json: field.is_json(),
        })
    }

    /// A copy, to be used now.
    pub fn field(&self) -> Field {
        let copy = |bytes: &[u8]| SecretBytes::new(bytes.to_vec());
        let bytes = self.buffer.with(copy);
        if self.json {
            Field::json(bytes)
        } else {
            bytes.into()
        }
    }
}

/// A [`Value`] that waits to be used, in protected memory.
pub enum KeptValue {
    /// As [`Value::Raw`].
    Raw(KeptField),
    /// As [`Value::Fields`].
    Fields(BTreeMap<String, KeptField>),
}

impl KeptValue {
    /// Copies the value. The error is the kernel's word when it has no memory.
    pub fn new(value: &Value) -> io::Result<Self> {
        match value {
            Value::Raw(field) => KeptField::new(field).map(Self::Raw),
            Value::Fields(fields) => {
                let kept = fields
                    .iter()
                    .map(|(name, field)| Ok((name.clone(), KeptField::new(field)?)));
                kept.collect::<io::Result<_>>().map(Self::Fields)
            }
        }
    }

    /// A copy, to be used now.
    pub fn value(&self) -> Value {
        match self {
            Self::Raw(kept) => Value::Raw(kept.field()),
            Self::Fields(fields) => {
                let copies = fields
                    .iter()
                    .map(|(name, kept)| (name.clone(), kept.field()));
                Value::Fields(copies.collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Field {
        SecretBytes::new(text.as_bytes().to_vec()).into()
    }

    fn json(text: &str) -> Field {
        Field::json(SecretBytes::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_name_leads_to_a_field_or_to_a_member_of_one() {
        let fields = [
            ("tls.crt", text("PEM")),
            (
                "pool",
                json(r#"{"max":1.50,"tags":["a",{"b":true}],"no":null,"x.y":"z","e":""}"#),
            ),
            ("text", text(r#"{"max":7}"#)),
        ];
        let fields = fields.map(|(name, field)| (name.to_owned(), field));
        let value = Value::Fields(fields.into());
        for (path, found, is_json) in [
            ("tls.crt", "PEM", false),
            ("pool.max", "1.50", true),
            ("pool.tags.0", "a", false),
            ("pool.tags.1", r#"{"b":true}"#, true),
            ("pool.tags.1.b", "true", true),
            ("pool.x.y", "z", false),
            ("pool.e", "", false),
        ] {
            let field = value.find(path).unwrap();
            assert_eq!(field.expose(), found.as_bytes(), "{path}");
            assert_eq!(field.is_json(), is_json, "{path}");
        }
        for path in [
            "tls",
            "tls.key",
            "pool.no",
            "pool.tags.2",
            "pool.",
            "text.max",
            "pool.max.x",
        ] {
            assert!(value.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn line_ends_at_the_end_are_trimmed_and_nothing_else() {
        for (before, after) in [
            ("a\n", "a"),
            ("a\r\n\n", "a"),
            (" a \n", " a "),
            ("\n", ""),
            ("a\nb", "a\nb"),
        ] {
            let value = Value::Raw(text(before)).trimmed();
            assert_eq!(value.raw().unwrap().expose(), after.as_bytes());
        }
    }
}
