//! What a variable is called once it is sealed.

use crate::model::SecretName;
use crate::secret::SecretBytes;
use crate::stores::sealed::Key;

/// A sealed variable.
pub(super) struct Named {
    /// Its name in the store.
    pub key: Key,
    /// Its name in the manifest.
    pub name: SecretName,
    /// As it was written, if that is to be delivered.
    pub written: Option<Written>,
}

/// A value with the text that it had in its file.
pub(super) struct Written {
    /// Its name in the store.
    pub key: Key,
    /// Its name in the manifest.
    pub name: SecretName,
    /// A JSON object with the fields `value` and `text`.
    pub record: SecretBytes,
}
