//! What is delivered, and whose it becomes.

use crate::secret::SecretBytes;

/// What a delivery carries in a generation.
pub trait Carried {
    /// Its payload; `None`: what it has carried before.
    fn bytes(&self) -> Option<&[u8]>;
}

impl Carried for SecretBytes {
    fn bytes(&self) -> Option<&[u8]> {
        Some(self.expose())
    }
}

impl Carried for Option<SecretBytes> {
    fn bytes(&self) -> Option<&[u8]> {
        self.as_ref().map(SecretBytes::expose)
    }
}

/// Who owns a delivered file; `None` keeps hushpipe's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
}
