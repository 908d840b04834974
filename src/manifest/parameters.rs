//! `parameters:` of a secret: what is sent with a request.

use std::collections::BTreeMap;

use serde_json::{Number, Value, json};

use super::collections::Table;
use super::decode::{Decode, Decoder};
use super::fault::quote;
use super::tree::{Data, Node};
use super::values::{Text, is_template};

/// Text, a number, a boolean, or a list of such, as JSON has them.
#[derive(Clone, Debug)]
pub struct Parameter(Value);

/// `parameters:`
pub type Parameters = Table<Text, Parameter>;

/// One JSON object with sorted names: equal parameters are equal text.
pub fn canonical(parameters: &Parameters) -> String {
    let sorted: BTreeMap<&str, &Value> = parameters
        .0
        .iter()
        .filter_map(|(_, name, value)| Some((name.0.as_str(), &value.get()?.0)))
        .collect();
    json!(sorted).to_string()
}

impl Decode for Parameter {
    const WANTED: &'static str = "text, a number, true, false, or a list of such";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let Data::Sequence(items) = &node.data else {
            return scalar(node, to).map(Self);
        };
        let items: Vec<Option<Value>> = items.iter().map(|item| scalar(item, to)).collect();
        items
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .map(|items| Self(Value::Array(items)))
    }

    fn schema() -> Value {
        let scalar = ["string", "number", "boolean"];
        json!({ "anyOf": [
            { "type": scalar },
            { "type": "array", "items": { "type": scalar } },
        ]})
    }
}

fn scalar(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Value> {
    let raw = to.raw_text(node, Parameter::WANTED)?;
    match node.kind() {
        "a boolean" => return Some(Value::Bool(raw == "true")),
        "a number" => return number(raw, node, to),
        _ => {}
    }
    let text = to.text(node, Parameter::WANTED)?;
    if is_template(&text) {
        let help = "a secret that a request needs is a token file or a login, never a parameter";
        to.fault(
            node.span,
            "a parameter cannot hold a template: secrets never go there",
            help,
        );
        return None;
    }
    Some(Value::String(text))
}

/// YAML's numbers that JSON has as well.
fn number(raw: &str, node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Value> {
    let number = serde_json::from_str::<Number>(raw);
    if number.is_err() {
        let message = format!("{} is no number as JSON has them", quote(raw));
        to.fault(
            node.span,
            message,
            "write a decimal number, or put text in quotes",
        );
    }
    number.ok().map(Value::Number)
}
