//! `hushpipe schema`: it takes what hushpipe takes, and refuses what has another structure.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{examples, vectors, yaml};
use crate::harness::Hushpipe;
use crate::harness::schema::Validator;

/// The first line of a bad manifest that the schema refuses as well.
const STRUCTURAL: &[u8] = b"# structural";

pub(super) fn schema() -> Value {
    let output = Hushpipe::new().arg("schema").run().success();
    serde_json::from_str(&output.stdout()).unwrap()
}

#[test]
fn the_schema_takes_what_hushpipe_takes() {
    let validator = Validator::new(&schema());
    let mut all = vectors("good");
    all.extend(examples());
    for path in all {
        let document = yaml::read(&fs::read_to_string(&path).unwrap()).unwrap();
        validator.takes(&path.display().to_string(), &document);
    }
}

#[test]
fn the_schema_refuses_what_has_the_wrong_structure() {
    let validator = Validator::new(&schema());
    let mut structural = 0;
    for path in vectors("bad") {
        let text = fs::read(&path).unwrap();
        if !text.starts_with(STRUCTURAL) {
            continue;
        }
        structural += 1;
        let document = yaml::read(std::str::from_utf8(&text).unwrap());
        let document = document.unwrap_or_else(|| panic!("{}: is no YAML", path.display()));
        assert!(
            !validator.is_valid(&document),
            "{} is valid",
            path.display()
        );
    }
    assert!(structural >= 60, "{structural}");
}

/// Every key that a schema has, and those that a document which fits has, by their paths. A free
/// key is `*`; of several kinds of record, those count that the document is.
fn keys(at: &str, schema: &Value, document: Option<&Value>, found: &mut BTreeSet<String>) {
    let fits = |one: &Value| document.is_none_or(|document| Validator::new(one).is_valid(document));
    for kinds in ["oneOf", "anyOf"] {
        for (number, one) in schema[kinds].as_array().into_iter().flatten().enumerate() {
            if one["type"].is_string() && fits(one) {
                let kind = one["properties"].as_object().and_then(|properties| {
                    properties.values().find_map(|tag| tag["const"].as_str())
                });
                let kind = kind.map_or_else(|| number.to_string(), str::to_owned);
                keys(&format!("{at}({kind})"), one, document, found);
            }
        }
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let value = document.map(|document| &document[key]);
        if value.is_none_or(|value| !value.is_null()) {
            let at = format!("{at}.{key}");
            keys(&at, property, value, found);
            found.insert(at);
        }
    }
    let free = &schema["additionalProperties"];
    let items = &schema["items"];
    match document {
        None => [("*", free), ("[]", items)]
            .iter()
            .filter(|(_, schema)| schema.is_object())
            .for_each(|(what, schema)| keys(&format!("{at}.{what}"), schema, None, found)),
        Some(Value::Object(entries)) if free.is_object() => entries
            .values()
            .for_each(|value| keys(&format!("{at}.*"), free, Some(value), found)),
        Some(Value::Array(values)) => values
            .iter()
            .for_each(|value| keys(&format!("{at}.[]"), items, Some(value), found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_schema_is_one_that_hushpipe_takes() {
    let schema = schema();
    let mut taken = BTreeSet::new();
    for path in vectors("good") {
        let document = yaml::read(&fs::read_to_string(&path).unwrap()).unwrap();
        keys("", &schema, Some(&document), &mut taken);
    }
    let mut all = BTreeSet::new();
    keys("", &schema, None, &mut all);
    let missing: Vec<&String> = all.difference(&taken).collect();
    assert!(missing.is_empty(), "no good manifest has {missing:?}");
    assert!(all.len() > 140, "{}", all.len());
}

#[test]
fn every_property_of_the_schema_is_described() {
    fn walk(at: &str, value: &Value, missing: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                if !property["description"]
                    .as_str()
                    .is_some_and(|text| text.ends_with('.'))
                {
                    missing.push(format!("{at}.{name}"));
                }
            }
        }
        match value {
            Value::Object(object) => object
                .iter()
                .for_each(|(key, value)| walk(&format!("{at}.{key}"), value, missing)),
            Value::Array(items) => items.iter().for_each(|value| walk(at, value, missing)),
            _ => {}
        }
    }
    let mut missing = Vec::new();
    walk("", &schema(), &mut missing);
    assert!(missing.is_empty(), "{missing:?}");
}
