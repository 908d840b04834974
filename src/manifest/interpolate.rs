//! `${NAME}` and `${NAME:-default}` from hushpipe's own environment; `$${` is a plain `${`.

use std::borrow::Cow;
use std::ops::Range;

use crate::model::credentials::is_secret;

/// Why text could not be put together, and which bytes of it are meant.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What.
    pub kind: WrongKind,
}

/// What can be wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum WrongKind {
    /// No `}` follows.
    Unclosed,
    /// What stands between the braces is no name.
    Name(String),
    /// The variable is not set and there is no default.
    Unset(String),
    /// The variable is a credential.
    Credential(String),
}

/// A piece of text.
enum Piece<'t> {
    Plain(&'t str),
    /// `$${`
    Escaped,
    /// Name, default, bytes.
    Variable(&'t str, Option<&'t str>, Range<usize>),
}

/// Puts variables in. All that is wrong is told, not only the first.
pub fn interpolate<'t>(
    text: &'t str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'t, str>, Vec<Wrong>> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    for piece in pieces(text) {
        match piece {
            Ok(Piece::Plain(plain)) => out.push_str(plain),
            Ok(Piece::Escaped) => out.push_str("${"),
            Ok(Piece::Variable(name, _, range)) if is_secret(name.as_bytes()) => {
                let kind = WrongKind::Credential(name.to_owned());
                wrong.push(Wrong { range, kind });
            }
            Ok(Piece::Variable(name, default, range)) => {
                let value =
                    environment(name).filter(|value| default.is_none() || !value.is_empty());
                match (value, default) {
                    (Some(value), _) => out.push_str(&value),
                    (None, Some(default)) => out.push_str(default),
                    (None, None) => wrong.push(Wrong {
                        range,
                        kind: WrongKind::Unset(name.to_owned()),
                    }),
                }
            }
            Err(fault) => wrong.push(fault),
        }
    }
    if wrong.is_empty() {
        Ok(Cow::Owned(out))
    } else {
        Err(wrong)
    }
}

/// The variables that text names, and where.
pub fn variables(text: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
    pieces(text).filter_map(|piece| match piece {
        Ok(Piece::Variable(name, _, range)) => Some((name, range)),
        _ => None,
    })
}

/// For text in which variables cannot stand: `$${` becomes `${`, and each `${` is told.
pub fn unescape(text: &str) -> Result<String, Vec<Range<usize>>> {
    let mut wrong = Vec::new();
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Ok(Piece::Plain(plain)) => out.push_str(plain),
            Ok(Piece::Escaped) => out.push_str("${"),
            Ok(Piece::Variable(_, _, range)) | Err(Wrong { range, .. }) => wrong.push(range),
        }
    }
    if wrong.is_empty() {
        Ok(out)
    } else {
        Err(wrong)
    }
}

fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, Wrong>> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let rest = text.get(position..).filter(|rest| !rest.is_empty())?;
        let start = position;
        if rest.starts_with("$${") {
            position += 3;
            return Some(Ok(Piece::Escaped));
        }
        if !rest.starts_with("${") {
            // No part of a longer character looks like `$`, so both ends are at characters.
            let after = memchr::memchr(b'$', &rest.as_bytes()[1..]);
            let next = after.map_or(rest.len(), |index| index + 1);
            position += next;
            return Some(Ok(Piece::Plain(&rest[..next])));
        }
        let Some(end) = rest.find('}') else {
            position = text.len();
            let range = start..start + 2;
            let kind = WrongKind::Unclosed;
            return Some(Err(Wrong { range, kind }));
        };
        position += end + 1;
        Some(variable(&rest[2..end], start..position))
    })
}

fn variable(inner: &str, range: Range<usize>) -> Result<Piece<'_>, Wrong> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let mut bytes = name.bytes();
    let starts = bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if starts && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(Piece::Variable(name, default, range));
    }
    let kind = WrongKind::Name(name.to_owned());
    Err(Wrong { range, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, Vec<WrongKind>> {
        let environment = |name: &str| match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        interpolate(text, &environment)
            .map(Cow::into_owned)
            .map_err(|wrong| wrong.into_iter().map(|wrong| wrong.kind).collect())
    }

    #[test]
    fn variables_are_put_in() {
        assert_eq!(
            run("x ${HOST}:5432 é${HOST}").as_deref(),
            Ok("x db:5432 édb")
        );
        assert_eq!(run("${NO:-a b}").as_deref(), Ok("a b"));
        assert_eq!(run("${NO:-}").as_deref(), Ok(""));
        assert_eq!(run("${EMPTY}|${EMPTY:-x}").as_deref(), Ok("|x"));
        assert_eq!(run("$HOST $ ${HOST}$").as_deref(), Ok("$HOST $ db$"));
        assert_eq!(run("é$é").as_deref(), Ok("é$é"));
    }

    #[test]
    fn an_escape_stays_text() {
        assert_eq!(run("$${HOST} $$ ${HOST}").as_deref(), Ok("${HOST} $$ db"));
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let unset = |name: &str| WrongKind::Unset(name.to_owned());
        assert_eq!(run("${A} ${B}"), Err(vec![unset("A"), unset("B")]));
        assert_eq!(run("${A-B}"), Err(vec![WrongKind::Name("A-B".to_owned())]));
        assert_eq!(run("${}"), Err(vec![WrongKind::Name(String::new())]));
        assert_eq!(run("x ${A"), Err(vec![WrongKind::Unclosed]));
    }

    #[test]
    fn ranges_are_bytes_of_the_text() {
        let wrong = interpolate("é ${NO}", &|_| None).unwrap_err();
        assert_eq!(wrong[0].range, 3..8);
    }

    #[test]
    fn unescape_tells_each_variable() {
        assert_eq!(unescape("a $${B} $"), Ok("a ${B} $".to_owned()));
        assert_eq!(unescape("${A} ${B:-x}"), Err(vec![0..4, 5..12]));
    }
}
