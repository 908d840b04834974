//! Checked policies as bytes, for whoever can keep them where nobody else can write.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::entities::Hierarchy;
use super::policies::Policies;
use super::rule::Rule;
use super::schema::schema_text;
use super::uid::Uid;

/// Counts the changes of the form.
const FORM: u32 = 1;

#[derive(Serialize)]
struct Kept<'p> {
    rules: &'p [Rule],
    hierarchy: Vec<(&'p Uid, &'p BTreeSet<Uid>)>,
}

#[derive(Deserialize)]
struct Read {
    rules: Vec<Rule>,
    hierarchy: Vec<(Uid, BTreeSet<Uid>)>,
}

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

    /// All that was found out about them.
    pub fn to_cache(&self) -> Vec<u8> {
        let kept = Kept {
            rules: &self.rules,
            hierarchy: self.hierarchy.0.iter().collect(),
        };
        serde_json::to_vec(&kept).expect("texts and numbers can be written")
    }

    /// The policies again, without their warnings. They are not checked again: the bytes must come from
    /// [`Policies::to_cache`] of the same [`Policies::cache_version`].
    pub fn from_cache(bytes: &[u8]) -> Option<Self> {
        let Read { rules, hierarchy } = serde_json::from_slice(bytes).ok()?;
        let hierarchy = Hierarchy(hierarchy.into_iter().collect());
        Some(Self::new(rules, hierarchy, Vec::new()))
    }
}
