//! YAML, or JSON, that is no manifest: as one value.

use std::path::Path;

use granit_parser::ScalarStyle;
use serde_json::{Map, Number, Value};

use super::fault::ManifestError;
use super::tree::{self, Data, Node};

/// Reads a text as a manifest is read: one document without tags, merge keys and duplicate keys, nested
/// and repeated within bounds. Plain words are what YAML 1.2's core schema says.
pub fn document(name: &Path, text: &str) -> Result<Value, ManifestError> {
    let mut faults = Vec::new();
    match tree::parse(text, &mut faults) {
        Some(root) if faults.is_empty() => Ok(value(&root)),
        _ => Err(ManifestError::wrong(name, text, faults)),
    }
}

fn value(node: &Node<'_>) -> Value {
    match &node.data {
        Data::Scalar { .. } if node.is_null() => Value::Null,
        Data::Scalar { text, style } if *style == ScalarStyle::Plain => plain(text),
        Data::Scalar { text, .. } => Value::String(text.to_string()),
        Data::Sequence(items) => items.iter().map(|item| value(item)).collect(),
        Data::Mapping(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|entry| (entry.key.to_string(), value(&entry.value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

fn plain(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text
            .parse::<Number>()
            .map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_are_the_same_value() {
        let read = |text: &str| document(Path::new("cases.yaml"), text).map_err(|_| ());
        let expected = json!({"a": [1, -2, true, null, "x", "1"], "b": {"c": "true"}});
        assert_eq!(
            read("a: [1, -2, true, ~, x, '1']\nb: {c: \"true\"}\n"),
            Ok(expected.clone())
        );
        assert_eq!(read(&expected.to_string()), Ok(expected));
        assert_eq!(read("a: 1\na: 2"), Err(()));
        assert_eq!(read("a: ["), Err(()));
    }
}
