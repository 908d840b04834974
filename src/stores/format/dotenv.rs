//! `NAME=value` lines, as .env files have them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::{FormatError, MAX_ENTRIES, What, without_mark};
use crate::model::ValueFormat;
use crate::secret::SecretBytes;

/// Reads `NAME=value` lines, in their order.
///
/// - `export ` before a name, empty lines and lines that start with `#` are passed over; a byte
///   order mark at the start and CR LF as line ends are taken as what they are.
/// - Unquoted: to the end of the line or to a `#` after white space, without white space around it;
///   nothing in it is special.
/// - `'…'`: as it is, over many lines if need be.
/// - `"…"`: the same, but `\n`, `\r`, `\t`, `\"`, `\\`, `\$` and `` \` `` mean what they mean in C
///   and sh, and a `\` at the end of a line joins it with the next; before anything else a `\`
///   stands for itself.
/// - `$` is never replaced: values may contain it.
/// - A name that is there twice is a fault.
pub fn dotenv(bytes: &SecretBytes) -> Result<Vec<(String, SecretBytes)>, FormatError> {
    let entries = dotenv_entries(bytes)?.into_iter();
    Ok(entries.map(|entry| (entry.name, entry.value)).collect())
}

/// A `NAME=value` as it stands in its file.
pub struct Entry {
    /// The name.
    pub name: String,
    /// The value that is meant.
    pub value: SecretBytes,
    /// What comes before the value on its line: white space, `export`, the name, the `=`.
    pub lead: Range<usize>,
    /// The value, with its quotes.
    pub written: Range<usize>,
    /// Where the line ends on which the value does, at its newline or at the end of the file.
    pub end: usize,
    /// Whether it has a `$` that other readers may take for the start of a variable: one that
    /// neither single quotes nor a backslash protect.
    pub expands: bool,
}

/// As [`dotenv()`], with all there is to know of each entry.
pub fn dotenv_entries(bytes: &SecretBytes) -> Result<Vec<Entry>, FormatError> {
    let all = bytes.expose();
    let mut reader = Reader {
        rest: without_mark(all),
        line: 1,
        expands: false,
    };
    let mut lines = BTreeMap::new();
    let mut entries = Vec::new();
    while reader.skip_to_name() {
        let line = reader.line;
        if entries.len() == MAX_ENTRIES {
            return Err(fault(line, What::TooMany));
        }
        let name_at = all.len() - reader.rest.len();
        reader.skip_export();
        let name = reader.name()?;
        if let Some(first) = lines.insert(name.clone(), line) {
            return Err(fault(line, What::DuplicateName { first }));
        }
        reader.expands = false;
        let start = all.len() - reader.rest.len();
        let (value, after) = reader.value()?;
        entries.push(Entry {
            name,
            value: SecretBytes::new(value),
            lead: line_start(all, name_at)..start,
            written: start..all.len() - after,
            end: all.len() - reader.rest.len(),
            expands: reader.expands,
        });
    }
    Ok(entries)
}

/// Where the line of an offset starts, after a byte order mark.
fn line_start(all: &[u8], at: usize) -> usize {
    let mark = all.len() - without_mark(all).len();
    memchr::memrchr(b'\n', &all[..at]).map_or(mark, |newline| newline + 1)
}

const fn fault(line: usize, what: What) -> FormatError {
    FormatError {
        format: ValueFormat::Dotenv,
        line,
        column: None,
        what,
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    line: usize,
    expands: bool,
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

impl<'a> Reader<'a> {
    /// Takes bytes while they fit.
    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().take_while(|byte| fits(**byte)).count();
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *first == b'\n' {
            self.line += 1;
        }
        Some(*first)
    }

    /// Passes over white space, empty lines and comments; false at the end.
    fn skip_to_name(&mut self) -> bool {
        loop {
            match self.rest.first() {
                None => return false,
                Some(b' ' | b'\t' | b'\r' | b'\n') => {
                    self.next();
                }
                Some(b'#') => {
                    self.take_while(|byte| byte != b'\n');
                }
                Some(_) => return true,
            }
        }
    }

    fn skip_export(&mut self) {
        if let Some(rest) = self.rest.strip_prefix(b"export")
            && rest.first().is_some_and(|byte| is_blank(*byte))
        {
            self.rest = rest;
            self.take_while(is_blank);
        }
    }

    /// `NAME=`, with the white space around it.
    fn name(&mut self) -> Result<String, FormatError> {
        let name = self
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if !name
            .first()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        {
            return Err(fault(self.line, What::BadName));
        }
        self.take_while(is_blank);
        match self.rest.split_first() {
            Some((b'=', rest)) => self.rest = rest,
            _ => return Err(fault(self.line, What::NoEquals)),
        }
        self.take_while(is_blank);
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// The value, and how many bytes of the file come after it.
    fn value(&mut self) -> Result<(Vec<u8>, usize), FormatError> {
        match self.rest.first() {
            Some(quote @ (b'\'' | b'"')) => self.quoted(*quote),
            _ => Ok(self.unquoted()),
        }
    }

    fn unquoted(&mut self) -> (Vec<u8>, usize) {
        let before = self.rest.len();
        let line = self.take_while(|byte| byte != b'\n');
        // `A= # comment`: the white space was passed over with the `=`.
        let comment = if line.first() == Some(&b'#') {
            0
        } else {
            line.windows(2)
                .position(|pair| is_blank(pair[0]) && pair[1] == b'#')
                .unwrap_or(line.len())
        };
        let value = line[..comment].trim_ascii_end();
        self.expands = value.contains(&b'$');
        (value.to_vec(), before - value.len())
    }

    fn quoted(&mut self, quote: u8) -> Result<(Vec<u8>, usize), FormatError> {
        let opened = self.line;
        self.next();
        let closes = self.rest.iter().position(|byte| *byte == quote);
        let mut value = Vec::with_capacity(closes.unwrap_or(0));
        loop {
            match self.next() {
                None => return Err(fault(opened, What::Unterminated)),
                Some(byte) if byte == quote => break,
                Some(b'\\') if quote == b'"' => self.escape(&mut value),
                // The line ends of the file are not those of the value.
                Some(b'\r') if self.rest.first() == Some(&b'\n') => {}
                Some(byte) => {
                    self.expands |= byte == b'$' && quote == b'"';
                    value.push(byte);
                }
            }
        }
        let after = self.rest.len();
        self.take_while(|byte| is_blank(byte) || byte == b'\r');
        match self.rest.first() {
            None | Some(b'\n' | b'#') => {
                self.take_while(|byte| byte != b'\n');
                Ok((value, after))
            }
            Some(_) => Err(fault(self.line, What::AfterQuote)),
        }
    }

    /// What a `\` within double quotes stands for.
    fn escape(&mut self, value: &mut Vec<u8>) {
        let (meaning, length) = match self.rest {
            [b'n', ..] => (Some(b'\n'), 1),
            [b'r', ..] => (Some(b'\r'), 1),
            [b't', ..] => (Some(b'\t'), 1),
            [byte @ (b'"' | b'\\' | b'$' | b'`'), ..] => (Some(*byte), 1),
            [b'\n', ..] => (None, 1),
            [b'\r', b'\n', ..] => (None, 2),
            _ => (Some(b'\\'), 0),
        };
        value.extend(meaning);
        for _ in 0..length {
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: impl AsRef<[u8]>) -> Vec<(String, Vec<u8>)> {
        dotenv(&SecretBytes::new(text.as_ref().to_vec()))
            .ok()
            .unwrap()
            .into_iter()
            .map(|(name, value)| (name, value.expose().to_vec()))
            .collect()
    }

    fn one(text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut pairs = pairs(text);
        assert_eq!(pairs.len(), 1);
        pairs.remove(0).1
    }

    fn message(text: &str) -> String {
        dotenv(&SecretBytes::new(text.as_bytes().to_vec()))
            .err()
            .unwrap()
            .to_string()
    }

    #[test]
    fn lines_are_read_in_their_order() {
        let text = "\u{feff}# a comment\r\nB=2\r\n\r\n  export A = 'x y' # why\n_c.d-e=\n";
        let expected = [("B", "2"), ("A", "x y"), ("_c.d-e", "")];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        assert_eq!(pairs(text), expected);
        assert!(pairs("").is_empty());
        assert!(pairs("\n# only this").is_empty());
    }

    #[test]
    fn unquoted_values_end_with_the_line_or_a_comment() {
        for (text, value) in [
            ("A=b", "b"),
            ("A= b c \t\r\n", "b c"),
            ("A=b#c", "b#c"),
            ("A=b #c", "b"),
            ("A=#c", ""),
            ("A= # c", ""),
            ("A=p$ss${HOME}\\n", "p$ss${HOME}\\n"),
            ("A=a=b=", "a=b="),
            ("A=it's \"so\"", "it's \"so\""),
            ("export=1", "1"),
            ("exported=1", "1"),
        ] {
            assert_eq!(one(text), value.as_bytes(), "{text:?}");
        }
        assert_eq!(one(b"A=\xff\xfe"), b"\xff\xfe");
    }

    #[test]
    fn quotes_keep_what_is_in_them() {
        for (text, value) in [
            ("A=''", ""),
            ("A=' b '", " b "),
            ("A='a\\n$b\"#'", "a\\n$b\"#"),
            (r#"A="a\n\t\"\\\$\`b""#, "a\n\t\"\\$`b"),
            (r#"A="c:\dir$HOME""#, "c:\\dir$HOME"),
            ("A=\"one\ntwo\"", "one\ntwo"),
            ("A=\"one\r\ntwo\r\n\"\r\n", "one\ntwo\n"),
            ("A=\"one\\\ntwo\"", "onetwo"),
            ("A=\"one\\\r\ntwo\"", "onetwo"),
            ("A='one\ntwo'#c", "one\ntwo"),
            ("A=\"b\"  # \"c\"", "b"),
        ] {
            assert_eq!(one(text), value.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn an_entry_knows_where_it_stands_and_whether_others_would_expand_it() {
        let text = "\u{feff}# c $x\nexport A = 'b $c' # $\r\nB= x$y  # d\nC=\"\\$1\ntwo\"\n\n  D=\"$e\"\nE=";
        let entries = dotenv_entries(&SecretBytes::new(text.as_bytes().to_vec()));
        let found: Vec<_> = entries
            .ok()
            .unwrap()
            .into_iter()
            .map(|entry| {
                let after = &text[entry.written.end..entry.end];
                (
                    &text[entry.lead],
                    &text[entry.written],
                    after,
                    entry.expands,
                )
            })
            .collect();
        let expected = [
            ("export A = ", "'b $c'", " # $\r", false),
            ("B= ", "x$y", "  # d", true),
            ("C=", "\"\\$1\ntwo\"", "", false),
            ("  D=", "\"$e\"", "", true),
            ("E=", "", "", false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_counted_over_quotes() {
        assert!(message("A=\"1\n2\\\n3\"\nA=4").contains("line 4: the name of line 1"));
    }

    #[test]
    fn faults_say_the_line_and_never_the_content() {
        for (text, expected) in [
            ("\nhunter2", "line 2: a `=` is expected"),
            ("hunter2 x=1", "line 1: a `=` is expected"),
            ("A=1\n=hunter2", "line 2: a name is expected"),
            ("1A=hunter2", "line 1: a name is expected"),
            ("\u{e9}=hunter2", "line 1: a name is expected"),
            ("A=\"hunter2\n\n", "line 1: the quote that opens here"),
            ("A='hunter2", "line 1: the quote that opens here"),
            ("A=\"1\n2\"hunter2", "line 2: something follows"),
            (
                "hunter2=1\nhunter2=2",
                "line 2: the name of line 1 is there again",
            ),
        ] {
            let message = message(text);
            let start = format!("not usable as NAME=value lines: {expected}");
            assert!(message.starts_with(&start), "{text:?}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_in_quotes_is_read_back(value in "[^\r]*") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("A=\"{quoted}\"\nB=1");
            prop_assert_eq!(&pairs(text)[0].1, value.as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Err(error) = dotenv(&SecretBytes::new(bytes)) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
