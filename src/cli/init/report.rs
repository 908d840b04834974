//! What was done, told in lines with a word in front; and how paths are written there.

use std::path::Path;

use crate::model::printable::{printable, printable_path, shell_word};

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
    shell_word(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_move_no_cursor() {
        assert_eq!(shown(Path::new("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }
}
