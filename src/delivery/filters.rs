//! The filters of templates: each writes a value so that its reader gets back exactly the value,
//! or refuses what that reader has no way to write.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::dotenv::{self, Quotes, Style};
use crate::secret::SecretBytes;

/// Adds every filter of `model::template::FILTERS`.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("b64encode", |value: &Value| {
        bytes(value).map(|bytes| STANDARD.encode(bytes))
    });
    environment.add_filter("dotenv", |value: &Value, options: Kwargs| {
        dotenv_value(value, &options)
    });
    environment.add_filter("hex", hex);
    environment.add_filter("indent", indent);
    environment.add_filter("ini", ini);
    environment.add_filter("json", json);
    environment.add_filter("lower", |value: &Value| text(value).map(str::to_lowercase));
    environment.add_filter("pg", pg);
    environment.add_filter("pgpass", pgpass);
    environment.add_filter("replace", |value: &Value, from: &str, to: &str| {
        text(value).map(|text| text.replace(from, to))
    });
    environment.add_filter("shell", shell);
    environment.add_filter("trim", |value: &Value| {
        text(value).map(|text| text.trim().to_owned())
    });
    environment.add_filter("upper", |value: &Value| text(value).map(str::to_uppercase));
    environment.add_filter("urlencode", urlencode);
}

/// Why a value was refused: a text that was made here, with nothing of the value in it. It is the
/// source of minijinja's error, by which it is told from texts that may quote the template.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) &'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refusal {}

pub(super) fn refused(why: &'static str) -> Error {
    Error::from(ErrorKind::InvalidOperation).with_source(Refusal(why))
}

/// The text of a value. Numbers that a template computed are not worth a filter.
fn text(value: &Value) -> Result<&str, Error> {
    match value.kind() {
        ValueKind::String => value.as_str().ok_or_else(|| refused(NOT_TEXT)),
        ValueKind::Bytes => Err(refused(NOT_TEXT)),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::Map => Err(refused("a secret with fields: name one of them")),
        _ => Err(refused("the filter takes a secret's value")),
    }
}

/// What the message says of a value that is not text.
pub(super) const NOT_TEXT: &str = "a value is not UTF-8 text";

fn bytes(value: &Value) -> Result<&[u8], Error> {
    match value.kind() {
        ValueKind::Bytes => value.as_bytes().ok_or_else(|| refused(NOT_TEXT)),
        _ => text(value).map(str::as_bytes),
    }
}

/// Refuses what a quoting cannot carry.
fn without(text: &str, excluded: &[char], why: &'static str) -> Result<(), Error> {
    if text.contains(excluded) {
        return Err(refused(why));
    }
    Ok(())
}

/// Writes `text` with a backslash before each of `escaped`.
fn backslashed(text: &str, escaped: &[char], room: usize) -> String {
    let mut out = String::with_capacity(2 * text.len() + room);
    for c in text.chars() {
        if escaped.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// RFC 4648, section 4, with or without padding, white space at the ends ignored.
fn b64decode(value: &Value) -> Result<Value, Error> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = GeneralPurpose::new(&ALPHABET, lenient)
        .decode(text(value)?.trim())
        .map_err(|_| refused("b64decode: the value is not base64"))?;
    Ok(String::from_utf8(decoded)
        .map_or_else(|error| Value::from_bytes(error.into_bytes()), Value::from))
}

/// A value in a .env file. `expand=true` leaves `$NAME` in it to the reader; `quotes='single'` or
/// `'double'` is what it has if it can; `written=` is a secret with the fields `value` and `text`: as
/// long as the value is that one, it is written as that text.
fn dotenv_value(value: &Value, options: &Kwargs) -> Result<String, Error> {
    let expand = options.get::<Option<bool>>("expand")?.unwrap_or(false);
    let quotes = match options.get::<Option<&str>>("quotes")? {
        None => None,
        Some("single") => Some(Quotes::Single),
        Some("double") => Some(Quotes::Double),
        Some(_) => return Err(refused("dotenv: `quotes` is 'single' or 'double'")),
    };
    let written = options.get::<Option<Value>>("written")?;
    options.assert_all_used()?;
    let value = text(value)?;
    if let Some(written) = written
        && let Some(text) = as_written(value, &written)?
    {
        return Ok(text);
    }
    dotenv::write(value, Style { expand, quotes }).map_err(refused)
}

fn as_written(value: &str, written: &Value) -> Result<Option<String>, Error> {
    let (of, as_text) = (written.get_attr("value")?, written.get_attr("text")?);
    let (Some(of), Some(as_text)) = (of.as_str(), as_text.as_str()) else {
        return Err(refused(
            "dotenv: `written` is a secret with the fields `value` and `text`",
        ));
    };
    let bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    Ok(bytes(of).same(&bytes(value)).then(|| as_text.to_owned()))
}

fn hex(value: &Value) -> Result<String, Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = bytes(value)?;
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            out.push(DIGITS[usize::from(half)].into());
        }
    }
    Ok(out)
}

/// Each line but the first and the empty ones moved right, for a block in YAML.
fn indent(value: &Value, width: usize, first: Option<bool>) -> Result<String, Error> {
    if width > 1024 {
        return Err(refused("indent: the width is at most 1024"));
    }
    let first = first.unwrap_or(false);
    let lines = text(value)?.split('\n').enumerate().map(|(index, line)| {
        if line.is_empty() || (index == 0 && !first) {
            Cow::Borrowed(line)
        } else {
            Cow::Owned(format!("{:width$}{line}", ""))
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// A double-quoted value as git-config(1) and MySQL's option files read it. Other readers of INI
/// files differ: PHP expands `${…}`, Python's configparser knows no quotes.
fn ini(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if !text.chars().all(plain) {
        return Err(refused(
            "ini: no control characters but newline and tab can be written",
        ));
    }
    let quoted = backslashed(text, &['\\', '"'], 2);
    Ok(format!(
        "\"{}\"",
        quoted.replace('\n', "\\n").replace('\t', "\\t")
    ))
}

/// RFC 8259: a string, or an object of a secret's fields.
fn json(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Map => {
            for key in value.try_iter()? {
                text(&value.get_item(&key)?)?;
            }
        }
        ValueKind::Number | ValueKind::Bool | ValueKind::None => {}
        _ => {
            text(value)?;
        }
    }
    serde_json::to_string(value).map_err(|_| refused("json: the value cannot be written"))
}

/// A libpq connection string's value: PostgreSQL's documentation, 34.1.1.1.
fn pg(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    without(text, &['\0'], "pg: NUL cannot be written")?;
    Ok(format!("'{}'", backslashed(text, &['\\', '\''], 2)))
}

/// A field of `.pgpass`: PostgreSQL's documentation, 34.16. A lone `*` would match anything, and a
/// leading `#` would make a comment: both are escaped.
fn pgpass(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let why = "pgpass: line breaks and NUL cannot be written";
    without(text, &['\n', '\r', '\0'], why)?;
    if text == "*" || text.starts_with('#') {
        return Ok(format!("\\{}", backslashed(text, &['\\', ':'], 1)));
    }
    Ok(backslashed(text, &['\\', ':'], 0))
}

/// One word of a POSIX shell, 2.2.2.
fn shell(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    without(text, &['\0'], "shell: NUL cannot be written")?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// RFC 3986, 2.1: everything but unreserved characters.
fn urlencode(value: &Value) -> Result<String, Error> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = bytes(value)?;
    let mut out = String::with_capacity(3 * bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push((*byte).into());
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.push(DIGITS[usize::from(half)].into());
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Awkward text, without NUL and line breaks.
    const AWKWARD: &str = r#"a'b"c\d$e`f:g *#%{}[]é&=;~!?<>|()	x"#;

    fn filtered(value: &str, expression: &str) -> Result<String, Option<ErrorKind>> {
        let mut environment = Environment::empty();
        add_to(&mut environment);
        let source = format!("{{{{ v | {expression} }}}}");
        let template = environment.template_from_str(&source).unwrap();
        let context = Value::from_pairs([("v", value)]);
        template.render(context).map_err(|error| Some(error.kind()))
    }

    #[test]
    fn base64_and_hex_are_those_of_everyone() {
        assert_eq!(filtered("fooba", "b64encode").unwrap(), "Zm9vYmE=");
        assert_eq!(filtered(" Zm9vYmE\n", "b64decode").unwrap(), "fooba");
        assert_eq!(filtered("Zm9vYmE=", "b64decode").unwrap(), "fooba");
        assert!(filtered("Zm9*", "b64decode").is_err());
        assert_eq!(filtered("aé", "hex").unwrap(), "61c3a9");
    }

    #[test]
    fn a_url_carries_any_value() {
        assert_eq!(filtered("AZaz09-._~", "urlencode").unwrap(), "AZaz09-._~");
        assert_eq!(
            filtered("p@ss/w?d é+%", "urlencode").unwrap(),
            "p%40ss%2Fw%3Fd%20%C3%A9%2B%25"
        );
    }

    #[test]
    fn json_is_read_back_the_same() {
        for value in ["", AWKWARD, "a\nb\0c\u{1f}\u{2028}</script>"] {
            let json = filtered(value, "json").unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
        }
        let fields = Value::from_pairs([("a", "1"), ("b", "\"")]);
        assert_eq!(json(&fields).unwrap(), r#"{"a":"1","b":"\""}"#);
    }

    #[test]
    fn a_shell_reads_back_the_same_word() {
        for value in ["", AWKWARD, "a\nb\n", "''", "\\"] {
            let word = filtered(value, "shell").unwrap();
            #[allow(clippy::disallowed_methods)]
            let output = Command::new("sh")
                .args(["-c", &format!("printf %s {word}")])
                .output()
                .unwrap();
            assert_eq!(output.stdout, value.as_bytes());
        }
        assert!(filtered("a\0b", "shell").is_err());
    }

    /// As libpq's passwordFromFile and pwdfMatchesString read a line: a backslash takes the next
    /// character as it is, a bare colon ends the field.
    fn pgpass_field(line: &str) -> (String, &str) {
        let (mut field, mut rest) = (String::new(), line.chars());
        while let Some(c) = rest.next() {
            match c {
                '\\' => field.extend(rest.next()),
                ':' => break,
                c => field.push(c),
            }
        }
        (field, rest.as_str())
    }

    #[test]
    fn libpq_reads_back_a_field_of_pgpass() {
        for value in ["", AWKWARD, "*", "#x", "\\", ":", "a:b\\:c"] {
            let line = format!("{}:rest", filtered(value, "pgpass").unwrap());
            assert_eq!(pgpass_field(&line), (value.to_owned(), "rest"));
            assert!(!line.starts_with('#') && !line.starts_with("*:"));
        }
        assert!(filtered("a\nb", "pgpass").is_err());
        assert!(filtered("a\r", "pgpass").is_err());
    }

    #[test]
    fn a_connection_string_is_quoted_as_libpq_wants_it() {
        assert_eq!(filtered(r"a'b\c d", "pg").unwrap(), r"'a\'b\\c d'");
        assert_eq!(filtered("", "pg").unwrap(), "''");
        assert!(filtered("a\0", "pg").is_err());
    }

    #[test]
    fn git_reads_back_a_value_of_an_ini_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        for value in ["", AWKWARD, "a\nb", " ; # "] {
            let line = format!("[s]\n\tk = {}\n", filtered(value, "ini").unwrap());
            std::fs::write(&path, line).unwrap();
            #[allow(clippy::disallowed_methods)]
            let output = Command::new("git")
                .args(["config", "-z", "--file", path.to_str().unwrap(), "s.k"])
                .output()
                .unwrap();
            assert_eq!(output.stdout, format!("{value}\0").as_bytes());
        }
        assert!(filtered("a\rb", "ini").is_err());
    }

    #[test]
    fn a_dotenv_file_is_quoted_as_all_its_readers_want_it() {
        assert_eq!(filtered("a b", "dotenv").unwrap(), "'a b'");
        assert_eq!(filtered("a $b", "dotenv(expand=true)").unwrap(), "\"a $b\"");
        assert!(filtered("it's $5", "dotenv").is_err());
        assert!(filtered("a", "dotenv(expanded=true)").is_err());
    }

    #[test]
    fn text_is_trimmed_replaced_and_indented() {
        assert_eq!(filtered(" a b\n", "trim").unwrap(), "a b");
        assert_eq!(filtered("aB", "upper").unwrap(), "AB");
        assert_eq!(filtered("aB", "lower").unwrap(), "ab");
        assert_eq!(filtered("a-b", "replace('-', '_')").unwrap(), "a_b");
        assert_eq!(filtered("a\nb\n\nc", "indent(2)").unwrap(), "a\n  b\n\n  c");
        assert_eq!(filtered("a\nb", "indent(2, true)").unwrap(), "  a\n  b");
        assert!(filtered("a", "indent(99999999)").is_err());
    }
}
