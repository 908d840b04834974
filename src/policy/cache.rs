//! Checked policies as bytes, for whoever can keep them where nobody else can write.

use super::compiled::Compiled;
use super::policies::Policies;
use super::schema::schema_text;

/// Counts the changes of the form.
const FORM: u32 = 4;

impl Policies {
    /// What must be the same for [`Policies::from_cache`] to read what another build wrote.
    pub fn cache_version() -> String {
        let cedar = cedar_policy::get_sdk_version();
        let own = env!("CARGO_PKG_VERSION");
        format!(
            "hushpipe-{own}-{FORM} cedar-{cedar} schema-{}",
            schema_text().len()
        )
    }

    /// The checked policies.
    pub fn to_cache(&self) -> &[u8] {
        self.compiled.bytes()
    }

    /// The policies again, without their warnings. They are not checked again: the bytes must come from
    /// [`Policies::to_cache`] of the same [`Policies::cache_version`].
    pub fn from_cache(bytes: Vec<u8>) -> Option<Self> {
        let compiled = Compiled::read(bytes)?;
        Some(Self::new(compiled, Vec::new()))
    }
}
