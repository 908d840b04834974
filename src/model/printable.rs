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
}
