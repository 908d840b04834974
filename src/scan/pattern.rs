//! Patterns as Go's regexp writes them, in the syntax of the regex crate: both are RE2's, but for what they
//! take literally.

use regex_automata::util::syntax;

/// The pattern in the syntax of the regex crate.
pub fn translated(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut at = 0;
    // Within brackets: how many characters ago they began.
    let mut class: Option<usize> = None;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        match (c, class) {
            ('\\', _) => {
                match next {
                    // An escape that Go takes for the character itself.
                    Some(
                        plain @ ('<' | '>' | '"' | '\'' | '_' | ':' | ';' | ',' | '=' | '`' | '@'
                        | '!'),
                    ) => out.push(plain),
                    Some(other) => out.extend(['\\', other]),
                    None => out.push('\\'),
                }
                at += 2;
                class = class.map(|age| age + 2);
                continue;
            }
            ('[', None) => {
                out.push('[');
                class = Some(0);
                if next == Some('^') {
                    out.push('^');
                    at += 1;
                }
                if chars.get(at + 1) == Some(&']') {
                    out.push_str("\\]");
                    at += 1;
                }
            }
            ('[', Some(_)) if next == Some(':') => {
                let end = chars[at..].windows(2).position(|pair| pair == [':', ']']);
                let end = end.map_or(at + 1, |length| at + length + 2);
                out.extend(&chars[at..end]);
                at = end;
                continue;
            }
            ('[', Some(_)) => out.push_str("\\["),
            (']', Some(_)) => {
                out.push(']');
                class = None;
            }
            // Set operations of the regex crate.
            ('&' | '~', Some(_)) if next == Some(c) => out.extend(['\\', c]),
            ('-', Some(age)) if next == Some('-') && age > 0 => out.push_str("\\-"),
            ('{', None) if !is_repetition(&chars[at + 1..]) => out.push_str("\\{"),
            _ => out.push(c),
        }
        at += 1;
        class = class.map(|age| age + 1);
    }
    out
}

/// `{3}`, `{3,}`, `{3,5}`
fn is_repetition(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|c| *c == '}') else {
        return false;
    };
    let inner = &rest[..end];
    let digits = inner.iter().take_while(|c| c.is_ascii_digit()).count();
    digits > 0
        && (digits == inner.len()
            || inner[digits] == ',' && inner[digits + 1..].iter().all(char::is_ascii_digit))
}

/// The longest text that a translated pattern matches, if that is bounded.
pub fn longest(text: &str) -> Option<usize> {
    let config = syntax::Config::new().unicode(false).utf8(false);
    let parsed = syntax::parse_with(text, &config).ok()?;
    parsed.properties().maximum_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_literally_is_escaped() {
        for (go, rust) in [
            (r"^\${(?:a)}$", r"^\$\{(?:a)}$"),
            (r"a{3}b{2,}c{1,4}", r"a{3}b{2,}c{1,4}"),
            (r"[^[\]]x", r"[^\[\]]x"),
            (r"[[:alnum:]_-]", r"[[:alnum:]_-]"),
            (r"[]a]", r"[\]a]"),
            (r#"\"a\'"#, "\"a'"),
            (r"[a&&b]", r"[a\&&b]"),
        ] {
            assert_eq!(translated(go), rust);
            assert!(super::super::rule::compile(rust).is_ok(), "{rust}");
        }
        assert_eq!(longest("a{3}b?"), Some(4));
        assert_eq!(longest("a+"), None);
    }
}
