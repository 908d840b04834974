//! YAML events to a small tree in which every node knows its place. Faults of the YAML itself are
//! found here: syntax, duplicate keys, and what a manifest may not use (tags, merge keys, several
//! documents).

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};

use super::fault::{Fault, Span, quote};

/// Collections are nested at most so deep.
const MAX_DEPTH: usize = 64;

/// All aliases together stand for at most so many nodes.
const ALIAS_BUDGET: usize = 10_000;

/// A value of the manifest, and where it stands.
#[derive(Debug)]
pub struct Node<'a> {
    /// Its text; of a collection: its first character, or its opening bracket.
    pub span: Span,
    /// What it is.
    pub data: Data<'a>,
    /// How many nodes it is, itself counted.
    weight: usize,
}

/// The kinds of values.
#[derive(Debug)]
pub enum Data<'a> {
    /// Text. Plain text may mean null, a boolean or a number.
    Scalar {
        /// After YAML's escapes.
        text: Cow<'a, str>,
        /// Plain, quoted or a block.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Rc<Node<'a>>>),
    /// Keys and values, in order; keys are unique.
    Mapping(Vec<Entry<'a>>),
}

/// One key and its value.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: Cow<'a, str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Rc<Node<'a>>,
}

impl Node<'_> {
    /// A scalar that stands in no manifest: plain, or in double quotes without escapes.
    pub fn made(text: &'static str) -> Node<'static> {
        let inner = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        let (text, style) = match inner {
            Some(inner) => (inner, ScalarStyle::DoubleQuoted),
            None => (text, ScalarStyle::Plain),
        };
        Node {
            span: Span::default(),
            data: Data::Scalar {
                text: Cow::Borrowed(text),
                style,
            },
            weight: 1,
        }
    }

    /// Whether it is null as YAML 1.2's core schema has it: nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, style: ScalarStyle::Plain }
            if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        let plain = ScalarStyle::Plain;
        match &self.data {
            Data::Scalar { .. } if self.is_null() => "nothing",
            Data::Scalar { text, style } if *style == plain && is_boolean(text) => "a boolean",
            Data::Scalar { text, style } if *style == plain && is_number(text) => "a number",
            Data::Scalar { .. } => "text",
            Data::Sequence(_) => "a list",
            Data::Mapping(_) => "a mapping",
        }
    }
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "false")
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.parse::<f64>().is_ok()
}

/// Reads a document. `None`: the fault that was added ends the reading. Other faults do not.
pub fn parse<'a>(source: &'a str, faults: &mut Vec<Fault>) -> Option<Rc<Node<'a>>> {
    let mut options = granit_parser::options! { disallow_directives: true };
    options.set_emit_comments(false);
    let mut builder = Builder {
        source,
        faults,
        open: Vec::new(),
        anchors: HashMap::new(),
        expanded: 0,
        root: None,
    };
    let mut documents = 0_usize;
    for next in Parser::new_from_str_with_options(source, options) {
        let done = match next {
            Ok((Event::DocumentStart(..), span)) => {
                documents += 1;
                let again = documents > 1;
                again.then(|| several_documents(byte_span(source, &span)))
            }
            Ok((event, span)) => builder.take(event, &span).err(),
            Err(error) => Some(syntax(source, &error)),
        };
        if let Some(fault) = done {
            builder.faults.push(fault);
            return None;
        }
    }
    let root = builder.root;
    if root.is_none() {
        let help = "a manifest has at least `version`, `service` and `run`: see `hushpipe init`";
        faults.push(Fault::new(Span::at(0), "the manifest is empty", help));
    }
    root
}

fn several_documents(span: Span) -> Fault {
    let help = "a file is one manifest: keep one document, and no line `---` but the first";
    Fault::new(span, "a second YAML document starts here", help)
}

fn syntax(source: &str, error: &ScanError) -> Fault {
    use granit_parser::ErrorKind as Kind;
    let marker = error.marker();
    let at = Span::at(
        marker
            .byte_offset()
            .unwrap_or(source.len())
            .min(source.len()),
    );
    let help = match error.kind() {
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabAtBlockScalarStart => {
            "indent with spaces: YAML does not allow tabs there"
        }
        Kind::UnknownAnchor => "an alias (`*name`) needs an anchor (`&name`) before it",
        Kind::DirectiveDisallowed => "remove the line: a manifest has no `%` directives",
        Kind::UnclosedFlowCollection { .. } | Kind::MismatchedFlowCollectionEnd { .. } => {
            "close each `[` with `]` and each `{` with `}`"
        }
        Kind::RecursionLimitExceeded => "a manifest needs fewer levels",
        _ => {
            "check indentation, colons and quotes here and above; quote text that has `: ` or ` #`"
        }
    };
    Fault::new(at, format!("invalid YAML: {}", error.kind()), help)
}

fn byte_span(source: &str, span: &granit_parser::Span) -> Span {
    let offset = |marker: &granit_parser::Marker| {
        marker
            .byte_offset()
            .unwrap_or(source.len())
            .min(source.len())
    };
    Span {
        start: offset(&span.start),
        end: offset(&span.end),
    }
}

/// A collection that is not closed yet.
struct Open<'a> {
    span: Span,
    anchor: usize,
    weight: usize,
    items: Items<'a>,
}

enum Items<'a> {
    Sequence(Vec<Rc<Node<'a>>>),
    Mapping {
        entries: Vec<Entry<'a>>,
        seen: HashMap<Cow<'a, str>, Span>,
        key: Option<(Cow<'a, str>, Span)>,
    },
}

struct Builder<'a, 'f> {
    source: &'a str,
    faults: &'f mut Vec<Fault>,
    open: Vec<Open<'a>>,
    anchors: HashMap<usize, Rc<Node<'a>>>,
    expanded: usize,
    root: Option<Rc<Node<'a>>>,
}

impl<'a> Builder<'a, '_> {
    /// `Err`: the fault ends the reading.
    fn take(&mut self, event: Event<'a>, span: &granit_parser::Span) -> Result<(), Fault> {
        if event.tag().is_some() {
            let tag = span.tag_span().unwrap_or(*span);
            let help = "remove it: each key determines the type of its value";
            let span = byte_span(self.source, &tag);
            self.faults.push(Fault::new(
                span,
                "YAML tags are not allowed in a manifest",
                help,
            ));
        }
        let span = byte_span(self.source, span);
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let node = Node {
                    span,
                    data: Data::Scalar { text, style },
                    weight: 1,
                };
                self.add(Rc::new(node), anchor)
            }
            Event::Alias(id) => self.alias(id, span),
            Event::SequenceStart(_, anchor, _) => {
                self.open(span, anchor, Items::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => {
                let items = Items::Mapping {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.open(span, anchor, items)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(&mut self, span: Span, anchor: usize, items: Items<'a>) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} levels of nesting");
            let help = "a manifest needs fewer levels";
            return Err(Fault::new(span, message, help));
        }
        self.open.push(Open {
            span,
            anchor,
            weight: 1,
            items,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let data = match open.items {
            Items::Sequence(items) => Data::Sequence(items),
            Items::Mapping { entries, .. } => Data::Mapping(entries),
        };
        let node = Node {
            span: open.span,
            data,
            weight: open.weight,
        };
        self.add(Rc::new(node), open.anchor)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            let help = "an alias refers to a complete value before it";
            return Err(Fault::new(span, "an alias cannot refer to itself", help));
        };
        self.expanded = self.expanded.saturating_add(node.weight);
        if self.expanded > ALIAS_BUDGET {
            let message = format!("the aliases expand to more than {ALIAS_BUDGET} values");
            let help = "write the values out: aliases of aliases multiply";
            return Err(Fault::new(span, message, help));
        }
        self.place(node, span)
    }

    fn add(&mut self, node: Rc<Node<'a>>, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let span = node.span;
        self.place(node, span)
    }

    /// Puts a node into the collection that is open. `span` is where it is used.
    fn place(&mut self, node: Rc<Node<'a>>, span: Span) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.weight = open.weight.saturating_add(node.weight);
        match &mut open.items {
            Items::Sequence(items) => items.push(node),
            Items::Mapping { entries, seen, key } => match key.take() {
                None => *key = Some((key_text(&node, span)?, span)),
                Some((key, key_span)) => {
                    let entry = Entry {
                        key,
                        key_span,
                        value: node,
                    };
                    self.faults.extend(insert(entries, seen, entry));
                }
            },
        }
        Ok(())
    }
}

fn key_text<'a>(node: &Node<'a>, span: Span) -> Result<Cow<'a, str>, Fault> {
    if let Data::Scalar { text, .. } = &node.data {
        return Ok(text.clone());
    }
    let message = format!("a key is text, and this is {}", node.kind());
    let help = "text that starts with { or [, such as a template, goes in quotes";
    Err(Fault::new(span, message, help))
}

/// Adds an entry if nothing speaks against it.
fn insert<'a>(
    entries: &mut Vec<Entry<'a>>,
    seen: &mut HashMap<Cow<'a, str>, Span>,
    entry: Entry<'a>,
) -> Option<Fault> {
    if entry.key == "<<" {
        let help = "write the keys out, or use an alias for a whole value";
        let message = "merge keys (`<<`) are not allowed in a manifest";
        return Some(Fault::new(entry.key_span, message, help));
    }
    if let Some(first) = earlier(entries, seen, &entry.key) {
        let message = format!("duplicate key {}", quote(&entry.key));
        let fault = Fault::new(entry.key_span, message, "remove one of the two");
        return Some(fault.related(first, "first here"));
    }
    entries.push(entry);
    None
}

/// Where a key stands already. Small mappings are looked through; an index is made for larger ones,
/// so that time does not grow with the square of their size.
fn earlier<'a>(
    entries: &[Entry<'a>],
    seen: &mut HashMap<Cow<'a, str>, Span>,
    key: &str,
) -> Option<Span> {
    const SMALL: usize = 16;
    if entries.len() < SMALL {
        let same = entries.iter().find(|entry| entry.key == key);
        return same.map(|entry| entry.key_span);
    }
    for entry in &entries[seen.len()..] {
        seen.insert(entry.key.clone(), entry.key_span);
    }
    seen.get(key).copied()
}
