//! hushpipe.yaml(5), proof-read against the schema.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::schema::schema;
use super::yaml;
use crate::harness::Hushpipe;
use crate::harness::schema::Validator;

/// What a schema has under each key, by its path: `stores.NAME.path`. Kinds of a mapping share their
/// keys' paths.
fn keys<'s>(at: &str, schema: &'s Value, found: &mut BTreeMap<String, Vec<&'s Value>>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        let at = at.trim_start_matches('.');
        found.entry(at.to_owned()).or_default().push(property);
        keys(at, property, found);
    }
    if schema["additionalProperties"].is_object() {
        keys(
            &format!("{at}.NAME"),
            &schema["additionalProperties"],
            found,
        );
    }
    keys_of_all(at, [&schema["items"]], found);
    for choice in ["oneOf", "anyOf"] {
        keys_of_all(at, schema[choice].as_array().into_iter().flatten(), found);
    }
}

fn keys_of_all<'s>(
    at: &str,
    schemas: impl IntoIterator<Item = &'s Value>,
    found: &mut BTreeMap<String, Vec<&'s Value>>,
) {
    for one in schemas.into_iter().filter(|one| one.is_object()) {
        keys(at, one, found);
    }
}

/// A key of the page: its path, its example, and all the text about it.
struct Key {
    path: String,
    example: Option<String>,
    text: String,
}

fn unescaped(roff: &str) -> String {
    let plain = ["\\fB", "\\fI", "\\fR", "\\&"];
    let text = plain
        .iter()
        .fold(roff.to_owned(), |text, font| text.replace(font, ""));
    let escapes = [
        ("\\-", "-"),
        ("\\*(Aq", "'"),
        ("\\[u2026]", "…"),
        ("\\\\", "\\"),
        ("\\e", "\\"),
    ];
    escapes
        .iter()
        .fold(text, |text, (escape, c)| text.replace(escape, c))
}

fn page() -> Vec<Key> {
    let page = Hushpipe::new()
        .args(["man", "--page", "hushpipe.yaml"])
        .run()
        .success()
        .stdout();
    let (_, from) = page
        .split_once(".SH KEYS\n")
        .expect("it has a section of keys");
    let (all, _) = from.split_once(".SH EXAMPLE").expect("and then an example");
    let mut found = Vec::new();
    for record in all.split(".SS ").skip(1) {
        let (heading, entries) = record.split_once('\n').unwrap();
        let place = unescaped(heading.trim_matches('"'));
        let place = place.split(" (").next().unwrap();
        let place = if place == "At the top" { "" } else { place };
        for entry in entries.split(".TP\n").skip(1) {
            let text = unescaped(entry);
            let (name, _) = text.split_once(": ").unwrap();
            let example = text.split_once("\nExample: ");
            let example = example.map(|(_, rest)| rest.lines().next().unwrap().to_owned());
            found.push(Key {
                path: format!("{place}.{name}").trim_start_matches('.').to_owned(),
                example,
                text,
            });
        }
    }
    found
}

#[test]
fn the_page_has_every_key_of_the_schema_and_no_other() {
    let schema = schema();
    let mut wanted = BTreeMap::new();
    keys("", &schema, &mut wanted);
    let wanted: BTreeSet<String> = wanted.into_keys().collect();
    let found: BTreeSet<String> = page().into_iter().map(|key| key.path).collect();
    let difference: Vec<_> = wanted.symmetric_difference(&found).collect();
    assert!(difference.is_empty(), "{difference:?}");
    assert!(found.len() > 90, "{}", found.len());
}

#[test]
fn the_page_says_of_each_key_what_the_schema_says() {
    let schema = schema();
    let mut all = BTreeMap::new();
    keys("", &schema, &mut all);
    for key in page() {
        let says = |property: &Value| {
            let about = property["description"].as_str().unwrap();
            let default = match &property["default"] {
                Value::Null => String::new(),
                Value::String(text) => format!("Default: {text}."),
                other => format!("Default: {other}."),
            };
            key.text.contains(about) && key.text.contains(&default)
        };
        assert!(
            all[&key.path].iter().any(|one| says(one)),
            "{}: {}",
            key.path,
            key.text
        );
    }
}

#[test]
fn each_example_of_the_page_is_one_that_the_schema_takes() {
    let schema = schema();
    let mut all = BTreeMap::new();
    keys("", &schema, &mut all);
    let mut examples = 0;
    for key in page() {
        let has_keys = all
            .keys()
            .any(|path| path.starts_with(&format!("{}.", key.path)));
        let Some(example) = key.example else {
            assert!(has_keys, "{} has no example", key.path);
            continue;
        };
        let document = yaml::read(&example);
        let document = document.unwrap_or_else(|| panic!("{}: {example}", key.path));
        let (_, value) = document.as_object().unwrap().iter().next().unwrap();
        let takes = |one: &&Value| Validator::new(one).is_valid(value);
        assert!(all[&key.path].iter().any(takes), "{}: {example}", key.path);
        examples += 1;
    }
    assert!(examples > 120, "{examples}");
}
