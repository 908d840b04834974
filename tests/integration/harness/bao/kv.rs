//! KV secrets: version 2 at `kv`, version 1 at `kv1`.
//!
//! <https://openbao.org/api-docs/secret/kv/kv-v2/>

use serde_json::{Value, json};

use super::Bao;
use crate::harness::untold::MARK;

/// The fields of a test, and one that nobody asks for, to be found where the secret is told.
fn marked(fields: &Value) -> Value {
    let mut fields = fields.clone();
    if let Value::Object(members) = &mut fields {
        members.insert("marked".to_owned(), MARK.into());
    }
    fields
}

impl Bao {
    /// Writes the next version, with a field `marked` of its own; gives its number.
    pub fn kv_put(&self, path: &str, fields: &Value) -> u64 {
        let body = json!({ "data": marked(fields) });
        let answer = self.post(&format!("kv/data/{path}"), &body);
        answer["data"]["version"]
            .as_u64()
            .expect("versions are numbers")
    }

    /// Writes to version 1 at `kv1`, with a field `marked` of its own.
    pub fn kv1_put(&self, path: &str, fields: &Value) {
        self.post(&format!("kv1/{path}"), &marked(fields));
    }

    /// Deletes the newest version; it can be undeleted.
    pub fn kv_delete(&self, path: &str) {
        self.delete(&format!("kv/data/{path}"));
    }

    /// Gives a deleted version back.
    pub fn kv_undelete(&self, path: &str, version: u64) {
        let body = json!({ "versions": [version] });
        self.post(&format!("kv/undelete/{path}"), &body);
    }

    /// Destroys a version's data for good.
    pub fn kv_destroy(&self, path: &str, version: u64) {
        let body = json!({ "versions": [version] });
        self.post(&format!("kv/destroy/{path}"), &body);
    }

    /// Removes the secret with all its versions.
    pub fn kv_remove(&self, path: &str) {
        self.delete(&format!("kv/metadata/{path}"));
    }

    /// What is known of its versions.
    pub fn kv_metadata(&self, path: &str) -> Value {
        self.get(&format!("kv/metadata/{path}"))["data"].clone()
    }
}
