//! Values that are assigned to the name of a secret: `DB_PASSWORD=…`, `"apiKey": "…"`, `<token>…</token>`,
//! `--password …`, `- name: API_TOKEN` with `value: …` below.

use std::borrow::Cow;

use super::filter;
use super::kind::Kind;
use super::rule::{Look, Matcher, Rule, Severity, Span};

/// How far a name reaches from its keyword.
const NAME: usize = 64;

/// How far a value is from its name, spaces and a type in between.
const GAP: usize = 48;

/// How long a value may be.
const VALUE: usize = 512;

/// Words of a name that say that its value is a secret.
const SECRETS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "pass",
    "pw",
    "secret",
    "token",
    "credential",
    "credentials",
    "apikey",
    "psk",
];

/// What makes a `key` secret.
const KEYS: [&str; 21] = [
    "api",
    "access",
    "secret",
    "private",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "account",
    "master",
    "auth",
    "service",
    "app",
    "shared",
    "storage",
    "hmac",
    "cipher",
    "crypt",
    "license",
    "session",
    "cookie",
];

/// Words that may follow: the value is still the secret.
const FOLLOWS: [&str; 34] = [
    "key",
    "keys",
    "base",
    "value",
    "val",
    "hash",
    "string",
    "str",
    "text",
    "plain",
    "plaintext",
    "raw",
    "default",
    "prod",
    "production",
    "prd",
    "dev",
    "development",
    "staging",
    "stage",
    "live",
    "old",
    "new",
    "next",
    "current",
    "previous",
    "primary",
    "secondary",
    "main",
    "db",
    "root",
    "admin",
    "salt",
    "v",
];

/// The rule.
pub fn rules() -> [Rule; 1] {
    let keywords = [
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "credential",
        "psk",
        "pw=",
        "pw:",
    ];
    [Rule {
        id: Cow::Borrowed("assigned-secret"),
        title: Cow::Borrowed("value assigned to the name of a secret"),
        severity: Severity::Medium,
        keywords: keywords.into_iter().map(Cow::Borrowed).collect(),
        matcher: Matcher::Code(assigned),
        check: |_| true,
        rank: 1,
    }]
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The value that is assigned at a keyword.
fn assigned(look: &Look<'_>) -> Option<Span> {
    if look.kind == Kind::Generated {
        return None;
    }
    let text = look.text;
    let from = look.at.saturating_sub(NAME);
    let before = text[from..look.at]
        .iter()
        .rev()
        .take_while(|byte| is_of_name(**byte))
        .count();
    let to = text.len().min(look.after + NAME);
    let behind = text[look.after..to]
        .iter()
        .take_while(|byte| is_of_name(**byte))
        .count();
    let (start, end) = (look.at - before, look.after + behind);
    if end - start > NAME {
        return None;
    }
    let name = &text[start..end];
    let after = if text.get(end - 1) == Some(&b'.') {
        end - 1
    } else {
        end
    };
    // Most are refused here: what follows assigns nothing.
    let value = value_after(look, start, after)?;
    if !names_secret(name) {
        return None;
    }
    is_secret(look, name, value).then_some(value)
}

/// Whether the words of a name end with those of a secret.
pub fn names_secret(name: &[u8]) -> bool {
    let words = words(name);
    let is = |index: usize, list: &[&str]| {
        words
            .get(index)
            .is_some_and(|word| list.contains(&word.as_str()))
    };
    let last = (0..words.len()).rev().find(|index| {
        let is_key = is(*index, &["key", "keys"]) && *index > 0 && is(*index - 1, &KEYS);
        is(*index, &SECRETS)
            || is_key
            || words[*index].ends_with("password")
            || words[*index].ends_with("secret")
            || words[*index].ends_with("apikey")
            || words[*index].ends_with("passwd")
    });
    let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
    last.is_some_and(|last| {
        let mut rest = words[last + 1..].iter();
        rest.all(|word| FOLLOWS.contains(&word.as_str()) || is_number(word) || word.len() == 1)
    })
}

/// `dbPassword2`, `DB_PASSWORD`, `db-password` as their words in lower case.
fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut begun = false;
    for (index, byte) in name.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| name[index]);
        let turns = before.is_some_and(|before| {
            (byte.is_ascii_uppercase()
                && (before.is_ascii_lowercase()
                    || name.get(index + 1).is_some_and(u8::is_ascii_lowercase)))
                || byte.is_ascii_digit() != before.is_ascii_digit()
        });
        if !byte.is_ascii_alphanumeric() {
            begun = false;
            continue;
        }
        let lower = char::from(byte.to_ascii_lowercase());
        match words.last_mut().filter(|_| begun && !turns) {
            Some(word) => word.push(lower),
            None => words.push(lower.to_string()),
        }
        begun = true;
    }
    words
}

/// The value behind a name that ends at `at`, with what stands between them.
fn value_after(look: &Look<'_>, start: usize, at: usize) -> Option<Span> {
    let text = look.text;
    let mut at = at;
    let limit = text.len().min(at + GAP);
    // `\"password\": `
    at += usize::from(text.get(at) == Some(&b'\\') && text.get(at + 1) == Some(&b'"'));
    let closes = text
        .get(at)
        .copied()
        .filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
    at += usize::from(closes.is_some());
    // `$config['password'] = `, `\"password\": `
    while at < limit && matches!(text[at], b']' | b')' | b'\\' | b'"' | b'\'') && closes.is_some() {
        at += 1;
    }
    let option = text[..start].ends_with(b"--") || text[start..].starts_with(b"--");
    at = skip_spaces(text, at, limit);
    let (mut at, loose) = operator(look, at, start, closes.is_some(), option)?;
    at = skip_spaces(text, at, limit.max(at + GAP).min(text.len()));
    literal(look, at, loose)
}

fn skip_spaces(text: &[u8], at: usize, limit: usize) -> usize {
    at + text[at.min(limit)..limit]
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count()
}

/// Passes an operator; says whether the value may stand without quotes.
fn operator(
    look: &Look<'_>,
    at: usize,
    start: usize,
    quoted: bool,
    option: bool,
) -> Option<(usize, bool)> {
    let rest = &look.text[at..];
    let is_config = look.kind == Kind::Config;
    let starts = |word: &[u8]| rest.starts_with(word);
    if starts(b"==") || starts(b"!=") || starts(b"=~") || starts(b"::") {
        return None;
    }
    for word in [&b":="[..], b"=>", b"?=", b"+=", b"="] {
        if starts(word) {
            return Some((at + word.len(), is_config || (option && word == b"=")));
        }
    }
    if starts(b":") {
        // `password: &str = "…"`, `password: string = "…"`
        let typed = look.kind == Kind::Code && !quoted;
        let skip = if typed {
            type_and_equals(&rest[1..])
        } else {
            0
        };
        return Some((at + 1 + skip, is_config));
    }
    if quoted && starts(b",") {
        return Some((at + 1, false));
    }
    // `"Password" value="…"`, `name="password" value="…"`
    if quoted && (starts(b"value=") || starts(b"Value=")) {
        return Some((at + 6, false));
    }
    // `<password>…`
    if starts(b">") && look.text[..start].ends_with(b"<") {
        return Some((at + 1, true));
    }
    // `- name: DB_PASSWORD` and `value: …` on the next line, as in Kubernetes.
    if is_config {
        let line = rest
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n' | b' ' | b'"' | b'\''))
            .count();
        if line > 0
            && rest[line..].starts_with(b"value:")
            && memchr::memchr(b'\n', &rest[..line]).is_some()
        {
            return Some((at + line + 6, true));
        }
    }
    (option && is_config && look.text.get(at.wrapping_sub(1)) == Some(&b' ')).then_some((at, true))
}

/// `&'static str = `: how long that is; 0: no type and no `=` follow.
fn type_and_equals(rest: &[u8]) -> usize {
    let is_type = |byte: &u8| byte.is_ascii_alphanumeric() || b" &'_<>[]|?:.".contains(byte);
    let length = rest
        .iter()
        .take(GAP)
        .take_while(|byte| is_type(byte))
        .count();
    if length > 2 && rest.get(length) == Some(&b'=') {
        length + 1
    } else {
        0
    }
}

/// A value in quotes, or without them where that is usual.
fn literal(look: &Look<'_>, at: usize, loose: bool) -> Option<Span> {
    let text = look.text;
    let limit = text.len().min(at + VALUE);
    let escaped = usize::from(text.get(at) == Some(&b'\\'));
    let mut open = at + escaped;
    // `b"…"`, `r"…"`, `@"…"`, `u'…'`
    if matches!(
        text.get(open),
        Some(b'b' | b'r' | b'u' | b'@' | b'f' | b'L')
    ) && matches!(text.get(open + 1), Some(b'"' | b'\''))
    {
        open += 1;
    }
    match text.get(open).copied() {
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            let start = open + 1;
            let ends = |byte: &u8| *byte == quote || matches!(byte, b'\n' | b'\r');
            let length = text[start.min(limit)..limit].iter().position(ends)?;
            let end = start + length;
            if text.get(end) != Some(&quote) {
                return None;
            }
            // `\"…\"` within a string.
            let end = end - usize::from(escaped == 1 && text[..end].ends_with(b"\\"));
            (end > start).then_some(Span { start, end })
        }
        Some(_) if loose && escaped == 0 => {
            let is_xml = text[..at].ends_with(b">");
            let ends = |byte: &u8| {
                byte.is_ascii_whitespace() || byte.is_ascii_control() || (is_xml && *byte == b'<')
            };
            let rest = &text[at..limit];
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            let bare = &rest[..length];
            let bare = bare
                .strip_suffix(b",")
                .or_else(|| bare.strip_suffix(b";"))
                .unwrap_or(bare);
            let bare = bare
                .strip_suffix(b"\"")
                .or_else(|| bare.strip_suffix(b"'"))
                .unwrap_or(bare);
            (!bare.is_empty()).then_some(Span {
                start: at,
                end: at + bare.len(),
            })
        }
        _ => None,
    }
}

/// By the kind of file, how much a value has to be like a secret.
fn is_secret(look: &Look<'_>, name: &[u8], value: Span) -> bool {
    let bytes = &look.text[value.start..value.end];
    let is_bare = !matches!(look.text[value.start - 1], b'"' | b'\'' | b'`');
    // What stands without quotes has none of what ends a word of a shell.
    let ends = |byte: &u8| b"()[]{}<>\"'`|".contains(byte) || !byte.is_ascii();
    if bytes.eq_ignore_ascii_case(name)
        || is_bare && (bytes.iter().any(ends) || bytes.starts_with(b"-"))
    {
        return false;
    }
    match look.kind {
        Kind::Config if look.is_test => {
            filter::is_setting(bytes) && (bytes.len() >= 12 && filter::entropy(bytes) >= 3.2)
        }
        Kind::Config => filter::is_setting(bytes) && !bytes.contains(&b' '),
        Kind::Code | Kind::Prose => filter::is_literal(bytes, look.is_test),
        Kind::Generated => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(kind: Kind, text: &str) -> Option<String> {
        let lower = text.to_ascii_lowercase();
        let rule = &rules()[0];
        for keyword in &rule.keywords {
            for (at, word) in lower.match_indices(&**keyword) {
                let look = Look {
                    text: text.as_bytes(),
                    at,
                    after: at + word.len(),
                    kind,
                    is_test: false,
                };
                if let Some(span) = assigned(&look) {
                    return Some(text[span.start..span.end].to_owned());
                }
            }
        }
        None
    }

    #[test]
    fn assignments_of_many_languages_are_read() {
        for (kind, text) in [
            (Kind::Config, "DB_PASSWORD=k3yb0ard-Cat\n"),
            (Kind::Config, "export API_TOKEN='k3yb0ard-Cat'"),
            (Kind::Config, "spring.datasource.password: k3yb0ard-Cat"),
            (Kind::Config, "\"clientSecret\": \"k3yb0ard-Cat\","),
            (Kind::Config, "<password>k3yb0ard-Cat</password>"),
            (
                Kind::Config,
                "<add key=\"Password\" value=\"k3yb0ard-Cat\"/>",
            ),
            (Kind::Config, "- name: DB_PASSWORD\n  value: k3yb0ard-Cat\n"),
            (
                Kind::Config,
                "  - name: DB_PASSWORD\n    value: \"k3yb0ard-Cat\"\n",
            ),
            (Kind::Config, "server --password k3yb0ard-Cat --port 1"),
            (Kind::Code, "let password: &str = \"k3yb0ard-Cat\";"),
            (Kind::Code, "const apiKey = 'k3yb0ard-Cat'"),
            (Kind::Code, "define('DB_PASSWORD', 'k3yb0ard-Cat');"),
            (Kind::Code, "$config['db_password'] = \"k3yb0ard-Cat\";"),
            (Kind::Code, "os.environ[\"API_TOKEN\"] = \"k3yb0ard-Cat\""),
            (Kind::Code, "{\\\"password\\\": \\\"k3yb0ard-Cat\\\"}"),
        ] {
            assert_eq!(find(kind, text).as_deref(), Some("k3yb0ard-Cat"), "{text}");
        }
    }

    #[test]
    fn names_of_other_things_and_expressions_are_not() {
        for (kind, text) in [
            (Kind::Code, "if password == \"k3yb0ard-Cat\" {"),
            (Kind::Code, "let password = read_password1(x)?;"),
            (Kind::Code, "passed = \"k3yb0ard-Cat\""),
            (Kind::Code, "let token_type = \"k3yb0ard-Cat\";"),
            (Kind::Code, "token: Token3::new(),"),
            (Kind::Config, "PASSWORD_FILE=/run/s3crets/db"),
            (Kind::Config, "secretName: my-app-2"),
            (Kind::Config, "password: ${DB_PASSWORD}"),
            (Kind::Config, "keyboard=k3yb0ard-Cat"),
            (Kind::Config, "token_endpoint=https://a.b/c1"),
        ] {
            assert_eq!(find(kind, text), None, "{text}");
        }
    }
}
