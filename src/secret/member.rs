//! Members of a field that is JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Field, SecretBytes};

/// The member that a path such as `max` or `hosts.0.name` leads to; none where it is null.
pub(super) fn find(outer: &Field, path: &str) -> Option<Field> {
    if !outer.has_members() {
        return None;
    }
    let text = std::str::from_utf8(outer.expose()).ok()?;
    walk(text, path).and_then(field)
}

/// Names may have dots themselves: the shortest that leads on is taken.
fn walk<'t>(text: &'t str, path: &str) -> Option<&'t RawValue> {
    if let Some(found) = step(text, path) {
        return Some(found);
    }
    let mut dots = path.match_indices('.').map(|(at, _)| at);
    dots.find_map(|at| walk(step(text, &path[..at])?.get(), &path[at + 1..]))
}

fn step<'t>(text: &'t str, name: &str) -> Option<&'t RawValue> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let mut members: BTreeMap<Cow<'t, str>, &'t RawValue> =
                serde_json::from_str(text).ok()?;
            members.remove(name)
        }
        Some(b'[') => {
            let index: usize = name.parse().ok()?;
            let elements: Vec<&'t RawValue> = serde_json::from_str(text).ok()?;
            elements.get(index).copied()
        }
        _ => None,
    }
}

/// A part of a JSON text as a field: a string is its text.
fn field(part: &RawValue) -> Option<Field> {
    let text = part.get();
    match text.as_bytes().first() {
        Some(b'n') => None,
        Some(b'"') => {
            let text: String = serde_json::from_str(text).ok()?;
            Some(SecretBytes::new(text.into_bytes()).into())
        }
        _ => Some(Field::json(SecretBytes::new(text.as_bytes().to_vec()))),
    }
}
