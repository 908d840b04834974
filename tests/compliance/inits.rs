//! The three inits, and how each is told what a case asks for.

use std::fmt;
use std::time::Duration;

use super::running::Started;
use crate::harness::{Place, deadline, is_long};

/// An init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    Tini,
    /// dumb-init.
    Dumb,
    Hushpipe,
}

impl Init {
    /// In the order of the table's columns.
    pub const ALL: [Self; 3] = [Self::Tini, Self::Dumb, Self::Hushpipe];

    /// Whether cases are put to it.
    pub fn is_asked(self) -> bool {
        self == Self::Hushpipe || is_long() || std::env::var_os("UPDATE_GOLDEN").is_some()
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tini => "tini",
            Self::Dumb => "dumb-init",
            Self::Hushpipe => "hushpipe",
        })
    }
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Somebody's child; the reaper of orphans, if it can be told to.
    Child,
    /// PID 1 of a PID namespace.
    Pid1,
}

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum To {
    Program,
    Group,
}

/// What a case is put to.
pub struct Subject {
    pub init: Init,
    pub position: Position,
    /// What the table says that it does.
    pub expected: Option<String>,
}

/// Words of the table for what is not seen to happen, however long one waits.
const NEVER: [&str; 4] = ["never", "nothing", "stays", "is lost"];

impl Subject {
    /// How long something may take to happen: short where the table says that it will not, and leaves
    /// no other way.
    pub fn patience(&self) -> Duration {
        let never = |text: &str| NEVER.iter().any(|word| text.contains(word));
        match &self.expected {
            Some(text) if text.split(" or ").all(never) => Duration::from_millis(500),
            _ => deadline(),
        }
    }

    /// The init in front of a program; `{probe}` and `{place}` are filled in.
    pub fn before(&self, program: &[&str]) -> Setup {
        Setup {
            init: self.init,
            position: self.position,
            place: Place::new(),
            through: Vec::new(),
            to: None,
            rewrite: Vec::new(),
            stop: "30s",
            extra: Vec::new(),
            program: program.iter().map(|word| (*word).to_owned()).collect(),
        }
    }
}

/// An init, about to be started.
pub struct Setup {
    init: Init,
    position: Position,
    pub place: Place,
    through: Vec<String>,
    to: Option<To>,
    rewrite: Vec<(i32, i32)>,
    stop: &'static str,
    extra: Vec<String>,
    program: Vec<String>,
}

impl Setup {
    /// Through a program that gets the init and its arguments after its own.
    pub fn through(mut self, words: &[&str]) -> Self {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Whom signals are for.
    pub const fn to(mut self, to: To) -> Self {
        self.to = Some(to);
        self
    }

    /// These signals become those; 0: they are dropped. tini cannot.
    pub fn rewrite(mut self, rewrite: impl IntoIterator<Item = (i32, i32)>) -> Self {
        self.rewrite = rewrite.into_iter().collect();
        self
    }

    /// How long hushpipe lets a stop take; the others have no such limit.
    pub const fn stop_within(mut self, time: &'static str) -> Self {
        self.stop = time;
        self
    }

    /// One more option, for the init that has it.
    pub fn option(mut self, init: Init, words: &[&str]) -> Self {
        if self.init == init {
            self.extra
                .extend(words.iter().map(|word| (*word).to_owned()));
        }
        self
    }

    /// The whole command line.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = match self.position {
            Position::Child => Vec::new(),
            Position::Pid1 => ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
                .map(str::to_owned)
                .into(),
        };
        words.extend(self.through.iter().map(|word| self.place.fill(word)));
        words.extend(match self.init {
            Init::Tini => self.tini(),
            Init::Dumb => self.dumb_init(),
            Init::Hushpipe => self.hushpipe(),
        });
        words.push("--".to_owned());
        words.extend(self.program.iter().map(|word| self.place.fill(word)));
        words
    }

    fn tini(&self) -> Vec<String> {
        let mut words = vec!["tini".to_owned()];
        if self.position == Position::Child {
            words.push("-s".to_owned());
        }
        if self.to == Some(To::Group) {
            words.push("-g".to_owned());
        }
        words.extend(self.extra.iter().cloned());
        words
    }

    fn dumb_init(&self) -> Vec<String> {
        let mut words = vec!["dumb-init".to_owned()];
        if self.to == Some(To::Program) {
            words.push("--single-child".to_owned());
        }
        for (from, to) in &self.rewrite {
            words.push(format!("--rewrite={from}:{to}"));
        }
        words.extend(self.extra.iter().cloned());
        words
    }

    fn hushpipe(&self) -> Vec<String> {
        let becomes = |to: &i32| match to {
            0 => "none".to_owned(),
            to => format!("'{to}'"),
        };
        let rewrite = self.rewrite.iter();
        let rewrite = rewrite.map(|(from, to)| format!("'{from}': {}", becomes(to)));
        let rewrite = rewrite.collect::<Vec<_>>().join(", ");
        let to = match self.to {
            Some(To::Group) => "group",
            Some(To::Program) | None => "program",
        };
        let manifest = format!(
            "version: 1\nservice: compliance\nrun:\n  stop: {{ timeout: {} }}\n  \
            signals: {{ to: {to}, rewrite: {{ {rewrite} }} }}\n",
            self.stop
        );
        self.place.write("hushpipe.yaml", manifest);
        let binary = env!("CARGO_BIN_EXE_hushpipe");
        let mut words = ["{binary}", "run", "--manifest", "{place}/hushpipe.yaml"]
            .map(|word| self.place.fill(&word.replace("{binary}", binary)))
            .to_vec();
        words.extend(self.extra.iter().cloned());
        words
    }

    /// Starts it, with its output in a pipe.
    pub fn start(self) -> Started {
        Started::new(self.position, &self.words(), self.place)
    }
}
