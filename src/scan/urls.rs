//! Credentials in addresses and connection strings.

use std::borrow::Cow;

use super::filter;
use super::rule::{Look, Matcher, Rule, Severity, Span};

/// How long the part before an `@` may be.
const LONGEST: usize = 512;

/// The rules of this file.
pub fn rules() -> [Rule; 3] {
    let rule = |id, title, keywords: &[&'static str], find| Rule {
        id: Cow::Borrowed(id),
        title: Cow::Borrowed(title),
        severity: Severity::High,
        keywords: keywords.iter().map(|word| Cow::Borrowed(*word)).collect(),
        matcher: Matcher::Code(find),
        check: |_| true,
        rank: 2,
    };
    [
        rule("url-password", "password in an address", &["://"], userinfo),
        rule(
            "connection-string",
            "password in a connection string",
            &["password=", "pwd=", "accesskey="],
            connection,
        ),
        rule(
            "jdbc-oracle",
            "password in a JDBC address",
            &["jdbc:oracle:thin:"],
            oracle,
        ),
    ]
}

/// Users and passwords of documentation.
const SHOWN: [&str; 16] = [
    "pass",
    "password",
    "passwd",
    "pwd",
    "pw",
    "secret",
    "user",
    "username",
    "p",
    "x",
    "xxx",
    "foo",
    "bar",
    "token",
    "login",
    "credentials",
];

/// `scheme://user:password@host` (RFC 3986, 3.2.1).
fn userinfo(look: &Look<'_>) -> Option<Span> {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+.-".contains(byte);
    let before = look.text[..look.at]
        .iter()
        .rev()
        .take_while(|byte| is_scheme(byte))
        .count();
    if before < 2 {
        return None;
    }
    let rest = &look.text[look.after..look.text.len().min(look.after + LONGEST)];
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace() || b"\"'`<>\\,;(){}|".contains(byte) || byte.is_ascii_control()
    };
    let authority = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    let at = memchr::memrchr(
        b'@',
        &authority[..authority
            .iter()
            .position(|byte| *byte == b'?')
            .unwrap_or(authority.len())],
    )?;
    let colon = memchr::memchr(b':', &authority[..at])?;
    let (user, password) = (&authority[..colon], &authority[colon + 1..at]);
    let host = &authority[at + 1..];
    // `http://host:80/@name`, `//a:b/c@d`
    let is_path = memchr::memchr(b'/', user).is_some()
        || password
            .iter()
            .position(|byte| *byte == b'/')
            .is_some_and(|slash| password[..slash].iter().all(u8::is_ascii_digit));
    if is_path || host.is_empty() || !is_password(user, password, host, look.is_test) {
        return None;
    }
    let start = look.after + colon + 1;
    Some(Span {
        start,
        end: start + password.len(),
    })
}

fn is_password(user: &[u8], password: &[u8], host: &[u8], is_test: bool) -> bool {
    let text = String::from_utf8_lossy(password).to_ascii_lowercase();
    let is_shown = SHOWN.contains(&text.as_str())
        || filter::is_placeholder(password)
        || filter::is_reference(password);
    let is_doc = memchr::memmem::find(host, b"example").is_some()
        || host.starts_with(b"host") && !host.contains(&b'.');
    let has_other = password.iter().any(|byte| !byte.is_ascii_lowercase());
    let least = if is_test { 12 } else { 6 };
    password.len() >= least
        && !is_shown
        && !is_doc
        && !password.eq_ignore_ascii_case(user)
        && has_other
        && !filter::is_name(password)
        && !password.contains(&b'*')
}

/// `…;Password=…;`, `?user=a&password=…`: one of several parts of a string.
fn connection(look: &Look<'_>) -> Option<Span> {
    let separator = look.text[..look.at]
        .iter()
        .rev()
        .find(|byte| **byte != b' ')?;
    if !matches!(separator, b';' | b'&' | b'?') {
        return None;
    }
    let rest = &look.text[look.after..look.text.len().min(look.after + LONGEST)];
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b";&\"'`<>\\,)".contains(byte);
    let value = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    let is_good = if look.is_test {
        filter::is_literal(value, true)
    } else {
        filter::is_setting(value)
    };
    is_good.then_some(Span {
        start: look.after,
        end: look.after + value.len(),
    })
}

/// `jdbc:oracle:thin:user/password@host`
fn oracle(look: &Look<'_>) -> Option<Span> {
    let rest = &look.text[look.after..look.text.len().min(look.after + LONGEST)];
    let at = rest.iter().position(|byte| *byte == b'@')?;
    let slash = rest[..at].iter().position(|byte| *byte == b'/')?;
    let password = &rest[slash + 1..at];
    let is_one = !password.iter().any(u8::is_ascii_whitespace) && filter::is_setting(password);
    let start = look.after + slash + 1;
    is_one.then_some(Span {
        start,
        end: start + password.len(),
    })
}
