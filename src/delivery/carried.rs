//! What is delivered, and whose it becomes.

use crate::secret::SecretBytes;
use crate::sys::filesystem;

/// The payloads of a generation, one for each of the plan's deliveries, in their order.
pub struct Carried<'a>(Vec<Option<&'a SecretBytes>>);

impl<'a> Carried<'a> {
    /// Every delivery has a payload.
    pub fn all(payloads: &'a [SecretBytes]) -> Self {
        Self(payloads.iter().map(Some).collect())
    }

    /// Those without one keep what they have.
    pub fn changed(payloads: &'a [Option<SecretBytes>]) -> Self {
        Self(payloads.iter().map(Option::as_ref).collect())
    }

    /// The payload of a delivery, by its index; `None`: it keeps what it has.
    pub(super) fn bytes(&self, delivery: usize) -> Option<&'a [u8]> {
        self.0[delivery].map(SecretBytes::expose)
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

impl Owner {
    /// Whether it is hushpipe's own user and group.
    pub fn is_own(self) -> bool {
        self.uid
            .is_none_or(|uid| uid == filesystem::effective_uid())
            && self
                .gid
                .is_none_or(|gid| gid == filesystem::effective_gid())
    }
}
