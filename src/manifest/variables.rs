//! Which variables of hushpipe's environment a manifest depends on: approvals and policy go by them, as
//! they go by the manifest's bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sha2::Digest as _;

use crate::model::credentials::is_secret;
use crate::model::{Sha256, Variables};

/// What nothing depends on: where files go that systemd names, and what hushpipe refuses unless it says no.
const NOTHING: [&str; 3] = ["BAO_SKIP_VERIFY", "RUNTIME_DIRECTORY", "VAULT_SKIP_VERIFY"];

/// An environment that remembers what was read of it.
pub struct Remembered<'e> {
    environment: &'e dyn Fn(&str) -> Option<String>,
    read: RefCell<BTreeMap<String, Option<String>>>,
}

impl<'e> Remembered<'e> {
    /// Of this one.
    pub fn new(environment: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            read: RefCell::default(),
        }
    }

    /// The value of a variable that the manifest names.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = self.look(name);
        self.remember(name, value.clone());
        value
    }

    /// The value of one that it does not name, and that says nothing where it is not set.
    pub fn get_if_set(&self, name: &str) -> Option<String> {
        let value = self.look(name)?;
        self.remember(name, Some(value.clone()));
        Some(value)
    }

    /// Something else that the caller chooses, under a name that no variable has.
    pub fn note(&self, name: &str) {
        self.remember(name, None);
    }

    /// A value that nothing depends on yet.
    pub fn look(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    fn remember(&self, name: &str, value: Option<String>) {
        if !is_secret(name.as_bytes()) && !NOTHING.contains(&name) {
            self.read.borrow_mut().insert(name.to_owned(), value);
        }
    }

    /// What was read, by names and a digest: of each, in the order of the names, `NAME=VALUE` and a NUL
    /// byte, without `=VALUE` where it is not set. `None`: nothing was.
    pub fn variables(self) -> Option<Variables> {
        let read = self.read.into_inner();
        if read.is_empty() {
            return None;
        }
        let mut hasher = sha2::Sha256::new();
        for (name, value) in &read {
            hasher.update(name);
            if let Some(value) = value {
                hasher.update(b"=");
                hasher.update(value);
            }
            hasher.update(b"\0");
        }
        Some(Variables {
            names: read.into_keys().collect(),
            sha256: Sha256(hasher.finalize().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_remembered_and_credentials_are_not() {
        let environment = |name: &str| (name != "UNSET").then(|| format!("value of {name}"));
        let remembered = Remembered::new(&environment);
        for name in ["B", "UNSET", "A", "B", "VAULT_TOKEN", "RUNTIME_DIRECTORY"] {
            remembered.get(name);
            remembered.look("LOOKED_AT");
        }
        let variables = remembered.variables().unwrap();
        assert_eq!(variables.names, ["A", "B", "UNSET"]);
        let digest = sha2::Sha256::digest(b"A=value of A\0B=value of B\0UNSET\0");
        assert_eq!(variables.sha256, Sha256(digest.into()));
        let remembered = Remembered::new(&environment);
        for name in ["UNSET", "VAULT_SKIP_VERIFY"] {
            remembered.get_if_set(name);
        }
        assert!(remembered.variables().is_none());
    }
}
