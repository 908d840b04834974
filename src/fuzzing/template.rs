//! A template.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{CANARY, manifest};
use crate::delivery;
use crate::model::SecretName;
use crate::secret::{SecretBytes, Value};

/// `token` is raw, `binary` no text, `db` has fields.
fn values() -> BTreeMap<SecretName, Rc<Value>> {
    let bytes = |bytes: &[u8]| SecretBytes::new(bytes.to_vec());
    let name = |name| SecretName::new(name).expect("it is a name");
    let quoted = format!("{CANARY}'\"\\$`\n#");
    let fields = [
        ("password", CANARY.as_bytes()),
        ("user", b"app"),
        ("quoted", quoted.as_bytes()),
        ("blob", b"\xff\x00\xfe"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), bytes(value).into()));
    BTreeMap::from([
        (
            name("token"),
            Rc::new(Value::bytes(bytes(CANARY.as_bytes()))),
        ),
        (name("binary"), Rc::new(Value::bytes(bytes(b"\xff\0\n")))),
        (name("db"), Rc::new(Value::Fields(BTreeMap::from(fields)))),
    ])
}

/// A template that a manifest's check lets pass names filters and secrets that are there; no fault of
/// rendering repeats a value.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(plan) = manifest::parsed(&around(text)) else {
        return;
    };
    let Err(errors) = delivery::render(&plan, &values()) else {
        return;
    };
    for error in errors {
        let error = error.to_string();
        assert!(!error.contains(CANARY) || text.contains(CANARY), "{error}");
        for known in ["unknown filter", "syntax is wrong", "no secret"] {
            assert!(!error.contains(known), "the check let it pass: {error}");
        }
    }
}

/// A manifest that has the template: JSON's strings are YAML's.
fn around(content: &str) -> String {
    let content = serde_json::Value::from(content);
    format!(
        "version: 1\n\
         service: fuzz\n\
         stores: {{ s: {{ type: directory, path: /run/secrets }} }}\n\
         secrets:\n\
         \x20 token: {{ store: s, key: token }}\n\
         \x20 binary: {{ store: s, key: binary }}\n\
         \x20 db: {{ store: s, key: db, format: json }}\n\
         deliver: [ {{ file: /run/app/x, content: {content} }} ]\n\
         run: {{ command: [app] }}\n"
    )
}
