//! `type: command`: what a program prints (op, sops, pass, gopass, bws, …).
//!
//! Its standard output is the value. What it says on standard error is not shown, as it may have a
//! secret in it; with `show_errors: true` the last line goes into the message when it fails.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

use super::names::Fields;
use super::{
    Family, Fault, Fetched, LastLine, Local, Store, StoreError, Watch, Watched, format, join,
};
use crate::model::{CommandStore, Signal, Source, StoreKind, StoreName, Version};
use crate::secret::{DigestKey, Field, Pieces, SecretBytes, Value};
use crate::sys::command::{Running, Spawned, spawn};
use crate::sys::pipe;
use crate::sys::reaper::{Reaper, Status};

/// Variables of hushpipe's own environment that every command gets.
const ENVIRONMENT: [&str; 9] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TERM",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
];

/// What stands for the key in an argument.
const KEY: &str = "{key}";

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// So much of the end of standard error is kept, and so many characters of its last line.
const TAIL: usize = 4096;
const LINE: usize = 200;

/// At most so much is read at once.
const PIECE: usize = 16 << 10;

/// Its entry of the registry.
pub(super) const FAMILY: Family = Family {
    open: |setting| match &setting.spec.kind {
        StoreKind::Command(spec) => {
            let store = Command::new(setting.name.clone(), spec, setting.reaper.clone());
            Some(store.map(|store| Box::new(store) as Box<dyn Store>))
        }
        _ => None,
    },
    variables: &[],
};

/// A command whose output holds the secrets.
pub struct Command {
    name: StoreName,
    spec: CommandStore,
    reaper: Reaper,
    digests: DigestKey,
}

impl Command {
    /// Runs nothing yet. `reaper` is the one of the whole program. The error is the kernel's word
    /// when it has no randomness.
    pub fn new(name: StoreName, spec: &CommandStore, reaper: Reaper) -> io::Result<Self> {
        Ok(Self {
            name,
            spec: spec.clone(),
            reaper,
            digests: DigestKey::new()?,
        })
    }

    fn error(&self, asked: Option<&str>, fault: Fault) -> StoreError {
        StoreError {
            store: self.name.clone(),
            asked: asked.map(str::to_owned),
            fault,
        }
    }

    /// What the message repeats of its standard error.
    fn shown(&self, said: &mut Said) -> LastLine {
        match said.last_line() {
            None => LastLine::None,
            Some(line) if self.spec.show_errors => LastLine::Shown(line),
            Some(_) => LastLine::Hidden,
        }
    }

    /// Whether it runs once a secret.
    fn takes_key(&self) -> bool {
        self.spec.run.iter().any(|argument| argument.contains(KEY))
    }

    /// What is run for a source. Without `{key}` it is the same for all.
    fn argv(&self, source: &Source) -> Vec<String> {
        let key = source.key.as_deref().unwrap_or_default();
        let replace = |argument: &String| argument.replace(KEY, key);
        self.spec.run.iter().map(replace).collect()
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let names = ENVIRONMENT.into_iter().map(OsString::from);
        names
            .chain(self.spec.env.iter().map(OsString::from))
            .filter_map(|name| std::env::var_os(&name).map(|value| (name, value)))
            .collect()
    }

    /// Runs once and answers every source of this run.
    async fn answer(
        &self,
        argv: Vec<String>,
        sources: Vec<(usize, &Source)>,
    ) -> Vec<(usize, Result<Fetched, StoreError>)> {
        let asked = |source: &Source| self.takes_key().then(|| source.key.clone()).flatten();
        let value = match self.run(&argv).await {
            Ok(output) => format::read(output, self.spec.format).map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        sources
            .into_iter()
            .map(|(index, source)| {
                let answer = match &value {
                    Ok(value) => self
                        .pick(value, source)
                        .map_err(|fault| self.error(source.key.as_deref(), fault)),
                    Err(fault) => Err(self.error(asked(source).as_deref(), fault.again())),
                };
                (index, answer)
            })
            .collect()
    }

    /// A source's part of the output; the output itself ends with the round.
    fn pick(&self, value: &Value, source: &Source) -> Result<Fetched, Fault> {
        let key = source.key.as_deref().filter(|_| !self.takes_key());
        let value = match (value, key) {
            (value, None) => value.copy(),
            (Value::Raw(_), Some(_)) => {
                return Err(Fault::Malformed {
                    reason: "the command printed one value without fields: remove `key`".to_owned(),
                });
            }
            (Value::Fields(fields), Some(key)) => {
                Value::Raw(value.find(key).ok_or_else(|| missing(key, fields))?)
            }
        };
        let version = Version(self.digests.digest(&value).to_string());
        Ok(Fetched { value, version })
    }

    async fn run(&self, argv: &[String]) -> Result<SecretBytes, Fault> {
        let program = |ended: String, last_line| Fault::Program {
            program: argv.first().cloned().unwrap_or_default(),
            ended,
            last_line,
        };
        let Spawned {
            mut running,
            stdout,
            stderr,
        } = spawn(argv, self.environment(), &self.reaper)
            .map_err(|error| program(not_started(&error), LastLine::None))?;
        let mut said = Said::default();
        let collected = said.collect(&mut running, &stdout, &stderr);
        let result = tokio::time::timeout(self.spec.timeout, collected).await;
        if !matches!(result, Ok(Ok(_))) {
            // Its end does not change what is reported.
            if let Err(error) = running.stop(GRACE).await {
                return Err(program(
                    format!("it cannot be stopped: {error}"),
                    LastLine::None,
                ));
            }
        }
        match result {
            Err(_) => Err(Fault::Deadline {
                after: self.spec.timeout,
            }),
            Ok(Err(Trouble::TooLarge)) => Err(Fault::Malformed {
                reason: format!(
                    "the command printed more than {} MiB",
                    format::MAX_VALUE >> 20
                ),
            }),
            Ok(Err(Trouble::Os(error))) => {
                Err(program(format!("it was lost: {error}"), LastLine::None))
            }
            Ok(Ok(Status::Exited(0))) => Ok(said.output.take()),
            Ok(Ok(status)) => Err(program(ended(status), self.shown(&mut said))),
        }
    }
}

impl Store for Command {
    fn fetch<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Fetched, StoreError>> {
        Box::pin(async move {
            let answers = self.answer(self.argv(source), vec![(0, source)]).await;
            let (_, answer) = answers.into_iter().next().expect("one answer a source");
            answer
        })
    }

    fn fetch_all<'a>(
        &'a self,
        sources: &'a [&'a Source],
    ) -> Local<'a, Vec<Result<Fetched, StoreError>>> {
        Box::pin(async move {
            let mut runs: BTreeMap<Vec<String>, Vec<(usize, &Source)>> = BTreeMap::new();
            for (index, source) in sources.iter().enumerate() {
                let run = runs.entry(self.argv(source)).or_default();
                run.push((index, *source));
            }
            let runs = runs
                .into_iter()
                .map(|(argv, sources)| self.answer(argv, sources));
            let mut answers: Vec<_> = join::values(runs).await.into_iter().flatten().collect();
            answers.sort_unstable_by_key(|(index, _)| *index);
            answers.into_iter().map(|(_, answer)| answer).collect()
        })
    }

    /// A command tells no versions: it is run, and the keyed digest of its output is the version.
    fn version<'a>(&'a self, source: &'a Source) -> Local<'a, Result<Version, StoreError>> {
        Box::pin(async move { Ok(self.fetch(source).await?.version) })
    }

    fn watch(&self, _: &[Watched]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        Ok(None)
    }
}

/// What the program wrote: it may be a value, also before a failure.
#[derive(Default)]
struct Said {
    output: Pieces,
    errors: Pieces,
}

enum Trouble {
    TooLarge,
    Os(io::Error),
}

impl Said {
    /// Reads both pipes until the program has ended. What a process that it leaves behind writes
    /// later is not waited for.
    async fn collect(
        &mut self,
        running: &mut Running,
        stdout: &Receiver,
        stderr: &Receiver,
    ) -> Result<Status, Trouble> {
        let (mut more_output, mut more_errors) = (true, true);
        let status = loop {
            tokio::select! {
                biased;
                ready = stdout.readable(), if more_output => {
                    ready.map_err(Trouble::Os)?;
                    more_output = self.read_output(|buffer| heard(stdout, buffer))?;
                }
                ready = stderr.readable(), if more_errors => {
                    ready.map_err(Trouble::Os)?;
                    let read = self.read_errors(|buffer| heard(stderr, buffer));
                    more_errors = read? != Some(0);
                }
                status = running.ended() => break status.map_err(Trouble::Os)?,
            }
        };
        // Its end can be known before the event loop has heard of what it wrote last: so the pipes
        // themselves are asked.
        self.read_output(|buffer| pipe::read(stdout, buffer))?;
        // At most what a pipe may hold: another process may still write there.
        for _ in 0..(1 << 20) / TAIL {
            if !matches!(
                self.read_errors(|buffer| pipe::read(stderr, buffer))?,
                Some(1..)
            ) {
                break;
            }
        }
        Ok(status)
    }

    /// Takes what is there; false at the end.
    fn read_output(&mut self, read: impl Fn(&mut Vec<u8>) -> Read) -> Result<bool, Trouble> {
        loop {
            match take(&mut self.output, PIECE, &read)? {
                Some(0) => return Ok(false),
                Some(_) if self.output.len() > format::MAX_VALUE => return Err(Trouble::TooLarge),
                Some(_) => {}
                None => return Ok(true),
            }
        }
    }

    /// Takes one piece, and keeps the end of all: a program that never stops writing there does not
    /// keep others waiting.
    fn read_errors(
        &mut self,
        read: impl Fn(&mut Vec<u8>) -> Read,
    ) -> Result<Option<usize>, Trouble> {
        let count = take(&mut self.errors, TAIL, &read)?;
        self.errors.keep_last(TAIL).map_err(Trouble::Os)?;
        Ok(count)
    }

    /// The last line of standard error that says something, made harmless.
    fn last_line(&mut self) -> Option<String> {
        let errors = self.errors.take();
        let text = String::from_utf8_lossy(errors.expose());
        let harmless = |line: &str| -> String {
            let plain = line.chars().filter(|c| !c.is_control());
            plain.take(LINE).collect::<String>().trim().to_owned()
        };
        text.lines()
            .rev()
            .map(harmless)
            .find(|line| !line.is_empty())
    }
}

/// How many bytes were read; `None` when nothing is there.
type Read = io::Result<Option<usize>>;

/// One read of at most so many bytes.
fn take(
    pieces: &mut Pieces,
    most: usize,
    read: impl Fn(&mut Vec<u8>) -> Read,
) -> Result<Option<usize>, Trouble> {
    let mut room = Vec::with_capacity(most);
    let count = read(&mut room);
    let piece = SecretBytes::new(room);
    pieces.push(piece.expose()).map_err(Trouble::Os)?;
    count.map_err(Trouble::Os)
}

/// What the event loop has heard of.
fn heard(pipe: &Receiver, buffer: &mut Vec<u8>) -> Read {
    match pipe.try_read_buf(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn missing(key: &str, fields: &BTreeMap<String, Field>) -> Fault {
    let fields = Fields::near(key, fields.keys());
    Fault::Missing {
        hint: format!("the command printed no field of this name: {fields}"),
    }
}

fn not_started(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "not found: install it, or write its full path (its interpreter may be missing)"
                .to_owned()
        }
        Some(libc::EACCES) => "permission denied: check its permissions (chmod +x)".to_owned(),
        _ => format!("it did not start: {error}"),
    }
}

fn ended(status: Status) -> String {
    match status {
        Status::Killed { signal, .. } => match Signal::from_number(signal) {
            Some(signal) => format!("killed by {signal}"),
            None => format!("killed by signal {signal}"),
        },
        status => status.to_string(),
    }
}

#[cfg(test)]
mod tests;
