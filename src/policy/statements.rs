//! Where each policy of a file begins and ends, so that each is parsed, and reported, by itself.
//!
//! The words of Cedar's grammar that may hold a `;` are strings in double quotes, in which a backslash
//! escapes the next character, and comments from `//` to the end of the line
//! (<https://docs.cedarpolicy.com/policies/syntax-grammar.html>).

/// A policy's text, from its first word to its `;`, and the byte of the file where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'t> {
    pub start: usize,
    pub text: &'t str,
}

/// The policies of a file, in their order. What follows the last `;` is one as well, if there is
/// anything: to parse it says what is missing.
pub fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = end_of_comment(bytes, at);
                continue;
            }
            b'"' => {
                start.get_or_insert(at);
                at = end_of_string(bytes, at);
                continue;
            }
            b';' => {
                let start = start.take().unwrap_or(at);
                let text = &text[start..=at];
                found.push(Statement { start, text });
            }
            byte if !byte.is_ascii_whitespace() => {
                start.get_or_insert(at);
            }
            _ => {}
        }
        at += 1;
    }
    if let Some(start) = start {
        let text = text[start..].trim_end();
        found.push(Statement { start, text });
    }
    found
}

/// Where a comment that begins there ends.
pub fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    start + length.unwrap_or(rest.len())
}

/// The byte after the closing quote; the end of the text where there is none.
pub fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => return at,
            b'\\' => at += 1,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        statements(text).into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn strings_and_comments_may_hold_semicolons() {
        let text = "// a; b\n@id(\"x;\\\"y\")\npermit (principal, action, resource); // c;\r// d;\nforbid (a)\n  // e;\n;";
        let found = statements(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].text,
            "@id(\"x;\\\"y\")\npermit (principal, action, resource);"
        );
        assert_eq!(found[1].text, "forbid (a)\n  // e;\n;");
        for one in found {
            assert!(text[one.start..].starts_with(one.text));
        }
    }

    #[test]
    fn what_does_not_end_is_a_statement_as_well() {
        assert_eq!(texts("a;\n b \n"), ["a;", "b"]);
        assert_eq!(texts("a \"b;"), ["a \"b;"]);
        assert_eq!(texts("\"\\"), ["\"\\"]);
        assert_eq!(texts(";"), [";"]);
        assert_eq!(texts(" \n// only\n"), Vec::<&str>::new());
        assert_eq!(texts("é\u{2003};"), ["é\u{2003};"]);
    }
}
