//! A failure as the person at the terminal sees it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use super::{Globals, LogFormat, Palette, Stream};
use crate::app;
use crate::app::columns_of_stderr;
use crate::model::Exit;

/// How a command ends: an exit code of its own, or a failure to report on stderr.
pub type Outcome = Result<Exit, Failure>;

/// Whether a limit of this process is at the end of the causes.
fn runs_out_of_files(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
        (*error).source()
    })
    .filter_map(|error| error.downcast_ref::<std::io::Error>())
    .any(|error| error.raw_os_error() == Some(libc::EMFILE))
}

/// A message of a command as an object of the log, with what every object of it has.
pub fn log_object(level: &str, event: &str, message: &str) -> serde_json::Value {
    let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
    serde_json::json!({
        "time": now.to_string(), "level": level, "event": event, "message": message,
    })
}

const PREFIX: &str = "hushpipe: error:";

/// Lines for people are at most this wide, also on wider terminals.
pub(super) const WIDEST: usize = 100;

/// A message in lines of a width, which break at spaces: at the last `: ` or `; ` where that makes it two
/// lines, the cause and the cure; never within backquotes, as that is to be copied. Further lines are
/// indented. Pipes and files get messages in one line, for grep.
pub(super) fn wrapped(line: &str, width: usize, indent: &str) -> String {
    let length = |text: &str| text.chars().count();
    if length(line) <= width {
        return line.to_owned();
    }
    let mut quoted = false;
    let breaks: Vec<usize> = line
        .char_indices()
        .filter(|&(at, c)| {
            quoted ^= c == '`';
            c == ' ' && !quoted && !line[..at].trim().is_empty()
        })
        .map(|(at, _)| at)
        .collect();
    let fits = |at: &&usize| length(&line[..**at]) <= width;
    let ends_a_clause = |at: &&usize| line[..**at].ends_with([':', ';']) && **at > PREFIX.len();
    let in_two = breaks
        .iter()
        .rev()
        .filter(ends_a_clause)
        .filter(fits)
        .find(|at| length(&line[**at + 1..]) + length(indent) <= width);
    let last = breaks.iter().rev().find(fits).or_else(|| breaks.first());
    let Some(&at) = in_two.or(last) else {
        return line.to_owned();
    };
    let rest = wrapped(&format!("{indent}{}", &line[at + 1..]), width, indent);
    format!("{}\n{rest}", &line[..at])
}

/// What failed, and hushpipe's exit code for it.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    /// Already rendered, one or many lines, the first without prefix.
    text: String,
    /// How it looks on a terminal, prefix and all, where that is more than the text.
    shown: Option<String>,
}

impl Failure {
    /// From a room's error: its message, then each cause on a line of its own.
    pub fn new(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str("\n  cause: ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        if runs_out_of_files(error) {
            text.push_str("\n  help: raise the limit of open files (ulimit -n, LimitNOFILE=)");
        }
        Self {
            exit,
            text,
            shown: None,
        }
    }

    /// From text made here.
    pub fn text(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            shown: None,
        }
    }

    /// With its text as it is to be shown.
    #[must_use]
    pub fn map(mut self, shown: impl FnOnce(&str) -> String) -> Self {
        self.text = shown(&self.text);
        self
    }

    /// With a form of its own for people, such as excerpts of a file; `text` is for machines.
    pub const fn shown(exit: Exit, text: String, shown: String) -> Self {
        Self {
            exit,
            text,
            shown: Some(shown),
        }
    }

    /// Several faults, reported in one go; the first one's code counts.
    pub fn many(failures: Vec<Self>) -> Option<Self> {
        let exit = failures.first()?.exit;
        let texts: Vec<String> = failures.into_iter().map(|failure| failure.text).collect();
        Some(Self {
            exit,
            text: texts.join("\n"),
            shown: None,
        })
    }

    /// Every fault that `app` found, in one report.
    pub fn found(failures: &app::Failures) -> Self {
        let all = failures
            .iter()
            .map(|failure| Self::new(failure.exit, &*failure.error));
        Self::many(all.collect())
            .unwrap_or_else(|| Self::text(Exit::Internal, "a fault without a text"))
    }

    /// The exit code.
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes it to stderr. A closed stderr is no reason to fail differently.
    pub fn report(&self, globals: Globals) {
        if std::io::stderr()
            .write_all(self.render(globals).as_bytes())
            .is_err()
        {
            // Nobody is left to tell; the exit code says it.
        }
    }

    /// As it is written to stderr.
    pub fn render(&self, globals: Globals) -> String {
        let mut out = String::new();
        match globals.log_format {
            LogFormat::Text if self.shown.is_some() => {
                out.extend(self.shown.as_deref());
                out.push('\n');
            }
            LogFormat::Text => {
                let palette = Palette::of(Stream::Stderr);
                let width = columns_of_stderr().map(|columns| columns.clamp(40, WIDEST));
                for line in self.text.split('\n') {
                    let is_more = line.starts_with(' ');
                    let line = match (is_more, width) {
                        (_, None) => line.to_owned(),
                        (true, Some(width)) => wrapped(line, width, "    "),
                        (false, Some(width)) => wrapped(&format!("{PREFIX} {line}"), width, "  ")
                            [PREFIX.len() + 1..]
                            .to_owned(),
                    };
                    let written = if is_more {
                        writeln!(out, "{line}")
                    } else {
                        let (on, off) = (palette.error(), palette.reset());
                        writeln!(out, "{on}{PREFIX}{off} {line}")
                    };
                    written.expect("writing to a String does not fail");
                }
            }
            LogFormat::Json => {
                let mut object = log_object("error", "failed", &self.text);
                object["exit"] = self.exit.code().into();
                writeln!(out, "{object}").expect("writing to a String does not fail");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_two_lines_the_cause_and_the_cure() {
        let message = "hushpipe: error: store local: others can write to /srv/project/values/of/mine (mode \
                       0777): chmod o-w /srv/project/values/of/mine";
        assert_eq!(
            wrapped(message, WIDEST, "  "),
            "hushpipe: error: store local: others can write to /srv/project/values/of/mine (mode 0777):\n  \
             chmod o-w /srv/project/values/of/mine"
        );
        assert_eq!(
            wrapped("hushpipe: error: short", WIDEST, "  "),
            "hushpipe: error: short"
        );
    }

    #[test]
    fn no_command_and_no_word_is_broken() {
        let message = format!(
            "{} `run this command with its arguments` {}",
            "word ".repeat(6),
            "x".repeat(50)
        );
        let lines = wrapped(&message, 40, "  ");
        assert!(
            lines.contains("`run this command with its arguments`"),
            "{lines}"
        );
        assert!(lines.contains(&"x".repeat(50)), "{lines}");
        let again: Vec<&str> = lines.split_whitespace().collect();
        assert_eq!(again, message.split_whitespace().collect::<Vec<_>>());
        // No break is possible.
        assert_eq!(wrapped(&"x".repeat(200), 100, "  ").len(), 200);
    }
}
