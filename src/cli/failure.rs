//! A failure as the person at the terminal sees it.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use super::{Globals, LogFormat, Palette, Stream};
use crate::app;
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
                for line in self.text.split('\n') {
                    let written = if line.starts_with(' ') {
                        writeln!(out, "{line}")
                    } else {
                        let (on, off) = (palette.error(), palette.reset());
                        writeln!(out, "{on}hushpipe: error:{off} {line}")
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
