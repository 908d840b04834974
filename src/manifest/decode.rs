//! From nodes to typed records. One table a record drives both the decoding and the JSON Schema.

use std::ops::Range;
use std::path::Path;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value, json};

use super::fault::{Fault, Span, quote};
use super::interpolate::{Wrong, WrongKind, interpolate, unescape};
use super::locate::Written;
use super::tree::{Data, Entry, Node};
use crate::model::nearest::nearest;

/// A type that a manifest can hold.
pub trait Decode: Sized {
    /// What it is, for messages: `a duration such as 30s`.
    const WANTED: &'static str;

    /// Reads it. `None`: faults were added.
    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self>;

    /// Its JSON Schema.
    fn schema() -> Value;
}

/// A key of a record: absent, faulty, or with a value.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// Where the key stands; `None` if it is not there.
    pub key: Option<Span>,
    /// Where the value stands.
    pub span: Span,
    /// What was given, or the default. `None` also where a fault was told.
    pub value: Option<T>,
}

impl<T> Default for Spanned<T> {
    fn default() -> Self {
        Self {
            key: None,
            span: Span::default(),
            value: None,
        }
    }
}

impl<T> Spanned<T> {
    /// Whether the manifest has the key.
    pub const fn is_present(&self) -> bool {
        self.key.is_some()
    }

    /// The value, where it was read.
    pub const fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

/// One key of a record.
pub struct FieldShape {
    /// As it is written.
    pub key: &'static str,
    /// What it means.
    pub doc: &'static [&'static str],
    /// Whether it must be there.
    pub required: bool,
    /// What it is when it is not there, as it would be written.
    pub default: Option<&'static str>,
    /// Its type's schema.
    pub schema: fn() -> Value,
}

/// Why a key that would hold a secret cannot stand in a manifest. Its line is not shown.
pub const NO_SECRET: &str = "a manifest holds no secret";

/// Among [`Shape::elsewhere`]: any key that is like none of the record's.
pub const ANY_OTHER: &str = "*";

/// As many words as a line of a message has room for.
fn fitting<'w>(words: impl Iterator<Item = &'w str>) -> String {
    const ROOM: usize = 52;
    let mut line = String::new();
    for word in words {
        if line.len() + word.len() > ROOM {
            return line + ", …: see hushpipe.yaml(5)";
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(word);
    }
    line
}

/// The table of a record.
pub struct Shape {
    /// What it means.
    pub doc: &'static [&'static str],
    /// Its keys.
    pub fields: &'static [FieldShape],
    /// Keys that people look for here, as other tools have them: why not, and what to do. [`ANY_OTHER`]
    /// has what to do alone.
    pub elsewhere: &'static [(&'static str, &'static str, &'static str)],
}

/// What decoding needs, and the faults that it found.
pub struct Decoder<'a> {
    /// All faults so far.
    pub faults: Vec<Fault>,
    /// The manifest's text.
    pub source: &'a str,
    /// The manifest's directory.
    pub base: &'a Path,
    /// hushpipe's environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// It is a site: variables are refused in it.
    pub fixed: bool,
    /// The key whose value is being read.
    pub within: Span,
}

impl Decoder<'_> {
    /// Adds a fault.
    pub fn fault(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(span, message, help));
    }

    /// Adds a fault: another kind of value is wanted.
    pub fn unexpected(&mut self, node: &Node<'_>, wanted: &str) {
        if node.is_null() {
            // An empty value has no place of its own: its key is what the reader looks for.
            let empty = node.span.start == node.span.end;
            let span = if empty { self.within } else { node.span };
            let help = format!("write {wanted}, or remove the key");
            self.fault(span, "this key has no value", help);
        } else {
            // Up to its examples: those are in the help.
            let kind = wanted.split([',', ':']).next().unwrap_or(wanted);
            let kind = kind.split(" such as ").next().unwrap_or(kind);
            let message = format!("expected {kind}, found {}", node.kind());
            let help = match (&node.data, kind) {
                (Data::Sequence(_), "a mapping" | "a mapping of names") => {
                    "remove the `- ` in front of each name".to_owned()
                }
                _ => format!("write {wanted}"),
            };
            let fault = Fault::new(node.span, message, help);
            // Text in the place of a mapping may be a value that somebody wrote here.
            let may_be_value = node.kind() == "text";
            self.faults
                .push(if may_be_value { fault.hiding() } else { fault });
        }
    }

    /// The entries of a mapping.
    pub fn mapping<'n, 'a>(&mut self, node: &'n Node<'a>, wanted: &str) -> Option<&'n [Entry<'a>]> {
        if let Data::Mapping(entries) = &node.data {
            return Some(entries);
        }
        self.unexpected(node, wanted);
        None
    }

    /// The word under the key that says which of several records a mapping is, and where it stands.
    pub fn tag<'n, 'a>(
        &mut self,
        node: &'n Node<'a>,
        key: &str,
        wanted: &str,
        words: &[&str],
    ) -> Option<(String, &'n Node<'a>)> {
        let owner = self.owner_of(node);
        let entries = self.mapping(node, wanted)?;
        let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
            let message = format!("the key {} is missing", quote(key));
            let help = format!("add `{key}:` with one of {}", words.join(", "));
            self.fault(owner, message, help);
            return None;
        };
        let outer = std::mem::replace(&mut self.within, entry.key_span);
        let text = self.text(&entry.value, &format!("one of {}", words.join(", ")));
        self.within = outer;
        Some((text?, &entry.value))
    }

    /// Reads the value of a key.
    pub fn field<T: Decode>(&mut self, entry: &Entry<'_>) -> Spanned<T> {
        let outer = std::mem::replace(&mut self.within, entry.key_span);
        let value = T::decode(&entry.value, self);
        self.within = outer;
        Spanned {
            key: Some(entry.key_span),
            span: entry.value.span,
            value,
        }
    }

    /// A key that is not there: its default, or a fault.
    pub fn absent<T: Decode>(&mut self, field: &mut Spanned<T>, shape: &FieldShape, owner: Span) {
        if field.is_present() {
            return;
        }
        if let Some(default) = shape.default {
            let before = self.faults.len();
            field.value = T::decode(&Node::made(default), self);
            // A default that needs a variable, such as HOME, stands nowhere.
            for fault in &mut self.faults[before..] {
                fault.span = owner;
            }
        } else if shape.required {
            let message = format!("the key {} is missing", quote(shape.key));
            let help = format!("add `{}:` with {}", shape.key, T::WANTED);
            self.fault(owner, message, help);
        }
    }

    /// A key that the record does not have.
    pub fn unknown_key(&mut self, entry: &Entry<'_>, shape: &Shape) {
        let key = entry.key.as_ref();
        let elsewhere = |wanted: &str| shape.elsewhere.iter().find(|(known, ..)| *known == wanted);
        if let Some((_, why, help)) = elsewhere(key) {
            let message = format!("unknown key {}: {why}", quote(key));
            let fault = Fault::new(entry.key_span, message, *help);
            let secret = *why == NO_SECRET;
            return self
                .faults
                .push(if secret { fault.hiding() } else { fault });
        }
        let known = || shape.fields.iter().map(|field| field.key);
        let help = match (nearest(key, known()), elsewhere(ANY_OTHER)) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some((_, _, help))) => (*help).to_owned(),
            (None, None) => format!("known here: {}", fitting(known())),
        };
        self.fault(entry.key_span, format!("unknown key {}", quote(key)), help);
    }

    /// The text of a scalar as it is written: not null, variables not put in.
    pub fn raw_text<'n>(&mut self, node: &'n Node<'_>, wanted: &str) -> Option<&'n str> {
        match &node.data {
            Data::Scalar { text, .. } if !node.is_null() => Some(text),
            _ => {
                self.unexpected(node, wanted);
                None
            }
        }
    }

    /// The text of a scalar, variables put in.
    pub fn text(&mut self, node: &Node<'_>, wanted: &str) -> Option<String> {
        let raw = self.raw_text(node, wanted)?;
        let text = if self.fixed {
            self.fixed_text(node, raw)?
        } else {
            match interpolate(raw, self.environment) {
                Ok(text) => text.into_owned(),
                Err(wrong) => {
                    for fault in wrong {
                        self.variable(node, &fault);
                    }
                    return None;
                }
            }
        };
        if text.contains('\0') {
            self.fault(node.span, "a NUL character is not allowed", "remove it");
            return None;
        }
        Some(text)
    }

    /// Of a site, whose facts the caller's environment must not choose.
    fn fixed_text(&mut self, node: &Node<'_>, raw: &str) -> Option<String> {
        let wrong = match unescape(raw) {
            Ok(text) => return Some(text),
            Err(wrong) => wrong,
        };
        for range in wrong {
            let span = self.locate(node, range);
            let help = "write the value itself, and `$${` for a plain `${`";
            let message = "a site has no variables: the caller's environment must not decide here";
            self.fault(span, message, help);
        }
        None
    }

    fn variable(&mut self, node: &Node<'_>, wrong: &Wrong) {
        let span = self.locate(node, wrong.range.clone());
        let (message, help) = match &wrong.kind {
            WrongKind::Unclosed => (
                "`${` without `}`".to_owned(),
                "close it, or write `$${` for a plain `${`".to_owned(),
            ),
            WrongKind::Name(name) => (
                format!("{} is not the name of a variable", quote(name)),
                "write ${NAME} or ${NAME:-default}, and `$${` for a plain `${`".to_owned(),
            ),
            WrongKind::Unset(name) => (
                format!("the variable {name} is not set"),
                format!("set it for hushpipe, or write ${{{name}:-default}}"),
            ),
            WrongKind::Credential(name) => (
                format!("{name} is a credential, and a manifest's text never has it"),
                "others can read arguments and environment; a store's tool gets it by `env:`"
                    .to_owned(),
            ),
        };
        self.fault(span, message, help);
    }

    /// Where some bytes of a scalar's text stand in the manifest.
    pub fn locate(&self, node: &Node<'_>, range: Range<usize>) -> Span {
        // Nobody reads that many faults: their exact places are not looked for.
        if self.faults.len() > 200 {
            return node.span;
        }
        Written::of(node).map_or(node.span, |written| written.locate(self.source, range))
    }

    /// A plain scalar that is given to a parser of ours; its message becomes the fault's.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        node: &Node<'_>,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(node, wanted)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let raw = self.raw_text(node, wanted)?;
                let message = if raw == text {
                    format!("invalid value {}: {error}", quote(raw))
                } else {
                    format!("with its variables, {} is not {wanted}", quote(raw))
                };
                self.fault(node.span, message, format!("write {wanted}"));
                None
            }
        }
    }
}

/// Text for a message: as it is written, so that what came from the environment is not shown.
pub fn shown(node: &Node<'_>, text: &str) -> String {
    match &node.data {
        Data::Scalar { text: raw, .. } if raw != text => quote(raw),
        _ => quote(text),
    }
}

impl Node<'_> {
    /// Whether it is a scalar without quotes.
    pub fn is_plain(&self) -> bool {
        matches!(&self.data, Data::Scalar { style, .. } if *style == ScalarStyle::Plain)
    }
}

impl Shape {
    /// The JSON Schema of the record.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in self.fields {
            let mut schema = (field.schema)();
            if let Value::Object(object) = &mut schema {
                object.insert("description".to_owned(), sentence(field.doc).into());
                if let Some(default) = field.default {
                    let value = serde_json::from_str(default).unwrap_or_else(|_| default.into());
                    object.insert("default".to_owned(), value);
                }
            }
            properties.insert(field.key.to_owned(), schema);
            if field.required {
                required.push(field.key);
            }
        }
        json!({
            "type": "object",
            "description": sentence(self.doc),
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

fn sentence(lines: &[&str]) -> String {
    let trimmed: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    trimmed.join(" ")
}

/// A key that was read by [`Decoder::tag`] already.
#[derive(Clone, Copy, Debug)]
pub struct Tag;

impl Decode for Tag {
    const WANTED: &'static str = "a word";

    fn decode(_: &Node<'_>, _: &mut Decoder<'_>) -> Option<Self> {
        Some(Self)
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// The schema of a record whose tag is this word.
pub fn tagged(mut schema: Value, key: &str, word: &str) -> Value {
    schema["properties"][key]["const"] = word.into();
    schema
}

/// A schema, or text in which a variable stands.
pub fn or_variable(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{" }] })
}

/// Declares a record: a struct of [`Spanned`]s, its decoding and its schema.
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        $name:ident ($wanted:literal) {
            $(
                $(#[doc = $field_doc:literal])+
                $need:ident $field:ident $key:literal : $type:ty $(= $default:literal)?;
            )*
        }
        elsewhere { $($elsewhere:literal : $why:expr => $help:literal),* $(,)? }
    ) => {
        $(#[doc = $doc])+
        #[derive(Default)]
        pub struct $name {
            /// Where it stands. Every record knows, though not every check asks.
            #[allow(dead_code)]
            pub at: $crate::manifest::fault::Span,
            $(
                $(#[doc = $field_doc])+
                #[allow(dead_code)]
                pub $field: $crate::manifest::decode::Spanned<$type>,
            )*
        }

        impl $name {
            /// The table.
            pub const SHAPE: $crate::manifest::decode::Shape = $crate::manifest::decode::Shape {
                doc: &[$($doc),+],
                fields: &[$($crate::manifest::decode::FieldShape {
                    key: $key,
                    doc: &[$($field_doc),+],
                    required: record!(@required $need),
                    default: record!(@default $($default)?),
                    schema: <$type as $crate::manifest::decode::Decode>::schema,
                }),*],
                elsewhere: &[$(($elsewhere, $why, $help)),*],
            };
        }

        impl $crate::manifest::decode::Decode for $name {
            const WANTED: &'static str = $wanted;

            fn decode(
                node: &$crate::manifest::tree::Node<'_>,
                to: &mut $crate::manifest::decode::Decoder<'_>,
            ) -> Option<Self> {
                let owner = to.owner_of(node);
                let entries = to.mapping(node, $wanted)?;
                let mut record = Self { at: owner, ..Self::default() };
                for entry in entries {
                    match entry.key.as_ref() {
                        $($key => record.$field = to.field(entry),)*
                        _ => to.unknown_key(entry, &Self::SHAPE),
                    }
                }
                let mut shapes = Self::SHAPE.fields.iter();
                $(
                    if let Some(shape) = shapes.next() {
                        to.absent(&mut record.$field, shape, owner);
                    }
                )*
                Some(record)
            }

            fn schema() -> serde_json::Value {
                Self::SHAPE.schema()
            }
        }
    };
    (@required required) => { true };
    (@required optional) => { false };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

pub(super) use record;
