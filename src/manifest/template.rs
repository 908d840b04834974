//! What a `content:` template names, checked before anything is fetched.

use std::collections::HashSet;
use std::ops::Range;

use super::fault::{Fault, Span, nearest, quote};
use super::values::Content;
use crate::model::template::FILTERS;

/// A name that a template uses: `db`, `db.password`, or a filter.
#[derive(Debug, PartialEq, Eq)]
struct Used {
    name: String,
    range: Range<usize>,
    filter: bool,
}

/// Checks syntax and filters, and gives the names that must be secrets, each with its place.
pub fn names(content: &Content, source: &str, faults: &mut Vec<Fault>) -> Vec<(String, Span)> {
    let mut environment = minijinja::Environment::empty();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let template = match environment.template_from_str(&content.text) {
        Ok(template) => template,
        Err(error) => {
            faults.push(syntax(content, source, &error));
            return Vec::new();
        }
    };
    // Spans are those of the text as YAML gave it: `$${` moves what follows, but changes no name.
    let used = scan(&content.written.text);
    for filter in used.iter().filter(|used| used.filter) {
        if !FILTERS.contains(&filter.name.as_str()) {
            faults.push(unknown_filter(content, source, filter));
        }
    }
    let wanted: HashSet<String> = template.undeclared_variables(true);
    let mut names: Vec<(String, Span)> = wanted
        .into_iter()
        .map(|name| {
            let place = used.iter().find(|used| !used.filter && used.name == name);
            let span = place.map_or(content.written.span, |used| {
                content.written.locate(source, used.range.clone())
            });
            (name, span)
        })
        .collect();
    names.sort_by_key(|(_, span)| *span);
    names
}

fn syntax(content: &Content, source: &str, error: &minijinja::Error) -> Fault {
    let detail = error.detail().unwrap_or("the syntax is wrong");
    let line = error.line().unwrap_or(1);
    let text = &content.written.text;
    let start = text
        .match_indices('\n')
        .nth(line.saturating_sub(2))
        .filter(|_| line > 1)
        .map_or(0, |(index, _)| index + 1);
    let end = text[start..]
        .find('\n')
        .map_or(text.len(), |index| start + index);
    let first = text[start..end].len() - text[start..end].trim_start().len();
    let span = content.written.locate(source, start + first..end);
    let help = "a value is {{ secret }} or {{ secret.field }}, a filter {{ secret | b64encode }}";
    Fault::new(
        span,
        format!("this template cannot be read: {detail}"),
        help,
    )
}

fn unknown_filter(content: &Content, source: &str, filter: &Used) -> Fault {
    let span = content.written.locate(source, filter.range.clone());
    let help = match nearest(&filter.name, FILTERS.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("filters here: {}", FILTERS.join(", ")),
    };
    Fault::new(
        span,
        format!("unknown filter {}", quote(&filter.name)),
        help,
    )
}

/// The names in a template, with their places: minijinja tells names, but not where they stand.
fn scan(text: &str) -> Vec<Used> {
    let mut used = Vec::new();
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'{', &text.as_bytes()[at..]).map(|index| at + index) {
        let rest = &text[open..];
        at = if rest.starts_with("{{") {
            expression(text, open + 2, "}}", &mut used)
        } else if rest.starts_with("{%") {
            match raw_block(rest) {
                Some(length) => open + length,
                None => expression(text, open + 2, "%}", &mut used),
            }
        } else if rest.starts_with("{#") {
            rest.find("#}").map_or(text.len(), |index| open + index + 2)
        } else {
            open + 1
        };
    }
    used
}

/// The length of a `{% raw %}` block up to its end tag.
fn raw_block(rest: &str) -> Option<usize> {
    let inner = rest[2..].trim_start_matches(['-', '+']).trim_start();
    let after = inner.strip_prefix("raw")?;
    after
        .trim_start()
        .trim_start_matches(['-', '+'])
        .starts_with("%}")
        .then(|| rest.find("endraw").unwrap_or(rest.len()))
}

/// Takes the names of one expression or statement; gives the byte after its end.
fn expression(text: &str, start: usize, close: &str, used: &mut Vec<Used>) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut before = 0_u8;
    let mut filter_tag = false;
    while at < bytes.len() {
        if text[at..].starts_with(close) {
            return at + close.len();
        }
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at = string_end(bytes, at + 1, quote);
                before = quote;
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                let filter = before == b'|' || filter_tag;
                let end = word_end(bytes, at, before != b'|');
                let range = at..if filter { filter_end(bytes, end) } else { end };
                at = range.end;
                let name = text[range.clone()].to_owned();
                filter_tag = name == "filter" && close == "%}" && before == 0;
                if before != b'.' {
                    used.push(Used {
                        name,
                        range,
                        filter,
                    });
                }
                before = b'a';
            }
            b if b.is_ascii_whitespace() => at += 1,
            b => {
                // `{{-` and `{%-` trim white space; the dash is no operator then.
                if !(at == start && (b == b'-' || b == b'+')) {
                    before = b;
                }
                at += text[at..].chars().next().map_or(1, char::len_utf8);
            }
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    // Past an escape at the very end there may be half a character: not past the text.
    (at + 1).min(bytes.len())
}

/// The end of `name`, or of `name.field.field`.
fn word_end(bytes: &[u8], start: usize, dotted: bool) -> usize {
    let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut at = start;
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        let dot = dotted && bytes[at] == b'.' && (next.is_ascii_alphabetic() || next == b'_');
        if !part(bytes[at]) && !dot {
            break;
        }
        at += 1;
    }
    at
}

/// The end of a filter's name. minijinja takes `a .b` for one name with a dot in it.
fn filter_end(bytes: &[u8], end: usize) -> usize {
    let past_space = |from: usize| {
        let space = bytes[from..].iter().take_while(|b| b.is_ascii_whitespace());
        from + space.count()
    };
    let dot = past_space(end);
    if bytes.get(dot) != Some(&b'.') {
        return end;
    }
    let next = past_space(dot + 1);
    match word_end(bytes, next, false) {
        none if none == next => end,
        end => filter_end(bytes, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Vec<(String, bool)> {
        let used = scan(text);
        for one in &used {
            assert_eq!(text[one.range.clone()], one.name);
        }
        used.into_iter()
            .map(|used| (used.name, used.filter))
            .collect()
    }

    fn pairs(names: &[(&str, bool)]) -> Vec<(String, bool)> {
        names
            .iter()
            .map(|(name, filter)| ((*name).to_owned(), *filter))
            .collect()
    }

    #[test]
    fn names_and_filters_are_found() {
        assert_eq!(
            scanned("a {{ db.user | b64encode | trim }} {{- api -}} é {{x}}"),
            pairs(&[
                ("db.user", false),
                ("b64encode", true),
                ("trim", true),
                ("api", false),
                ("x", false)
            ])
        );
    }

    #[test]
    fn a_filters_name_goes_on_behind_a_dot() {
        assert_eq!(
            scanned("{{ a|shell .b|pg . c.d|hex. }}"),
            pairs(&[
                ("a", false),
                ("shell .b", true),
                ("pg . c.d", true),
                ("hex", true)
            ])
        );
    }

    #[test]
    fn strings_comments_and_raw_text_have_no_names() {
        assert_eq!(
            scanned("{# no #}{{ 'a | b' }}{% raw %}{{ no }}{% endraw %}{{ \"\\\"no\" }}{x}"),
            pairs(&[])
        );
    }

    #[test]
    fn filter_blocks_name_a_filter() {
        assert_eq!(
            scanned("{% filter upper %}x{% endfilter %}"),
            pairs(&[("filter", false), ("upper", true), ("endfilter", false)])
        );
    }

    #[test]
    fn broken_templates_end() {
        for text in [
            "{{",
            "{{ '",
            "{{ 'é\\",
            "{%",
            "{#",
            "{% raw %}",
            "{{ a.",
            "{{ é }}",
            "{",
        ] {
            scan(text);
        }
    }
}
