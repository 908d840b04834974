//! From a byte of a scalar's text back to the byte of the manifest that it came from.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::fault::Span;
use super::tree::{Data, Node};

/// A scalar, and how it is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// What YAML made of it.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    style: ScalarStyle,
}

impl Written {
    /// Of a scalar; other nodes have none.
    pub fn of(node: &Node<'_>) -> Option<Self> {
        match &node.data {
            Data::Scalar { text, style } => Some(Self {
                text: text.clone().into_owned(),
                span: node.span,
                style: *style,
            }),
            _ => None,
        }
    }

    /// Where some bytes of its text stand in the manifest; the whole scalar if that is not known.
    pub fn locate(&self, source: &str, range: Range<usize>) -> Span {
        let raw = source.get(self.span.start..self.span.end);
        let find = |target| offset_in_source(raw?, self.style, &self.text, target);
        match (find(range.start), find(range.end)) {
            (Some(start), Some(end)) => Span {
                start: self.span.start + start,
                end: self.span.start + end,
            },
            _ => self.span,
        }
    }
}

/// The offset within `raw` (the scalar as it is written) of the byte `target` of `text` (what YAML
/// made of it). `None` where lines were folded: there is no simple answer then.
fn offset_in_source(raw: &str, style: ScalarStyle, text: &str, target: usize) -> Option<usize> {
    match style {
        ScalarStyle::Plain => walk(raw, 0, text, target, |_| None),
        ScalarStyle::SingleQuoted => walk(raw, 1, text, target, |rest| {
            rest.starts_with("''").then_some(2)
        }),
        ScalarStyle::DoubleQuoted => walk(raw, 1, text, target, escape),
        ScalarStyle::Literal => literal(raw, text, target),
        ScalarStyle::Folded => None,
    }
}

/// How long an escape is, as it is written.
type Escape = Option<usize>;

fn escape(rest: &str) -> Escape {
    let after = rest.strip_prefix('\\')?.chars().next()?;
    let length = match after {
        'x' => 4,
        'u' => 6,
        'U' => 10,
        other => 1 + other.len_utf8(),
    };
    Some(length)
}

/// Goes through both texts at once, and gives up where they part.
fn walk(
    raw: &str,
    start: usize,
    text: &str,
    target: usize,
    escape: impl Fn(&str) -> Escape,
) -> Option<usize> {
    let mut at = start;
    for (index, c) in text.char_indices() {
        if index >= target {
            return Some(at);
        }
        let rest = raw.get(at..)?;
        match escape(rest) {
            Some(length) => at += length,
            None if rest.starts_with(c) => at += c.len_utf8(),
            None => return None,
        }
    }
    Some(at)
}

/// A literal block: lines as they are, without their common indentation.
fn literal(raw: &str, text: &str, target: usize) -> Option<usize> {
    let body = if raw.starts_with('|') {
        raw.find('\n')? + 1
    } else {
        0
    };
    let wanted_line = text.get(..target)?.matches('\n').count();
    let column = target - text[..target].rfind('\n').map_or(0, |index| index + 1);
    let wanted = text.split('\n').nth(wanted_line)?;
    let mut start = body;
    for (number, line) in raw.get(body..)?.split('\n').enumerate() {
        if number == wanted_line {
            let trimmed = line.trim_end_matches('\r');
            let indent = trimmed.len().checked_sub(wanted.len())?;
            return trimmed.ends_with(wanted).then_some(start + indent + column);
        }
        start += line.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_counted_as_they_are_written() {
        let raw = "\"a\\n\\u00e9{x}\"";
        let text = "a\né{x}";
        let at = offset_in_source(raw, ScalarStyle::DoubleQuoted, text, 4);
        assert_eq!(at.map(|at| &raw[at..=at]), Some("{"));
        let raw = "'it''s {x}'";
        let at = offset_in_source(raw, ScalarStyle::SingleQuoted, "it's {x}", 5);
        assert_eq!(at.map(|at| &raw[at..=at]), Some("{"));
    }

    #[test]
    fn a_literal_block_loses_its_indentation() {
        for header in ["", "|\n"] {
            let raw = format!("{header}    a\n      b {{x}}\n");
            let text = "a\n  b {x}\n";
            let at = offset_in_source(&raw, ScalarStyle::Literal, text, 6);
            assert_eq!(at.map(|at| &raw[at..=at]), Some("{"));
        }
    }

    #[test]
    fn folded_lines_have_no_simple_answer() {
        assert_eq!(
            offset_in_source("a\n  b", ScalarStyle::Plain, "a b", 2),
            None
        );
    }
}
