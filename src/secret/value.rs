//! Values on their way from a store to a delivery.

use std::collections::BTreeMap;
use std::io;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::Buffer;

/// Bytes of a value, on the heap, wiped when dropped. Transient: what must be kept goes into
/// [`super::Buffer`].
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over; no copy is made.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in constant time for equal lengths.
    pub fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A secret's value: raw bytes, or a map of fields.
pub enum Value {
    /// As the store gave them.
    Raw(SecretBytes),
    /// By name.
    Fields(BTreeMap<String, SecretBytes>),
}

impl Value {
    /// The whole value's bytes, if it is raw.
    pub const fn raw(&self) -> Option<&SecretBytes> {
        match self {
            Self::Raw(bytes) => Some(bytes),
            Self::Fields(_) => None,
        }
    }

    /// A field's bytes.
    pub fn field(&self, name: &str) -> Option<&SecretBytes> {
        match self {
            Self::Raw(_) => None,
            Self::Fields(fields) => fields.get(name),
        }
    }

    /// Every bytes in it: the raw value, or each field.
    pub fn parts(&self) -> Vec<&SecretBytes> {
        match self {
            Self::Raw(bytes) => vec![bytes],
            Self::Fields(fields) => fields.values().collect(),
        }
    }
}

/// A [`Value`] that waits to be used, in protected memory.
pub enum KeptValue {
    /// As [`Value::Raw`].
    Raw(Buffer),
    /// As [`Value::Fields`].
    Fields(BTreeMap<String, Buffer>),
}

impl KeptValue {
    /// Copies the value. The error is the kernel's word when it has no memory.
    pub fn new(value: &Value) -> io::Result<Self> {
        let keep = |bytes: &SecretBytes| Buffer::new(bytes.expose());
        match value {
            Value::Raw(bytes) => keep(bytes).map(Self::Raw),
            Value::Fields(fields) => {
                let kept = fields
                    .iter()
                    .map(|(name, bytes)| Ok((name.clone(), keep(bytes)?)));
                kept.collect::<io::Result<_>>().map(Self::Fields)
            }
        }
    }

    /// A copy, to be used now.
    pub fn value(&self) -> Value {
        let copy = |buffer: &Buffer| buffer.with(|bytes| SecretBytes::new(bytes.to_vec()));
        match self {
            Self::Raw(buffer) => Value::Raw(copy(buffer)),
            Self::Fields(fields) => {
                let copies = fields
                    .iter()
                    .map(|(name, buffer)| (name.clone(), copy(buffer)));
                Value::Fields(copies.collect())
            }
        }
    }
}
