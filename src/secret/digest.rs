//! Keyed digests: a change of a value is noticed without keeping the value.

use std::fmt;
use std::io;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{Field, Value};
use crate::sys::memory;

/// A random key of this process. Digests under it say nothing to who does not have it.
pub struct DigestKey([u8; 32]);

/// HMAC-SHA-256 (RFC 2104) of a value. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl DigestKey {
    /// A new key. The error is the kernel's word when it has no randomness.
    pub fn new() -> io::Result<Self> {
        let mut key = Self([0; 32]);
        memory::fill_random(&mut key.0)?;
        Ok(key)
    }

    /// The digest of a whole value: its kind, the names of its fields, and all bytes.
    pub fn digest(&self, value: &Value) -> Digest {
        let mut mac = self.mac();
        match value {
            Value::Raw(field) => {
                mac.update(b"raw");
                absorb_field(&mut mac, field);
            }
            Value::Fields(fields) => {
                mac.update(b"map");
                for (name, field) in fields {
                    absorb(&mut mac, name.as_bytes());
                    absorb_field(&mut mac, field);
                }
            }
        }
        Digest(mac.finalize().into_bytes().into())
    }

    /// The digest of these bytes alone.
    pub fn of(&self, bytes: &[u8]) -> Digest {
        let mut mac = self.mac();
        mac.update(bytes);
        Digest(mac.finalize().into_bytes().into())
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

impl Drop for DigestKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The text 5 and the number 5 are two values.
fn absorb_field(mac: &mut Hmac<Sha256>, field: &Field) {
    mac.update(&[u8::from(field.is_json())]);
    absorb(mac, field.expose());
}

/// The length goes first, so that no two lists of parts look the same.
fn absorb(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_le_bytes());
    mac.update(part);
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

/// Its first 16 hex digits, to tell versions apart in messages. Under a key that ends with the
/// process they say nothing of the value.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;

    fn fields(list: &[(&str, &str)]) -> Value {
        let bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
        Value::Fields(
            list.iter()
                .map(|(name, text)| ((*name).to_owned(), bytes(text).into()))
                .collect(),
        )
    }

    #[test]
    fn equal_values_have_equal_digests_under_one_key_alone() {
        let (one, two) = (DigestKey::new().unwrap(), DigestKey::new().unwrap());
        let (a, b) = (fields(&[("user", "x")]), fields(&[("user", "x")]));
        assert!(one.digest(&a) == one.digest(&b));
        assert!(one.digest(&a) != two.digest(&a));
    }

    #[test]
    fn bytes_that_move_between_names_and_fields_are_a_change() {
        let key = DigestKey::new().unwrap();
        let values = [
            fields(&[("ab", "c")]),
            fields(&[("a", "bc")]),
            fields(&[("a", "b"), ("c", "")]),
            fields(&[]),
            Value::bytes(SecretBytes::new(b"abc".to_vec())),
            Value::bytes(SecretBytes::new(Vec::new())),
            Value::bytes(SecretBytes::new(b"5".to_vec())),
            Value::Raw(Field::json(SecretBytes::new(b"5".to_vec()))),
        ];
        for (index, value) in values.iter().enumerate() {
            for other in &values[index + 1..] {
                assert!(key.digest(value) != key.digest(other));
            }
        }
    }
}
