//! The filters of templates: each writes a value so that its reader gets back exactly the value,
//! or refuses what that reader has no way to write.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::dotenv::{self, Quotes, Style};
use super::items::{self, Notes};
use crate::secret::SecretBytes;

/// Adds every filter of `model::template::FILTERS`.
pub(super) fn add_to(environment: &mut Environment<'_>, notes: &Arc<Notes>) {
    environment.add_filter("b64decode", bytes_or_text(notes, b64decode));
    environment.add_filter("b64encode", plain(notes, b64encode));
    let own = Arc::clone(notes);
    environment.add_filter("dotenv", move |value: &Value, options: Kwargs| {
        own.see_line_end(value);
        dotenv_value(&own.plain(value), &options)
    });
    environment.add_filter("hex", plain(notes, hex));
    let own = Arc::clone(notes);
    let indented = move |value: &Value, width: usize, first: Option<bool>| {
        indent(&own.plain(value), width, first)
    };
    environment.add_filter("indent", indented);
    environment.add_filter("ini", quoting(notes, ini));
    let own = Arc::clone(notes);
    environment.add_filter("json", move |value: &Value| {
        own.see_line_end(value);
        let mut out = String::new();
        json(value, &own, &mut out, 0).map(|()| out)
    });
    environment.add_filter(
        "lower",
        plain(notes, |value| text(value).map(str::to_lowercase)),
    );
    environment.add_filter("pg", quoting(notes, pg));
    environment.add_filter("pgpass", quoting(notes, pgpass));
    environment.add_filter("properties", quoting(notes, properties));
    environment.add_filter("raw", Value::clone);
    let own = Arc::clone(notes);
    environment.add_filter("replace", move |value: &Value, from: &str, to: &str| {
        text(&own.plain(value)).map(|text| text.replace(from, to))
    });
    environment.add_filter("shell", quoting(notes, shell));
    environment.add_filter("sql", quoting(notes, sql));
    environment.add_filter(
        "trim",
        plain(notes, |value| Ok(text(value)?.trim().to_owned())),
    );
    environment.add_filter(
        "upper",
        plain(notes, |value| text(value).map(str::to_uppercase)),
    );
    environment.add_filter("urlencode", quoting(notes, urlencode));
    environment.add_filter("xml", quoting(notes, xml));
}

/// A filter that takes numbers, booleans, lists and objects by their text.
fn plain(
    notes: &Arc<Notes>,
    filter: fn(&Value) -> Result<String, Error>,
) -> impl Fn(&Value) -> Result<String, Error> + Send + Sync + 'static {
    bytes_or_text(notes, filter)
}

fn bytes_or_text<T: 'static>(
    notes: &Arc<Notes>,
    filter: fn(&Value) -> Result<T, Error>,
) -> impl Fn(&Value) -> Result<T, Error> + Send + Sync + 'static {
    let notes = Arc::clone(notes);
    move |value| filter(&notes.plain(value))
}

/// The same, for those whose reader takes a line end as part of the value.
fn quoting(
    notes: &Arc<Notes>,
    filter: fn(&Value) -> Result<String, Error>,
) -> impl Fn(&Value) -> Result<String, Error> + Send + Sync + 'static {
    let notes = Arc::clone(notes);
    move |value| {
        notes.see_line_end(value);
        filter(&notes.plain(value))
    }
}

/// Why a value was refused: a text that was made here, with nothing of the value in it. It is the
/// source of minijinja's error, by which it is told from texts that may quote the template.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) &'static str);

pub(super) fn refused(why: &'static str) -> Error {
    Error::from(ErrorKind::InvalidOperation).with_source(Refusal(why))
}

/// The text of a value. Numbers that a template computed are not worth a filter.
fn text(value: &Value) -> Result<&str, Error> {
    match value.kind() {
        ValueKind::String => value.as_str().ok_or_else(|| refused(NOT_TEXT)),
        ValueKind::Bytes => Err(refused(NOT_TEXT)),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        _ if items::record(value).is_some() => {
            Err(refused("a secret with fields: name one of them"))
        }
        ValueKind::None => Err(refused("null is no value")),
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

fn b64encode(value: &Value) -> Result<String, Error> {
    bytes(value).map(|bytes| STANDARD.encode(bytes))
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

/// Lists and maps that a template makes can hold each other.
const MAX_DEPTH: usize = 128;

/// RFC 8259. What a store had as JSON keeps its types, and its numbers their text.
fn json(value: &Value, notes: &Notes, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(refused("json: nested too deeply"));
    }
    if let Some(text) = items::json_text(value) {
        rewrite(text, out);
        return Ok(());
    }
    if let Some(record) = items::record(value) {
        let fields = record.fields().iter();
        let fields = fields.map(|(name, item)| (Cow::Borrowed(&**name), item.clone()));
        return object(fields, notes, out, depth);
    }
    match value.kind() {
        ValueKind::Number | ValueKind::Bool => {
            let text = notes.text(value);
            out.push_str(&text.ok_or_else(|| refused("json: a number without end"))?);
        }
        ValueKind::None => out.push_str("null"),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json(&item, notes, out, depth + 1)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            let mut members = Vec::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                let key = notes.plain(&key);
                members.push((Cow::Owned(text(&key)?.to_owned()), item));
            }
            object(members.into_iter(), notes, out, depth)?;
        }
        _ => quote(text(value)?, out),
    }
    Ok(())
}

fn object<'m>(
    members: impl Iterator<Item = (Cow<'m, str>, Value)>,
    notes: &Notes,
    out: &mut String,
    depth: usize,
) -> Result<(), Error> {
    out.push('{');
    for (index, (name, item)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(&name, out);
        out.push(':');
        json(&item, notes, out, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

/// A JSON string. What JSON takes as it is, but YAML, TOML or JavaScript do not, is escaped.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes all that is written");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// JSON text once more, its strings as [`quote`] writes them: a store may have `\/` or halves of
/// characters, which YAML does not know. Everything else is as it was.
fn rewrite(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        out.push_str(&rest[..start]);
        let bytes = rest.as_bytes();
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let (string, after) = rest.split_at((end + 1).min(rest.len()));
        match serde_json::from_str::<Cow<'_, str>>(&string[start..]) {
            Ok(string) => quote(&string, out),
            Err(_) => out.push_str(&string[start..]),
        }
        rest = after;
    }
    out.push_str(rest);
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
    let why = "pgpass: line breaks and NUL cannot be written; a line end at the end of the value goes \
               away with `trim: true` on the secret";
    without(text, &['\n', '\r', '\0'], why)?;
    if text == "*" || text.starts_with('#') {
        return Ok(format!("\\{}", backslashed(text, &['\\', ':'], 1)));
    }
    Ok(backslashed(text, &['\\', ':'], 0))
}

/// java.util.Properties.load: a value, or a part of a key without spaces. Only ASCII, so that it is the
/// same in ISO 8859-1 and UTF-8.
fn properties(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let mut out = String::with_capacity(text.len() + 16);
    let start = text.len() - text.trim_start_matches(' ').len();
    let end = text.trim_end_matches(' ').len();
    for (at, c) in text.char_indices() {
        match c {
            // Leading white space is passed over, and trailing spaces are easily lost.
            ' ' if at < start || at >= end => out.push_str("\\u0020"),
            '\\' | ':' | '=' | '#' | '!' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}").expect("a String takes all that is written");
                }
            }
        }
    }
    Ok(out)
}

/// A string literal of ISO 9075. A backslash is an escape to MySQL, and none to PostgreSQL.
fn sql(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let why = "sql: backslashes and NUL cannot be written for all databases alike";
    without(text, &['\\', '\0'], why)?;
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// Text, or an attribute's value in quotes of either kind: XML 1.0, 2.2 to 2.4 and 3.3.3. Line ends and
/// tabs are references, which no reader normalizes; so is what is not ASCII, for any encoding.
fn xml(value: &Value) -> Result<String, Error> {
    let text = text(value)?;
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            ' '..='~' => out.push(c),
            '\t' | '\n' | '\r' | '\u{7f}'..='\u{fffd}' | '\u{10000}'.. => {
                write!(out, "&#{};", u32::from(c)).expect("a String takes all that is written");
            }
            _ => {
                return Err(refused(
                    "xml: the value has a character that XML 1.0 cannot carry",
                ));
            }
        }
    }
    Ok(out)
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
        add_to(&mut environment, &Arc::default());
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
        assert_eq!(
            filtered("1", "json and ({'a': [1, true, v]} | json)").unwrap(),
            r#"{"a":[1,true,"1"]}"#
        );
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

    /// Feeds a Python script; gives what it prints.
    #[allow(clippy::disallowed_methods)]
    fn python(script: &str, input: &str) -> String {
        use std::io::Write as _;
        let mut child = Command::new("python3")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    const HOSTILE: [&str; 9] = [
        "",
        AWKWARD,
        " lead",
        "\ttab\r\nline\n",
        "trail  ",
        "é\u{20ac}\u{1f600}",
        "#!:=\\",
        "]]>&amp;<!--",
        "a\u{85}\u{2028}b\u{7f}",
    ];

    #[test]
    fn an_xml_parser_reads_back_text_and_attributes() {
        let script = "import sys, json, xml.etree.ElementTree as t\n\
                      e = t.fromstring(sys.stdin.read())\n\
                      print(json.dumps([e.get('a'), e.get('b'), e.text or '']))";
        for value in HOSTILE {
            let xml = filtered(value, "xml").unwrap();
            assert!(xml.is_ascii());
            let read = python(script, &format!("<e a=\"{xml}\" b='{xml}'>{xml}</e>"));
            let read: Vec<String> = serde_json::from_str(&read).unwrap();
            assert_eq!(read, [value; 3]);
        }
        for refused in ["\0", "a\u{1b}", "\u{ffff}", "\u{fffe}", "\u{b}"] {
            assert!(filtered(refused, "xml").is_err());
        }
    }

    /// As java.util.Properties.load0 and loadConvert read a line.
    fn properties_line(line: &str) -> (String, String) {
        let mut units: Vec<u16> = Vec::new();
        let mut key = None;
        let mut chars = line
            .trim_start_matches([' ', '\t', '\u{c}'])
            .chars()
            .peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next().unwrap() {
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        units.push(u16::from_str_radix(&digits, 16).unwrap());
                    }
                    'n' => units.push(10),
                    'r' => units.push(13),
                    't' => units.push(9),
                    'f' => units.push(12),
                    c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
                },
                '=' | ':' | ' ' if key.is_none() => {
                    key = Some(String::from_utf16(&units).unwrap());
                    units.clear();
                    let mut separated = c != ' ';
                    while let Some(next) = chars.peek().copied() {
                        match next {
                            ' ' | '\t' => {}
                            '=' | ':' if !separated => separated = true,
                            _ => break,
                        }
                        chars.next();
                    }
                }
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        (key.unwrap(), String::from_utf16(&units).unwrap())
    }

    #[test]
    fn java_reads_back_a_property() {
        for value in HOSTILE.into_iter().chain(["\0\u{c}\u{1b}", "  ", "\\"]) {
            let written = filtered(value, "properties").unwrap();
            assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            for separator in ["=", " = ", ":", " "] {
                let line = format!("key{separator}{written}");
                assert_eq!(properties_line(&line), ("key".to_owned(), value.to_owned()));
            }
        }
    }

    #[test]
    fn sql_reads_back_a_string() {
        let script = "import sys, sqlite3\n\
                      c = sqlite3.connect(':memory:').execute('select ' + sys.stdin.read())\n\
                      sys.stdout.buffer.write(c.fetchone()[0].encode())";
        for value in ["", "it's", "''", "a\nb; drop table x; --", "é\""] {
            assert_eq!(python(script, &filtered(value, "sql").unwrap()), value);
        }
        assert!(filtered("a\\", "sql").is_err() && filtered("\0", "sql").is_err());
    }

    #[test]
    fn json_strings_are_those_of_yaml_and_toml_too() {
        for value in HOSTILE {
            let json = filtered(value, "json").unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), value);
            let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{feff}');
            assert!(!json.contains(odd), "{json}");
        }
    }
}
