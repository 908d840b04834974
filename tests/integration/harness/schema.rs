//! JSON documents and the schemas that they are to fit.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// A schema that documents are held against.
pub struct Validator {
    schemas: Schemas,
    schema: SchemaIndex,
}

impl Validator {
    /// Of the schema, which is one itself.
    pub fn new(schema: &Value) -> Self {
        const PLACE: &str = "https://hushpipe.example/schema.json";
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource(PLACE, schema.clone()).unwrap();
        let schema = compiler
            .compile(PLACE, &mut schemas)
            .unwrap_or_else(|error| panic!("{error:#}"));
        Self { schemas, schema }
    }

    pub fn is_valid(&self, document: &Value) -> bool {
        self.schemas.validate(document, self.schema).is_ok()
    }

    /// Panics with all that does not fit; `name` says what the document is.
    pub fn takes(&self, name: &str, document: &Value) {
        if let Err(error) = self.schemas.validate(document, self.schema) {
            panic!("{name}: {error:#}");
        }
    }
}
