//! What a `content:` template names, checked before anything is fetched.

use std::collections::HashSet;
use std::ops::Range;

use super::fault::{Fault, Span, quote};
use super::values::Content;
use crate::model::nearest::nearest;
use crate::model::template::{FilterKind, filter, filter_names};

/// A name that a template uses: `db`, `db.password`, or a filter.
#[derive(Debug, PartialEq, Eq)]
struct Used {
    name: String,
    range: Range<usize>,
    filter: bool,
}

/// What minijinja reads by recursion, in one tag: operators, `not`, filters, subscripts. More of them
/// than a person writes would overflow its stack.
const MAX_OPERATORS: usize = 400;
/// `{% elif %}` in one template: each nests in the one before.
const MAX_ELIFS: usize = 200;

/// Checks syntax and filters, and gives the names that must be secrets, each with its place.
pub fn names(content: &Content, source: &str, faults: &mut Vec<Fault>) -> Vec<(String, Span)> {
    if let Some(range) = too_deep(&content.text) {
        let line = content.text[..range].matches('\n').count() + 1;
        let message = format!("line {line} of this template nests too deeply to be read");
        let help = format!(
            "a tag has at most {MAX_OPERATORS} operators and filters, a template {MAX_ELIFS} `elif`"
        );
        faults.push(Fault::new(content.written.span, message, help));
        return Vec::new();
    }
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
    let used = scan(&content.written.text).0;
    for named in used.iter().filter(|used| used.filter) {
        if filter(&named.name).is_none() {
            faults.push(unknown_filter(content, source, named));
        }
    }
    for test in tests(&content.written.text, &used) {
        let span = content.written.locate(source, test.range.clone());
        let message = format!("templates have no tests, such as `is {}`", test.name);
        let help = "a field that is missing fails the launch; a value is compared by `==`";
        faults.push(Fault::new(span, message, help));
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

/// The words after `is` or `is not`.
fn tests<'u>(text: &'u str, used: &'u [Used]) -> impl Iterator<Item = &'u Used> {
    let follows = move |one: &Used, next: &Used| {
        let between = &text[one.range.end..next.range.start];
        !between.is_empty() && between.trim().is_empty()
    };
    let all = used.iter().enumerate();
    all.filter(|(_, one)| one.name == "is")
        .filter_map(move |(at, is)| {
            let word = used.get(at + 1).filter(|word| follows(is, word))?;
            let negated = used.get(at + 2).filter(|next| follows(word, next));
            let test = negated.filter(|_| word.name == "not").unwrap_or(word);
            (test.name != "in").then_some(test)
        })
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
    Fault::new(span, format!("invalid template: {detail}"), help)
}

fn unknown_filter(content: &Content, source: &str, filter: &Used) -> Fault {
    let span = content.written.locate(source, filter.range.clone());
    let help = nearest(&filter.name, filter_names()).map_or_else(
        || {
            let names: Vec<_> = filter_names().collect();
            format!(
                "filters here: {} (`hushpipe help templates`)",
                names.join(", ")
            )
        },
        |near| format!("did you mean `{near}`?"),
    );
    Fault::new(
        span,
        format!("unknown filter {}", quote(&filter.name)),
        help,
    )
}

/// An insertion that no filter makes fit for the text around it.
pub struct Bare {
    /// Where it stands in the text as YAML gave it.
    pub range: Range<usize>,
    /// What it inserts, as it is written.
    pub expression: String,
}

/// The insertions without a filter that quotes, and the text outside of all tags.
pub fn bare(text: &str) -> (Vec<Bare>, String) {
    let (used, tags) = scan(text);
    let mut outside = String::new();
    let mut bare = Vec::new();
    let mut end = 0;
    for tag in tags {
        outside.push_str(&text[end..tag.range.start]);
        end = tag.range.end;
        let within: Vec<_> = used
            .iter()
            .filter(|used| tag.range.contains(&used.range.start))
            .collect();
        let quotes = |used: &&Used| {
            let kind = filter(&used.name).map(|filter| filter.kind);
            used.filter && kind != Some(FilterKind::Changes)
        };
        let inserts = within
            .iter()
            .any(|used| !used.filter && used.name != "loop.index");
        if tag.inserts && inserts && !within.iter().any(quotes) {
            let inner = text[tag.range.clone()].trim_start_matches(['{', '-', '+']);
            let inner = inner.trim_end_matches(['}', '-', '+']).trim();
            bare.push(Bare {
                expression: inner.to_owned(),
                range: tag.range,
            });
        }
    }
    outside.push_str(&text[end..]);
    (bare, outside)
}

/// `s['tls-key']`, where a name that is no secret is the end of `s.tls-key`.
pub fn subscript(text: &str, name: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let found = text.match_indices(name).find_map(|(at, _)| {
        let start = text[..at]
            .rfind(|c: char| !is_part(c))
            .map_or(0, |space| space + 1);
        let length = text[at..]
            .find(|c: char| !is_part(c))
            .unwrap_or(text.len() - at);
        let word = text.get(start..at + length)?;
        text[..at].ends_with('-').then_some(word)
    })?;
    let (secret, field) = found.split_once('.')?;
    (field.contains('-') && !field.ends_with('-')).then(|| format!("{secret}['{field}']"))
}

/// Where a tag is that would take too much stack to read.
fn too_deep(text: &str) -> Option<usize> {
    let mut elifs = 0;
    for tag in scan(text).1 {
        let inner = &text[tag.range.clone()];
        if operators(inner) > MAX_OPERATORS {
            return Some(tag.range.start);
        }
        let word = inner[2..].trim_start_matches(['-', '+']).trim_start();
        elifs += usize::from(!tag.inserts && word.starts_with("elif"));
        if elifs > MAX_ELIFS {
            return Some(tag.range.start);
        }
    }
    None
}

/// All that is not a name, a string, a number or what stands between the items of a list.
fn operators(tag: &str) -> usize {
    let bytes = tag.as_bytes();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = string_end(bytes, at + 1, quote),
            b if b.is_ascii_alphanumeric() || b == b'_' => {
                let end = word_end(bytes, at, false);
                let word = &tag[at..end];
                count += usize::from(matches!(
                    word,
                    "not" | "and" | "or" | "in" | "is" | "if" | "else"
                ));
                at = end;
            }
            b',' | b':' => at += 1,
            b if b.is_ascii_whitespace() => at += 1,
            _ => {
                count += 1;
                at += 1;
            }
        }
    }
    count
}

/// A tag of a template.
struct Tag {
    range: Range<usize>,
    /// `{{ … }}`
    inserts: bool,
}

/// The names in a template, with their places, and its tags: minijinja tells names, but not where they
/// stand.
fn scan(text: &str) -> (Vec<Used>, Vec<Tag>) {
    let mut used = Vec::new();
    let mut tags = Vec::new();
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
        if at > open + 1 {
            tags.push(Tag {
                range: open..at,
                inserts: rest.starts_with("{{"),
            });
        }
    }
    (used, tags)
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
        let (used, _) = scan(text);
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
    fn tests_are_found() {
        for (text, found) in [
            ("{% if a is defined %}{% endif %}", &["defined"][..]),
            ("{{ a is not none or b is empty }}", &["none", "empty"]),
            ("{% for is in x %}{{ is }} {{ x }}{% endfor %}", &[]),
            ("{{ 'is defined' }} is defined", &[]),
        ] {
            let (used, _) = scan(text);
            let names: Vec<_> = tests(text, &used).map(|test| &*test.name).collect();
            assert_eq!(names, found, "{text}");
        }
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

    #[test]
    fn what_would_overflow_the_stack_is_not_read() {
        for text in [
            format!("{{{{ {}k }}}}", "not ".repeat(100_000)),
            format!("{{{{ k{} }}}}", " ~ k".repeat(100_000)),
            format!("{{{{ k{} }}}}", "|trim".repeat(100_000)),
            format!("{{{{ {}k }}}}", "-".repeat(100_000)),
            format!("{{{{ k{} }}}}", "[0]".repeat(100_000)),
            format!("{{{{ {}1{} }}}}", "[".repeat(100_000), "]".repeat(100_000)),
            format!(
                "{{% if k %}}{}{{% endif %}}",
                "{% elif k %}".repeat(100_000)
            ),
        ] {
            assert!(too_deep(&text).is_some(), "{}", &text[..20]);
        }
        let list = format!(
            "{{% for x in [{}] %}}{{{{ x }}}}{{% endfor %}}",
            "'a', ".repeat(10_000)
        );
        assert!(too_deep(&list).is_none());
        // What is within the limits is read without harm.
        for text in [
            format!("{{{{ {}k }}}}", "not ".repeat(MAX_OPERATORS - 8)),
            format!("{{{{ k{} }}}}", "|trim".repeat(MAX_OPERATORS - 8)),
            format!("{{{{ {}k{} }}}}", "(".repeat(140), ")".repeat(140)),
            format!(
                "{{% if k %}}{}{{% endif %}}",
                "{% elif k %}".repeat(MAX_ELIFS)
            ),
            format!("{}{}", "{% if k %}".repeat(140), "{% endif %}".repeat(140)),
        ] {
            assert!(too_deep(&text).is_none(), "{}", &text[..20]);
            let environment = minijinja::Environment::empty();
            environment
                .template_from_str(&text)
                .map(|template| template.undeclared_variables(true))
                .ok();
        }
    }

    #[test]
    fn insertions_without_a_quoting_filter_are_bare() {
        let found = |text: &str| -> Vec<String> {
            bare(text)
                .0
                .into_iter()
                .map(|bare| bare.expression)
                .collect()
        };
        assert_eq!(
            found("a={{ v }} b={{- db.x | trim -}}"),
            ["v", "db.x | trim"]
        );
        for text in [
            "{{ v | ini }}",
            "{{ v | trim | json }}",
            "{{ v | raw }}",
            "{{ 'x' }}",
            "{% if v %}x{% endif %}",
            "{# {{ v }} #}",
            "{% raw %}{{ v }}{% endraw %}",
        ] {
            assert!(found(text).is_empty(), "{text}");
        }
        assert_eq!(bare("a{{ v }}b{% if v %}c{% endif %}").1, "abc");
    }

    #[test]
    fn names_with_hyphens_are_told_how_to_be_written() {
        assert_eq!(subscript("{{ s.my-key }}", "key").unwrap(), "s['my-key']");
        assert_eq!(
            subscript("{{ s.tls-key.pem }}", "key.pem").unwrap(),
            "s['tls-key.pem']"
        );
        assert!(subscript("{{ a - key }}", "key").is_none());
        assert!(subscript("{{ key }}", "key").is_none());
    }
}
