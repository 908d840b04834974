//! A raw value, or a part of one that has several.

use std::ops::Deref;

use super::bytes::SecretBytes;

/// The whole of a raw value, or a field: its bytes, and what they are. Where a store has JSON, text is
/// the text itself; everything else (numbers, booleans, lists, objects) is its JSON text as written,
/// and templates see it with its type.
pub struct Field {
    bytes: SecretBytes,
    json: bool,
}

impl Field {
    /// JSON text of a number, a boolean, a list or an object.
    pub const fn json(text: SecretBytes) -> Self {
        Self {
            bytes: text,
            json: true,
        }
    }

    /// Whether the bytes are JSON text and not the value itself.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether it has members: a JSON object or list.
    pub fn has_members(&self) -> bool {
        self.json && matches!(self.bytes.expose().first(), Some(b'{' | b'['))
    }

    /// With other bytes of the same kind.
    pub(super) const fn of_kind(&self, bytes: SecretBytes) -> Self {
        Self {
            bytes,
            json: self.json,
        }
    }

    /// A copy, for another use of the same value.
    #[must_use]
    pub fn copy(&self) -> Self {
        self.of_kind(SecretBytes::new(self.expose().to_vec()))
    }
}

impl From<SecretBytes> for Field {
    fn from(bytes: SecretBytes) -> Self {
        Self { bytes, json: false }
    }
}

impl Deref for Field {
    type Target = SecretBytes;

    fn deref(&self) -> &SecretBytes {
        &self.bytes
    }
}
