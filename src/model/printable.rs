//! Text of others on its way to a terminal: names, messages and answers come from manifests, servers and
//! other processes.

use std::path::Path;

/// Whether a character acts on a terminal, or changes how those around it are shown: control
/// characters, and those of Unicode that are not seen or turn the direction of writing.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text in one line, with escapes for what [`acts`].
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A path as [`printable`] text. What is not UTF-8 is replaced.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// One word of a command for a shell, to show or to copy.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('~') {
        return text.to_owned();
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
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(
            printable("a\u{1b}[2J\u{9b}1A\u{202e}b\u{e0041}\u{7f}é\n"),
            r"a\u{1b}[2J\u{9b}1A\u{202e}b\u{e0041}\u{7f}é\n"
        );
    }

    #[test]
    fn words_of_a_shell_are_one_each() {
        for (text, word) in [
            ("a/.env", "a/.env"),
            ("--flag", "--flag"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's ${HOME}", r"'it'\''s ${HOME}'"),
            ("~", "'~'"),
            ("a\nb'\u{1b}", r"$'a\x0ab\'\x1b'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
