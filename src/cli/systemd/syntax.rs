//! Unit files, systemd.syntax(7): sections, assignments, comments and continued lines. As systemd
//! itself does, it passes over what is not one of these.

use std::collections::BTreeMap;

/// A unit's settings, from its file and its drop-ins, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// By section and name; all assignments of each, an empty one among them as well.
    assignments: BTreeMap<(String, String), Vec<String>>,
}

impl Settings {
    /// Adds a file.
    pub fn add(&mut self, text: &str) {
        let mut section = None;
        for line in joined(text) {
            let line = line.trim();
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                section = Some(name.to_owned());
                continue;
            }
            let (Some(section), Some((name, value))) = (&section, line.split_once('=')) else {
                continue;
            };
            let key = (section.clone(), name.trim_end().to_owned());
            let values = self.assignments.entry(key).or_default();
            values.push(value.trim_start().to_owned());
        }
    }

    /// A list: an empty assignment takes away what was there before.
    pub fn list(&self, section: &str, name: &str) -> Vec<&str> {
        let key = (section.to_owned(), name.to_owned());
        let all = self.assignments.get(&key).map_or(&[][..], Vec::as_slice);
        let after = all.iter().rposition(String::is_empty);
        let left = &all[after.map_or(0, |at| at + 1)..];
        left.iter().map(String::as_str).collect()
    }

    /// A single value: the last assignment; an empty one takes it away.
    pub fn value(&self, section: &str, name: &str) -> Option<&str> {
        self.list(section, name).last().copied()
    }

    /// Whether it says something about one of the settings that the other one is about.
    pub fn sets_any_of(&self, other: &Self) -> bool {
        let mut names = self.assignments.keys();
        names.any(|name| other.assignments.contains_key(name))
    }

    /// `Type=forking`
    pub fn is_forking(&self) -> bool {
        self.value("Service", "Type") == Some("forking")
    }

    /// Whether it is set to one of the words for yes; `None`: it is not set, or to something else.
    pub fn boolean(&self, section: &str, name: &str) -> Option<bool> {
        match self.value(section, name)?.to_ascii_lowercase().as_str() {
            "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
            "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
            _ => None,
        }
    }
}

/// Lines without comments. One that ends with a backslash goes on in the next that is no comment, and
/// the backslash is a space.
fn joined(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun: Option<String> = None;
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        let start = line.trim_start();
        if start.starts_with(['#', ';']) {
            continue;
        }
        let whole = match begun.take() {
            Some(before) => before + line,
            None => start.to_owned(),
        };
        if ends_escaped(&whole) {
            begun = Some(whole[..whole.len() - 1].to_owned() + " ");
        } else if !whole.trim().is_empty() {
            lines.push(whole);
        }
    }
    lines.extend(begun);
    lines
}

/// Whether the last character is a backslash that is not escaped itself.
fn ends_escaped(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(texts: &[&str]) -> Settings {
        let mut settings = Settings::default();
        for text in texts {
            settings.add(text);
        }
        settings
    }

    #[test]
    fn comments_continued_lines_and_spaces_are_as_in_the_manual() {
        // The example of systemd.syntax(7), and some.
        let settings = settings(&["[Section A]\n\
            KeyOne=value 1\n\
            KeyTwo=value 2\n\
            \n\
            # a comment\n\
            [Section B]\n\
            Setting=\"something\" \"some thing\" \"…\"\n\
            KeyTwo=value 2 \\\n       value 2 continued\n\
            \n\
            [Section C]\n\
            KeyThree=value 3\\\n\
            # this line is ignored\n\
            ; this line is ignored too\n       \
            value 3 continued\n\
              Indented = x \n\
            no assignment\n\
            Even=\\\\\n\
            Last=y\\"]);
        assert_eq!(settings.value("Section A", "KeyOne"), Some("value 1"));
        assert_eq!(
            settings.value("Section B", "Setting"),
            Some("\"something\" \"some thing\" \"…\"")
        );
        assert_eq!(
            settings.value("Section B", "KeyTwo"),
            Some("value 2         value 2 continued")
        );
        assert_eq!(
            settings.value("Section C", "KeyThree"),
            Some("value 3        value 3 continued")
        );
        assert_eq!(settings.value("Section C", "Indented"), Some("x"));
        assert_eq!(settings.value("Section C", "Even"), Some("\\\\"));
        assert_eq!(settings.value("Section C", "Last"), Some("y"));
        assert_eq!(settings.value("Section C", "no assignment"), None);
        assert_eq!(settings.value("Section A", "Setting"), None);
    }

    #[test]
    fn later_files_add_to_lists_and_an_empty_value_begins_anew() {
        let one = "[Service]\nExecStart=/a\nType=forking\nPIDFile=/run/a.pid\n";
        let two = "[Service]\nExecStart=/b\nType=notify\nPIDFile=\n";
        let three = "[Service]\nExecStart=\nExecStart=/c\n";
        let both = settings(&[one, two]);
        assert_eq!(both.list("Service", "ExecStart"), ["/a", "/b"]);
        assert_eq!(both.value("Service", "Type"), Some("notify"));
        assert_eq!(both.value("Service", "PIDFile"), None);
        let all = settings(&[one, two, three]);
        assert_eq!(all.list("Service", "ExecStart"), ["/c"]);
    }

    #[test]
    fn words_for_yes_and_no() {
        let settings = settings(&["[S]\na=YES\nb=off\nc=maybe\n"]);
        assert_eq!(settings.boolean("S", "a"), Some(true));
        assert_eq!(settings.boolean("S", "b"), Some(false));
        assert_eq!(settings.boolean("S", "c"), None);
        assert_eq!(settings.boolean("S", "d"), None);
    }

    #[test]
    fn what_stands_before_a_section_is_passed_over() {
        assert_eq!(settings(&["\u{feff}A=1\n=\n"]), Settings::default());
        let settings = settings(&["\u{feff}[S]\nA=1\r\n"]);
        assert_eq!(settings.value("S", "A"), Some("1"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(\\[S\\]|A=|\\\\|\n|#|;|[ a=\\[\\]\"'\u{e9}]){0,60}") {
            let mut settings = Settings::default();
            settings.add(&text);
            for value in settings.list("S", "A") {
                prop_assert!(!value.is_empty() && !value.contains('\n'));
            }
        }
    }
}
