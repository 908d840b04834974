//! Which variables of hushpipe's environment a manifest depends on: approvals and policy go by them, as
//! they go by the manifest's bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sha2::Digest as _;

use crate::model::credentials::is_secret;
use crate::model::{Sha256, Variables};

/// Where files go that systemd names: nothing that is read or started.
const PLACES: [&str; 1] = ["RUNTIME_DIRECTORY"];

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

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = (self.environment)(name);
        if !is_secret(name.as_bytes()) && !PLACES.contains(&name) {
            let mut read = self.read.borrow_mut();
            read.insert(name.to_owned(), value.clone());
        }
        value
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
        }
        let variables = remembered.variables().unwrap();
        assert_eq!(variables.names, ["A", "B", "UNSET"]);
        let digest = sha2::Sha256::digest(b"A=value of A\0B=value of B\0UNSET\0");
        assert_eq!(variables.sha256, Sha256(digest.into()));
        assert!(Remembered::new(&environment).variables().is_none());
    }
}
