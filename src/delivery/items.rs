//! What templates see of values: text, bytes, and JSON with its types, numbers exactly as written.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value as Item, ValueKind};
use serde_json::value::RawValue;

use crate::secret::{Field, Value};

/// What one rendering remembers besides its output.
#[derive(Default)]
pub(super) struct Notes {
    /// Fractions and numbers beyond 128 bits compute as `f64`, and are written as they were read:
    /// their texts, by the bits of the `f64`.
    numbers: Mutex<BTreeMap<u64, String>>,
    /// Names of fields that were asked for, and are empty without leave.
    empty: Mutex<BTreeSet<String>>,
    /// Whether a quoting filter was given a line with its line end.
    line_end: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    /// Any of the empty fields that were asked for.
    pub(super) fn empty(&self) -> Option<String> {
        lock(&self.empty).first().cloned()
    }

    /// Whether a quoting filter was given a line with its line end.
    pub(super) fn has_line_end(&self) -> bool {
        *lock(&self.line_end)
    }

    /// Looks at what a quoting filter is given. Texts of several lines, such as PEM, end with a line
    /// end by right.
    pub(super) fn see_line_end(&self, value: &Item) {
        if let Some(line) = value.as_str().and_then(|text| text.strip_suffix('\n'))
            && !line.contains('\n')
        {
            *lock(&self.line_end) = true;
        }
    }

    fn number(&self, text: &str) -> Item {
        if let Some(whole) = text.parse::<i128>().ok().filter(|n| n.to_string() == text) {
            return i64::try_from(whole).map_or_else(|_| Item::from(whole), Item::from);
        }
        let number = text.parse::<f64>().unwrap_or(f64::NAN);
        match lock(&self.numbers).entry(number.to_bits()) {
            Entry::Vacant(free) => {
                free.insert(text.to_owned());
                Item::from(number)
            }
            Entry::Occupied(known) if known.get() == text => Item::from(number),
            // 1.0 and 1.00 side by side: what is written must be right, so it is not computed with.
            Entry::Occupied(_) => Item::from_object(Written(text.to_owned())),
        }
    }

    /// The text of what is no text and no bytes, where there is one: numbers as they were read.
    pub(super) fn text(&self, value: &Item) -> Option<String> {
        match value.kind() {
            ValueKind::Number if value.is_integer() => Some(value.to_string()),
            ValueKind::Number => {
                let number = f64::try_from(value.clone()).ok()?;
                let known = lock(&self.numbers).get(&number.to_bits()).cloned();
                known.or_else(|| number.is_finite().then(|| value.to_string()))
            }
            ValueKind::Bool => Some(if value.is_true() { "true" } else { "false" }.to_owned()),
            _ => json_text(value).map(str::to_owned),
        }
    }

    /// Numbers, booleans and JSON lists and objects as their text; everything else as it is.
    pub(super) fn plain(&self, value: &Item) -> Item {
        self.text(value).map_or_else(|| value.clone(), Item::from)
    }

    /// A value or a field as templates see it.
    fn item(self: &Arc<Self>, field: &Field) -> Item {
        match std::str::from_utf8(field.expose()) {
            Ok(text) if field.is_json() => self.json(text),
            Ok(text) => Item::from(text),
            Err(_) => Item::from_bytes(field.expose().to_vec()),
        }
    }

    fn json(self: &Arc<Self>, text: &str) -> Item {
        match text.as_bytes().first() {
            Some(b'{' | b'[') => Item::from_object(Members {
                text: text.to_owned(),
                notes: Arc::clone(self),
                parsed: OnceLock::new(),
            }),
            Some(b'"') => serde_json::from_str::<String>(text).map_or(Item::UNDEFINED, Item::from),
            Some(b't') => Item::from(true),
            Some(b'f') => Item::from(false),
            Some(b'n') => Item::from(()),
            _ => self.number(text),
        }
    }

    /// A whole secret. Empty fields that `may_be_empty` does not let pass are noted when a template
    /// asks for them.
    pub(super) fn secret(
        self: &Arc<Self>,
        value: &Value,
        may_be_empty: impl Fn(&str) -> bool,
    ) -> Item {
        let fields = match value {
            Value::Raw(field) => return self.item(field),
            Value::Fields(fields) => fields,
        };
        let empty = fields.iter().filter(|(_, field)| field.is_empty());
        let refused = empty.filter(|(name, _)| !may_be_empty(name));
        Item::from_object(Record {
            refused: refused.map(|(name, _)| name.clone()).collect(),
            fields: fields
                .iter()
                .map(|(name, field)| (name.clone(), self.item(field)))
                .collect(),
            notes: Arc::clone(self),
        })
    }
}

/// A secret with fields.
pub(super) struct Record {
    fields: BTreeMap<String, Item>,
    refused: BTreeSet<String>,
    notes: Arc<Notes>,
}

impl Record {
    /// Its fields, by name.
    pub(super) const fn fields(&self) -> &BTreeMap<String, Item> {
        &self.fields
    }

    /// A field; or the first part of names with dots in them, so that `tls.crt` can be written as it is.
    fn named(self: &Arc<Self>, name: String) -> Option<Item> {
        if let Some(item) = self.fields.get(&name) {
            if self.refused.contains(&name) {
                lock(&self.notes.empty).insert(name);
            }
            return Some(item.clone());
        }
        let prefix = format!("{name}.");
        let mut names = self.fields.keys();
        let record = Arc::clone(self);
        names
            .any(|name| name.starts_with(&prefix))
            .then(|| Item::from_object(Prefix { record, prefix }))
    }
}

impl Object for Record {
    fn get_value(self: &Arc<Self>, key: &Item) -> Option<Item> {
        self.named(key.as_str()?.to_owned())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.keys().map(Item::from).collect())
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing shows a whole secret but the filter `json`.
        Ok(())
    }
}

/// The `tls.` of `tls.crt`.
struct Prefix {
    record: Arc<Record>,
    prefix: String,
}

impl Object for Prefix {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Item) -> Option<Item> {
        let prefix = &self.prefix;
        self.record.named(format!("{prefix}{}", key.as_str()?))
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// A number that is written as it was read.
struct Written(String);

impl Object for Written {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.parse::<f64>().is_ok_and(|number| number != 0.0)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON object or list, read when a template looks into it.
struct Members {
    text: String,
    notes: Arc<Notes>,
    parsed: OnceLock<Parsed>,
}

enum Parsed {
    Object(BTreeMap<String, Item>),
    List(Vec<Item>),
}

impl Members {
    fn is_list(&self) -> bool {
        self.text.starts_with('[')
    }

    /// What the store's format let pass can be read.
    fn parsed(&self) -> &Parsed {
        self.parsed.get_or_init(|| {
            let item = |part: &RawValue| self.notes.json(part.get());
            if self.is_list() {
                let parts: Vec<&RawValue> = serde_json::from_str(&self.text).unwrap_or_default();
                Parsed::List(parts.into_iter().map(item).collect())
            } else {
                let parts: BTreeMap<Cow<'_, str>, &RawValue> =
                    serde_json::from_str(&self.text).unwrap_or_default();
                let parts = parts.into_iter();
                Parsed::Object(
                    parts
                        .map(|(name, part)| (name.into_owned(), item(part)))
                        .collect(),
                )
            }
        })
    }
}

impl Object for Members {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_list() {
            ObjectRepr::Seq
        } else {
            ObjectRepr::Map
        }
    }

    fn get_value(self: &Arc<Self>, key: &Item) -> Option<Item> {
        match self.parsed() {
            Parsed::Object(members) => members.get(key.as_str()?).cloned(),
            Parsed::List(elements) => elements.get(key.as_usize()?).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.parsed() {
            Parsed::Object(members) => Enumerator::Values(members.keys().map(Item::from).collect()),
            Parsed::List(elements) => Enumerator::Seq(elements.len()),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The engine asks for it; nothing of a value is in it.
macro_rules! silent {
    ($($type:ty),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
        }
    )*};
}
silent!(Record, Prefix, Written, Members);

/// The JSON text of a list, an object or a number that is written as it was read.
pub(super) fn json_text(value: &Item) -> Option<&str> {
    if let Some(members) = value.downcast_object_ref::<Members>() {
        return Some(&members.text);
    }
    value
        .downcast_object_ref::<Written>()
        .map(|number| number.0.as_str())
}

/// The whole of a secret with fields.
pub(super) fn record(value: &Item) -> Option<&Record> {
    value.downcast_object_ref()
}
