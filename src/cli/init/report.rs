//! What was done, told in lines with a word in front; and how paths are written there.

use std::path::Path;

use crate::model::printable::{printable, printable_path};

/// The lines of a report.
#[derive(Debug, Default)]
pub struct Report(Vec<String>);

impl Report {
    /// A line about something.
    pub fn line(&mut self, about: &str, text: &str) {
        self.0.push(format!("{about:<9} {}\n", printable(text)));
    }

    /// More about the line before.
    pub fn more(&mut self, text: &str) {
        self.line("", text);
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.0.concat()
    }
}

/// A path in a sentence.
pub fn shown(path: &Path) -> String {
    printable_path(path)
}

/// A path in a command for a shell; what is not UTF-8 in it cannot be shown.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with(['-', '~']) {
        return text.into_owned();
    }
    if text.chars().any(char::is_control) {
        // bash, zsh and ksh read it; sh has no way to write it in one line.
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '\'' | '\\' => format!("\\{c}"),
                c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_of_a_shell_and_move_no_cursor() {
        for (path, word) in [
            ("a/.env", "a/.env"),
            ("a b", "'a b'"),
            ("it's ${HOME}", r"'it'\''s ${HOME}'"),
            ("~", "'~'"),
            ("a\nb'\u{1b}", r"$'a\x0ab\'\x1b'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
        assert_eq!(shown(Path::new("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }
}
