//! Bytes that must not be seen.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

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
