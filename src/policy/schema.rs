//! The schema that policies are validated against: schema.cedarschema, and its JSON form.

use cedar_policy::{Schema, SchemaFragment};

const TEXT: &str = include_str!("schema.cedarschema");

/// The schema as Cedar writes it.
pub const fn schema_text() -> &'static str {
    TEXT
}

/// The same in Cedar's JSON form.
pub fn schema_json() -> serde_json::Value {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(TEXT).expect("a test parses it");
    fragment.to_json_value().expect("a test writes it")
}

pub fn schema() -> Schema {
    let (schema, _) = Schema::from_cedarschema_str(TEXT).expect("a test parses it");
    schema
}
