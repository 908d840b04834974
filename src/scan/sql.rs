//! Passwords in SQL, and hashes of passwords wherever settings are.

use std::borrow::Cow;

use super::filter;
use super::kind::Kind;
use super::rule::{Look, Matcher, Rule, Severity, Span};

/// The rules of this file.
pub fn rules() -> [Rule; 2] {
    let rule = |id, title, severity, keywords: &[&'static str], find| Rule {
        id: Cow::Borrowed(id),
        title: Cow::Borrowed(title),
        severity,
        keywords: keywords.iter().map(|word| Cow::Borrowed(*word)).collect(),
        matcher: Matcher::Code(find),
        check: |_| true,
        rank: 2,
    };
    let hashes = [
        "$2y$",
        "$2a$",
        "$2b$",
        "$5$",
        "$6$",
        "$y$",
        "$argon2id$",
        "$apr1$",
        "scram-sha-256$",
    ];
    [
        rule(
            "sql-password",
            "password in SQL",
            Severity::High,
            &["identified by", "password '", "password('"],
            statement,
        ),
        rule(
            "password-hash",
            "password hash",
            Severity::Medium,
            &hashes,
            hash,
        ),
    ]
}

/// `IDENTIFIED BY '…'`, `PASSWORD '…'`, `PASSWORD('…')`; not what is hashed already.
fn statement(look: &Look<'_>) -> Option<Span> {
    let from = look.after - usize::from(look.text[look.after - 1] == b'\'');
    let rest = &look.text[from..look.text.len().min(from + 256)];
    let open = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'('))
        .count();
    let quote = *rest.get(open)?;
    let value = &rest[open + 1..];
    let length = matches!(quote, b'\'' | b'"').then(|| memchr::memchr(quote, value))??;
    let value = &value[..length];
    let is_good = match look.kind {
        Kind::Config => filter::is_setting(value),
        _ => filter::is_literal(value, look.is_test),
    };
    let start = from + open + 1;
    let is_one = is_good && !value.contains(&b'\n') && !value.starts_with(b"*");
    is_one.then_some(Span {
        start,
        end: start + length,
    })
}

/// A whole hash of crypt(5), Apache or PostgreSQL.
fn hash(look: &Look<'_>) -> Option<Span> {
    if look.kind != Kind::Config || look.is_test {
        return None;
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"$./,=+:-".contains(byte);
    let rest = &look.text[look.at..look.text.len().min(look.at + 256)];
    let length = rest.iter().take_while(|byte| is_part(byte)).count();
    let text = &rest[..length];
    let scram = look.text[look.at..look.after].eq_ignore_ascii_case(b"scram-sha-256$");
    let colon = memchr::memchr(b':', text)
        .filter(|_| !scram)
        .unwrap_or(length);
    let text = &text[..colon];
    let is_one = (filter::is_hash(text) || scram && length > 80)
        && filter::entropy(text) > 4.0
        && !filter::is_placeholder(text);
    is_one.then_some(Span {
        start: look.at,
        end: look.at + colon,
    })
}
