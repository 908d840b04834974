//! What is looked for.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::texts::SHORTEST;
use crate::model::{Plan, SecretName, SecretRef};
use crate::secret::{Field, SecretBytes, Value};

/// Bytes that must not stand in the open. Freed memory is wiped, so that copies end with it.
pub struct Needle<'a> {
    pub secret: &'a SecretName,
    /// Of this field.
    pub field: Option<&'a str>,
    pub bytes: Cow<'a, [u8]>,
    /// The value, less white space at its ends; else a part of it.
    pub whole: bool,
}

/// Everything that the plan delivers.
pub fn needles<'a>(plan: &'a Plan, values: &'a BTreeMap<SecretName, Rc<Value>>) -> Vec<Needle<'a>> {
    let deliveries = plan.deliveries.iter();
    let delivered: BTreeSet<SecretRef> = deliveries
        .flat_map(|delivery| delivery.channel.references())
        .collect();
    let mut needles = Vec::new();
    for reference in delivered {
        let Some((name, value)) = values.get_key_value(&reference.secret) else {
            continue;
        };
        let public = plan.secrets.get(name).map_or(&[][..], |spec| &spec.public);
        let is_public = |field: &str| public.iter().any(|name| name == field);
        let mut add = |field: Option<&'a str>, bytes: &'a SecretBytes| {
            let mut parts = Parts {
                secret: name,
                field,
                needles: &mut needles,
            };
            parts.value(bytes.expose(), public);
        };
        match (&**value, &reference.field) {
            (Value::Raw(bytes), None) => add(None, bytes),
            (Value::Fields(fields), None) => {
                for (field, bytes) in fields.iter().filter(|(field, _)| !is_public(field)) {
                    add(Some(field), bytes);
                }
            }
            (Value::Fields(fields), Some(field)) if !is_public(field) => {
                let top = field.split('.').next().unwrap_or(field);
                if let Some((field, bytes)) = fields.get_key_value(field) {
                    add(Some(field), bytes);
                } else if let (Some((top, _)), Some(member)) =
                    (fields.get_key_value(top), value.find(field))
                    && !is_public(top)
                {
                    let mut parts = Parts {
                        secret: name,
                        field: Some(top),
                        needles: &mut needles,
                    };
                    parts.nested(&member);
                }
            }
            // Public, or no delivery can be made of it.
            (_, Some(_)) => {}
        }
    }
    needles
}

/// What is looked for of a value alone.
#[cfg(test)]
pub fn of_raw<'a>(secret: &'a SecretName, bytes: &'a [u8]) -> Vec<Needle<'a>> {
    let mut needles = Vec::new();
    let mut parts = Parts {
        secret,
        field: None,
        needles: &mut needles,
    };
    parts.value(bytes, &[]);
    needles
}

struct Parts<'a, 'n> {
    secret: &'a SecretName,
    field: Option<&'a str>,
    needles: &'n mut Vec<Needle<'a>>,
}

impl<'a> Parts<'a, '_> {
    fn value(&mut self, bytes: &'a [u8], public: &[String]) {
        let bytes = bytes.trim_ascii();
        self.add(Cow::Borrowed(bytes), true);
        match json(bytes) {
            Some(serde_json::Value::Object(members)) if self.field.is_none() => {
                for (name, member) in members {
                    if !public.contains(&name) {
                        self.member(member);
                    }
                }
            }
            Some(member) => self.member(member),
            None => {
                for line in lines(bytes) {
                    self.add(Cow::Borrowed(line), false);
                }
            }
        }
    }

    /// A member of a field: JSON, or the text of a string in it.
    fn nested(&mut self, member: &Field) {
        let text = || String::from_utf8_lossy(member.expose()).into_owned();
        let parsed = member
            .is_json()
            .then(|| serde_json::from_slice(member.expose()).ok());
        let member = parsed
            .flatten()
            .unwrap_or_else(|| serde_json::Value::String(text()));
        self.member(member);
    }

    /// The strings and numbers of JSON; each is a value of its own.
    fn member(&mut self, member: serde_json::Value) {
        match member {
            serde_json::Value::String(text) => {
                for line in lines(text.as_bytes()) {
                    self.add(Cow::Owned(line.to_vec()), true);
                }
                self.add(Cow::Owned(text.trim_ascii().as_bytes().to_vec()), true);
            }
            serde_json::Value::Number(number) => {
                self.add(Cow::Owned(number.to_string().into_bytes()), true);
            }
            serde_json::Value::Array(members) => {
                for member in members {
                    self.member(member);
                }
            }
            serde_json::Value::Object(members) => {
                for (_, member) in members {
                    self.member(member);
                }
            }
            serde_json::Value::Null | serde_json::Value::Bool(_) => {}
        }
    }

    fn add(&mut self, bytes: Cow<'a, [u8]>, whole: bool) {
        if bytes.len() >= SHORTEST {
            self.needles.push(Needle {
                secret: self.secret,
                field: self.field,
                bytes,
                whole,
            });
        }
    }
}

/// What is JSON by its looks; a text alone or a number is a line like others.
fn json(bytes: &[u8]) -> Option<serde_json::Value> {
    let looks = matches!(bytes.first(), Some(b'{' | b'[' | b'"'));
    looks.then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// The lines of a text of several, without white space at their ends. What PEM puts around a key or a
/// certificate is the same in each.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let several = bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    bytes
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .filter(move |_| several)
        .map(<[u8]>::trim_ascii)
        .filter(|line| !(line.starts_with(b"-----") && line.ends_with(b"-----")))
}
