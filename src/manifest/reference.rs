//! What every key of a manifest means, for people: from the JSON Schema, with examples from
//! manifests that the tests know to be good.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::ScalarStyle;
use serde_json::Value;

use super::schema;
use super::site::site_schema;
use super::tree::{self, Data, Entry, Node};

/// Where examples are taken from; the first that has a key has it.
const SAMPLES: [&str; 16] = [
    include_str!("../../tests/vectors/manifests/good/full.yaml"),
    include_str!("../../tests/vectors/manifests/good/vault.yaml"),
    include_str!("../../tests/vectors/manifests/good/rotate.yaml"),
    include_str!("../../tests/vectors/manifests/good/rotate-http.yaml"),
    include_str!("../../tests/vectors/manifests/good/rotate-command.yaml"),
    include_str!("../../tests/vectors/manifests/good/stores.yaml"),
    include_str!("../../tests/vectors/manifests/good/fifos.yaml"),
    include_str!("../../tests/vectors/manifests/good/relative.yaml"),
    include_str!("../../tests/vectors/manifests/good/credentials.yaml"),
    include_str!("../../tests/vectors/manifests/good/getenv.yaml"),
    include_str!("../../tests/vectors/manifests/good/checks.yaml"),
    include_str!("../../tests/vectors/manifests/good/exec.yaml"),
    include_str!("../../tests/vectors/manifests/good/limits.yaml"),
    include_str!("../../tests/vectors/manifests/good/signals.yaml"),
    include_str!("../../tests/vectors/manifests/good/startup.yaml"),
    include_str!("../../tests/vectors/manifests/good/json-as-yaml.yaml"),
];

/// As [`SAMPLES`], of the site.
const SITES: [&str; 1] = [include_str!("../../tests/vectors/sites/good/full.yaml")];

/// An example is on one line.
const LONGEST: usize = 72;

/// A mapping of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands: `run.env`, `stores.NAME (type: vault)`; nothing for the manifest itself.
    pub place: String,
    /// What it is.
    pub about: String,
    /// Its keys.
    pub keys: Vec<Key>,
}

/// A key of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As it is written.
    pub name: String,
    /// What it means.
    pub about: String,
    /// Whether it must be there.
    pub required: bool,
    /// What kind of value it has: `a duration`.
    pub kind: String,
    /// What it is when it is not there.
    pub default: Option<String>,
    /// A value, as YAML on one line; none where it is a mapping of its own.
    pub example: Option<String>,
}

/// All mappings of the manifest, outer ones first.
pub fn reference() -> Vec<Record> {
    of(&schema(), &SAMPLES)
}

/// All mappings of the site, outer ones first.
pub fn site_reference() -> Vec<Record> {
    of(&site_schema(), &SITES)
}

fn of(schema: &Value, samples: &[&'static str]) -> Vec<Record> {
    let mut faults = Vec::new();
    let samples = samples
        .iter()
        .filter_map(|text| tree::parse(text, &mut faults));
    let samples: Vec<_> = samples.collect();
    let mut records = Vec::new();
    describe("", schema, &samples, &mut records);
    records
}

type Nodes<'a> = Vec<Rc<Node<'a>>>;

/// Adds the records that a schema has: itself, those within lists and tables, or one of several.
fn describe(place: &str, schema: &Value, samples: &[Rc<Node<'_>>], records: &mut Vec<Record>) {
    if schema["properties"].is_object() {
        record(place, schema, samples, records);
    } else if schema["additionalProperties"].is_object() {
        let below = values(samples, |_| true);
        let place = format!("{place}.NAME");
        describe(&place, &schema["additionalProperties"], &below, records);
    } else if schema["items"].is_object() {
        let items = samples.iter().flat_map(|node| match &node.data {
            Data::Sequence(items) => items.clone(),
            _ => Vec::new(),
        });
        describe(place, &schema["items"], &items.collect::<Vec<_>>(), records);
    } else {
        for one in kinds(schema) {
            let fits = |node: &&Rc<Node<'_>>| fits(one, node);
            let samples: Vec<_> = samples.iter().filter(fits).cloned().collect();
            describe(&format!("{place}{}", tag(one)), one, &samples, records);
        }
    }
}

fn record(place: &str, schema: &Value, samples: &[Rc<Node<'_>>], records: &mut Vec<Record>) {
    let properties: Vec<_> = ordered(schema, samples);
    let required = |name: &str| {
        let all = schema["required"].as_array();
        all.is_some_and(|all| all.iter().any(|one| one == name))
    };
    let keys = properties.iter().map(|(name, property)| Key {
        name: (*name).clone(),
        about: text(&property["description"]),
        required: required(name),
        kind: kind(property),
        default: property.get("default").map(plain),
        example: example(&values(samples, |key| key == *name)),
    });
    records.push(Record {
        place: place.trim_start_matches('.').to_owned(),
        about: text(&schema["description"]),
        keys: keys.collect(),
    });
    let outer = place.split(" (").next().unwrap_or_default();
    for (name, property) in properties {
        let below = values(samples, |key| key == name);
        describe(&format!("{outer}.{name}"), property, &below, records);
    }
}

/// The keys in the order in which the samples have them; those in none come last.
fn ordered<'s>(schema: &'s Value, samples: &[Rc<Node<'_>>]) -> Vec<(&'s String, &'s Value)> {
    let mut order = BTreeMap::new();
    for entry in samples.iter().flat_map(|node| entries(node)) {
        let next = order.len();
        order.entry(entry.key.as_ref()).or_insert(next);
    }
    let properties = schema["properties"].as_object();
    let mut properties: Vec<_> = properties.into_iter().flatten().collect();
    properties.sort_by_key(|(name, _)| order.get(name.as_str()).copied().unwrap_or(usize::MAX));
    properties
}

fn entries<'n, 'a>(node: &'n Node<'a>) -> &'n [Entry<'a>] {
    match &node.data {
        Data::Mapping(entries) => entries,
        _ => &[],
    }
}

/// What the samples have under such keys.
fn values<'a>(samples: &[Rc<Node<'a>>], wanted: impl Fn(&str) -> bool) -> Nodes<'a> {
    let entries = samples.iter().flat_map(|node| entries(node));
    let entries = entries.filter(|entry| wanted(&entry.key));
    entries.map(|entry| Rc::clone(&entry.value)).collect()
}

/// The schemas of mappings that something may be one of.
fn kinds(schema: &Value) -> impl Iterator<Item = &Value> {
    let all = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array());
    all.flatten()
        .filter(|one| one["properties"].is_object() || is_choice(one))
}

fn is_choice(schema: &Value) -> bool {
    ["oneOf", "anyOf"].iter().any(|key| schema[key].is_array())
}

/// The key and the word that tell one kind from the others: ` (type: vault)`, or its first key.
fn tag(schema: &Value) -> String {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let tagged =
        properties.filter_map(|(name, property)| Some((name, property["const"].as_str()?)));
    if let Some((name, word)) = tagged.into_iter().next() {
        return format!(" ({name}: {word})");
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let only: Vec<_> = required.filter_map(Value::as_str).collect();
    match only.as_slice() {
        [only] => format!(" ({only})"),
        _ => String::new(),
    }
}

/// Whether a value is of a kind, as far as keys tell.
fn fits(schema: &Value, node: &Node<'_>) -> bool {
    let value = |name: &str| entries(node).iter().find(|entry| entry.key == name);
    let Some(properties) = schema["properties"].as_object() else {
        return true;
    };
    let tags = properties
        .iter()
        .filter_map(|(name, property)| Some((name, property["const"].as_str()?)));
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    matches!(node.data, Data::Mapping(_))
        && required.into_iter().all(|name| value(name).is_some())
        && tags.into_iter().all(|(name, word)| {
            value(name).is_some_and(
                |entry| matches!(&entry.value.data, Data::Scalar { text, .. } if text == word),
            )
        })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A value as the manifest has it.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What kind of value a schema takes, in words.
fn kind(schema: &Value) -> String {
    if let Some(word) = schema.get("const") {
        return plain(word);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    if schema["properties"].is_object() {
        return "a mapping".to_owned();
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(all) = schema[key].as_array() {
            let mut kinds: Vec<_> = all
                .iter()
                .filter(|one| !is_variable(one))
                .map(kind)
                .collect();
            kinds.dedup();
            return kinds.join(", or ");
        }
    }
    if schema["items"].is_object() {
        return format!("a list; each: {}", kind(&schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!(
            "a mapping of names; each: {}",
            kind(&schema["additionalProperties"])
        );
    }
    match (schema["type"].as_str(), schema["pattern"].as_str()) {
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some("integer"), _) => match schema["minimum"].as_u64() {
            Some(least @ 1..) => format!("a whole number from {least} on"),
            _ => "a whole number".to_owned(),
        },
        (_, Some(pattern)) if pattern.contains("ms|s|m|h|d") => "a duration".to_owned(),
        (_, Some("^/")) => "an absolute path".to_owned(),
        (_, Some(pattern)) if pattern.starts_with("^http") => "a URL".to_owned(),
        _ => "text".to_owned(),
    }
}

/// Text in which a variable stands; nearly every value may be one.
fn is_variable(schema: &Value) -> bool {
    schema["pattern"] == "\\$\\{"
}

/// The first that goes on a line and is no mapping.
fn example(samples: &[Rc<Node<'_>>]) -> Option<String> {
    let written = samples.iter().filter_map(|node| flow(node));
    let mut written = written.filter(|text| text.len() <= LONGEST);
    written.next()
}

/// As YAML on one line.
fn flow(node: &Node<'_>) -> Option<String> {
    match &node.data {
        Data::Scalar {
            text,
            style: ScalarStyle::Plain,
        } => Some(text.clone().into_owned()),
        Data::Scalar { text, .. } => Some(Value::from(text.as_ref()).to_string()),
        Data::Sequence(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| inner(item)).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Data::Mapping(entries) => {
            let pair = |entry: &Entry<'_>| {
                let value = inner(&entry.value)?;
                Some(format!("{}: {value}", key(&entry.key)))
            };
            let pairs: Option<Vec<_>> = entries.iter().map(pair).collect();
            Some(format!("{{ {} }}", pairs?.join(", ")))
        }
    }
}

/// Within brackets, what would end a word needs quotes.
fn inner(node: &Node<'_>) -> Option<String> {
    match &node.data {
        Data::Scalar { text, .. } if text.contains([',', '[', ']', '{', '}']) => {
            Some(Value::from(text.as_ref()).to_string())
        }
        _ => flow(node),
    }
}

fn key(key: &str) -> Cow<'_, str> {
    if key
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(Value::from(key).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'r>(records: &'r [Record], place: &str, name: &str) -> &'r Key {
        let record = records.iter().find(|record| record.place == place);
        let record = record.unwrap_or_else(|| panic!("no {place:?}"));
        let key = record.keys.iter().find(|key| key.name == name);
        key.unwrap_or_else(|| panic!("no {name:?} in {place:?}"))
    }

    #[test]
    fn keys_have_their_kinds_and_defaults() {
        let records = reference();
        for (place, name, kind, default) in [
            ("", "mode", "supervise, exec", Some("supervise")),
            ("", "run", "a mapping", None),
            ("", "deliver", "a list; each: a mapping", None),
            ("run.stop", "timeout", "a duration", Some("30s")),
            ("run", "no_new_privs", "true or false", Some("true")),
            ("run.env", "unset", "a list; each: text", None),
            ("deliver (fd)", "fd", "a whole number from 3 on", None),
            ("deliver (file)", "file", "text", None),
            ("stores.NAME (type: vault)", "type", "vault", None),
            (
                "stores.NAME.auth (method: approle)",
                "wrapped",
                "true or false",
                Some("false"),
            ),
            (
                "secrets.NAME.check.fields.NAME",
                "min_length",
                "a whole number",
                None,
            ),
        ] {
            let key = key(&records, place, name);
            assert_eq!(
                (&*key.kind, key.default.as_deref()),
                (kind, default),
                "{place} {name}"
            );
        }
        assert!(key(&records, "", "version").required);
        assert!(!key(&records, "", "owner").required);
    }

    #[test]
    fn every_key_is_explained_and_has_an_example_or_keys_of_its_own() {
        explained(&reference());
        explained(&site_reference());
    }

    fn explained(records: &[Record]) {
        let mut bare = Vec::new();
        for record in records {
            assert!(!record.about.is_empty(), "{}", record.place);
            for key in &record.keys {
                let outer = record.place.split(" (").next().unwrap_or_default();
                let path = format!("{outer}.{}", key.name);
                let path = path.trim_start_matches('.');
                let is_outer = records.iter().any(|inner| inner.place.starts_with(path));
                if key.about.is_empty() || (key.example.is_none() && !is_outer) {
                    bare.push(format!("{path}: {}", key.kind));
                }
            }
        }
        assert!(bare.is_empty(), "not in SAMPLES: {bare:#?}");
    }
}
