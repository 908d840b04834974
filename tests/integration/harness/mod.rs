//! The words of the integration tests.
//!
//! ```ignore
//! Hushpipe::new()
//!     .file("secrets/token", "s3cret")
//!     .manifest("version: 1 … path: {place}/secrets … command: [{probe}, read, 3]")
//!     .args(["run"])
//!     .run()
//!     .success()
//!     .stdout_is("s3cret");
//! ```
//!
//! Each test has a [`Place`] of its own: a directory that other users can enter, removed at the
//! end. In manifests, arguments and variables, `{place}` is its path, and `{probe}` is a program
//! for tests (see [`probe`]). hushpipe starts with a small environment: PATH, HOME (the place),
//! LANG. Every wait has a deadline, and says what hushpipe wrote to stderr when it passes. Whatever a
//! test is about, it fails when hushpipe says anything of what is [`untold`].
//!
//! Tests need root, as most of what hushpipe does for others does: `tests/run` sees to it.

// A word that no test uses today is there for the next one.
#![allow(dead_code, unused_imports)]

pub mod bao;
pub mod canary;
pub mod certificates;
pub mod fake_answers;
pub mod fault_proxy;
mod output;
mod place;
pub mod ports;
pub mod postgres;
pub mod probe;
mod processes;
mod running;
pub mod schema;
mod sealed;
mod selftest;
pub mod server;
mod servertest;
pub mod terminal;
pub mod tmux;
pub mod untold;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use bao::Bao;
pub use fake_answers::{Fake, FakeAnswers};
pub use fault_proxy::{FaultProxy, Wire};
pub use output::Output;
pub use place::{Place, walk};
pub use postgres::Postgres;
pub use processes::{children, descendants, is_alive, wait_gently, wait_until, wait_within};
pub use running::Running;

/// How long anything may take: nothing does when all is well. `HUSHPIPE_TEST_DEADLINE` (seconds) is
/// for slow machines.
pub fn deadline() -> Duration {
    let seconds = std::env::var("HUSHPIPE_TEST_DEADLINE").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(30))
}

/// Whether time does not matter: storms are longer, and more is put to what no change changes.
pub fn is_long() -> bool {
    std::env::var_os("HUSHPIPE_LONG").is_some()
}

/// The static binary, as it is shipped: that of `HUSHPIPE_STATIC`, if there is one.
pub fn shipped() -> Option<PathBuf> {
    std::env::var_os("HUSHPIPE_STATIC").map(PathBuf::from)
}

/// hushpipe, about to be started.
pub struct Hushpipe {
    place: Place,
    through: Vec<String>,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    stdin: Option<Vec<u8>>,
    user: Option<u32>,
    binary: Option<PathBuf>,
}

impl Hushpipe {
    /// In a new place.
    pub fn new() -> Self {
        Self::at(Place::new())
    }

    /// In a place that is there already (see [`Output::place`] and [`Output::again`]).
    pub fn at(place: Place) -> Self {
        Self {
            place,
            through: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
            stdin: None,
            user: None,
            binary: None,
        }
    }

    /// Another hushpipe than the one that cargo built for the tests, such as [`shipped`].
    pub fn binary(mut self, path: Option<&Path>) -> Self {
        self.binary = path.map(Path::to_owned);
        self
    }

    /// The place.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Writes `hushpipe.yaml` in the place, which is where hushpipe looks.
    pub fn manifest(self, text: &str) -> Self {
        let text = self.place.fill(text);
        self.file("hushpipe.yaml", text)
    }

    /// Writes a file below the place, mode 0600, with the directories that it needs.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.place.write(path, content);
        self
    }

    /// Gives a file or directory below the place another mode.
    pub fn mode(self, path: &str, mode: u32) -> Self {
        self.place.set_mode(path, mode);
        self
    }

    /// Makes a directory below the place, mode 0755.
    pub fn directory(self, path: &str) -> Self {
        self.place.make_directory(path);
        self
    }

    /// Its control socket is below the place: see [`Running::ask`].
    pub fn controlled(self) -> Self {
        self.directory("runtime")
            .env("XDG_RUNTIME_DIR", "{place}/runtime")
    }

    /// Makes a sealed store at `{place}/store` with these names and values, and its identity at
    /// `{place}/identity.txt`, by hushpipe itself. More by [`Place::seal`].
    pub fn sealed(self, secrets: &[(&str, &str)]) -> Self {
        self.place.make_sealed_store();
        for (name, value) in secrets {
            self.place.seal(name, value);
        }
        self
    }

    /// One more argument.
    pub fn arg(self, argument: impl Into<OsString>) -> Self {
        self.args([argument.into()])
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let place = &self.place;
        let filled = arguments.into_iter().map(|a| place.fill_os(a.into()));
        self.arguments.extend(filled);
        self
    }

    /// Sets a variable of hushpipe's own environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        let value = self.place.fill_os(value.into());
        self.variables.push((name.to_owned(), value));
        self
    }

    /// What comes on standard input, then EOF. Without it: /dev/null.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs as this user and group, who also gets the place. Needs root.
    pub fn user(mut self, uid: u32) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: start it by tests/run"
        );
        self.user = Some(uid);
        self
    }

    /// Starts hushpipe through another program, which gets hushpipe's path and arguments after
    /// its own: `["prlimit", "--nofile=20"]`, `["unshare", "--pid", "--fork"]`.
    pub fn through(mut self, words: &[&str]) -> Self {
        let place = &self.place;
        self.through
            .extend(words.iter().map(|word| place.fill(word)));
        self
    }

    fn command(&self) -> Command {
        let program = match &self.binary {
            Some(path) => self.place.bring(path, "shipped"),
            None => self.place.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe"),
        };
        let mut words = self.through.iter().map(OsString::from).collect::<Vec<_>>();
        words.push(program.into());
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.place.path())
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.place.path())
            .env("HUSHPIPE_STATE_DIRECTORY", self.place.join(".state"))
            .env("LANG", "C.UTF-8")
            .env(processes::MARK, self.place.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(
                self.stdin
                    .as_ref()
                    .map_or_else(Stdio::null, |_| Stdio::piped()),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(uid) = self.user {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Starts it.
    pub fn spawn(self) -> Running {
        if let Some(uid) = self.user {
            self.place.give_to(uid);
        }
        let mut command = self.command();
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running::new(child, self.place, self.stdin)
    }

    /// Starts a program that writes what it is delivered at SIGHUP: the file of this name in `{place}/run`.
    pub fn rereads(self, file: &str) -> Running {
        let reads = format!("cat:{{place}}/run/{file}");
        let running = self
            .args(["-v", "run", "--", "{probe}", "on", "TERM", "exit:0"])
            .args(["on", "HUP", &*reads, "serve"])
            .spawn();
        running.wait_for_line("ready");
        running
    }

    /// Starts it and waits for its end.
    pub fn run(self) -> Output {
        self.spawn().wait()
    }
}
