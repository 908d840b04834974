//! YAML as JSON, by the core schema of YAML 1.2: what an editor's schema check sees. It is apart
//! from hushpipe's own reading on purpose.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// One document; `None` if it is not YAML.
pub fn read(text: &str) -> Option<Value> {
    let mut events = Vec::new();
    for event in Parser::new_from_str(text) {
        events.push(event.ok()?.0);
    }
    let mut events = events.into_iter().filter(|event| {
        !matches!(
            event,
            Event::StreamStart | Event::DocumentStart(..) | Event::Comment(..)
        )
    });
    let first = events.next()?;
    value(first, &mut events, &mut HashMap::new())
}

fn value<'a>(
    event: Event<'a>,
    events: &mut impl Iterator<Item = Event<'a>>,
    anchors: &mut HashMap<usize, Value>,
) -> Option<Value> {
    let anchor = event.anchor_id();
    let made = match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::Alias(id) => anchors.get(&id).cloned()?,
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next()? {
                    Event::SequenceEnd => break Value::Array(items),
                    event => items.push(value(event, events, anchors)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut object = Map::new();
            loop {
                match events.next()? {
                    Event::MappingEnd => break Value::Object(object),
                    Event::Scalar(key, ..) => {
                        let event = events.next()?;
                        object.insert(key.into_owned(), value(event, events, anchors)?);
                    }
                    _ => return None,
                }
            }
        }
        _ => return None,
    };
    if let Some(anchor) = anchor {
        anchors.insert(anchor, made.clone());
    }
    Some(made)
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let float: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(float).map(Value::Number)
}
