//! What was done, told in lines with a word in front.

/// The lines of a report.
#[derive(Debug, Default)]
pub struct Report(Vec<String>);

impl Report {
    /// A line about something.
    pub fn line(&mut self, about: &str, text: &str) {
        self.0.push(format!("{about:<9} {text}\n"));
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
