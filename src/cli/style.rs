//! Colour, only on a terminal and only where NO_COLOR (no-color.org) is not set.

use std::io::IsTerminal;

/// Where text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// ANSI sequences, or empty text where there is no colour.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    colour: bool,
}

impl Palette {
    /// For a stream of this process.
    pub fn of(stream: Stream) -> Self {
        let terminal = match stream {
            Stream::Stdout => std::io::stdout().is_terminal(),
            Stream::Stderr => std::io::stderr().is_terminal(),
        };
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !refused,
        }
    }

    /// Whether there is colour.
    pub const fn is_colour(self) -> bool {
        self.colour
    }

    const fn sequence(self, sequence: &'static str) -> &'static str {
        if self.colour { sequence } else { "" }
    }

    /// Starts what is an error.
    pub const fn error(self) -> &'static str {
        self.sequence("\x1b[1;31m")
    }

    /// Starts what is a warning.
    pub const fn warning(self) -> &'static str {
        self.sequence("\x1b[1;33m")
    }

    /// Starts what is good.
    pub const fn good(self) -> &'static str {
        self.sequence("\x1b[32m")
    }

    /// Starts a heading.
    pub const fn heading(self) -> &'static str {
        self.sequence("\x1b[1m")
    }

    /// Starts what matters less.
    pub const fn dim(self) -> &'static str {
        self.sequence("\x1b[2m")
    }

    /// Ends any of them.
    pub const fn reset(self) -> &'static str {
        self.sequence("\x1b[0m")
    }
}
