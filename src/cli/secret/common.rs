//! What the `secret` commands have in common.

use std::io::Write as _;

use clap::ValueEnum;

use crate::app::sealed::SealedError;
use crate::cli::failure::log_object;
use crate::cli::table::{cells, heads, table};
use crate::cli::{Failure, Globals, LogFormat, Outcome, Palette, Stream};
use crate::model::{Exit, ValueFormat};
use crate::stores::sealed::{Key, KeyError};

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FieldFormat {
    /// A JSON object
    Json,
    /// NAME=value lines
    Dotenv,
}

impl FieldFormat {
    /// As stores read it.
    pub const fn value(self) -> ValueFormat {
        match self {
            Self::Json => ValueFormat::Json,
            Self::Dotenv => ValueFormat::Dotenv,
        }
    }
}

/// Standard output without a buffer that keeps a value.
pub fn unbuffered() -> Result<std::fs::File, Failure> {
    use std::os::fd::AsFd;
    let fd = std::io::stdout().as_fd().try_clone_to_owned();
    fd.map(std::fs::File::from)
        .map_err(|error| Failure::new(Exit::Os, &error))
}

/// A table with heads.
pub fn listing(names: &[&str], rows: &[Vec<String>]) -> String {
    let palette = Palette::of(Stream::Stdout);
    let mut all = vec![heads(names, palette)];
    all.extend(cells(rows));
    table(&all, 0, palette)
}

/// The name of a secret that is there.
pub fn key(name: &str) -> Result<Key, Failure> {
    Key::parse(name).map_err(|error| bad_name(name, error))
}

/// The name of a secret that is made.
pub fn new_key(name: &str) -> Result<Key, Failure> {
    Key::new(name).map_err(|error| bad_name(name, error))
}

/// Somebody typed a value: it is not repeated, and cannot be taken back.
pub const TYPED_VALUE: &str = "\
a value cannot be an argument: others can read it there, and the shell keeps it. Nothing was stored
  help: give the name alone and type the value at the prompt, or pipe it in; replace the value you typed";

/// Why a text is no name.
pub fn bad_name(name: &str, error: KeyError) -> Failure {
    if name.contains('=') {
        return Failure::text(Exit::Usage, TYPED_VALUE);
    }
    let text = format!("{name:?} cannot be the name of a secret: {error}");
    Failure::text(Exit::Usage, text)
}

/// With the exit code of an operation.
pub fn stored<T>(outcome: Result<T, impl Into<SealedError>>) -> Result<T, Failure> {
    outcome.map_err(|error| failure(&error.into()))
}

/// With its exit code.
pub fn failure(error: &SealedError) -> Failure {
    Failure::new(error.exit(), error)
}

/// What was done goes to stderr, so that standard output is for values and lists.
pub fn say(globals: Globals, text: &str) -> Outcome {
    if !globals.quiet {
        let line = match globals.log_format {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json => format!("{}\n", log_object("info", "done", text)),
        };
        std::io::stderr()
            .write_all(line.as_bytes())
            .map_err(|error| Failure::new(Exit::Os, &error))?;
    }
    Ok(Exit::Ok)
}

/// `2 versions`
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
