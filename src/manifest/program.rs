//! The program, its signals and limits.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::build::Builder;
use super::collections::{Argv, List};
use super::fault::{Fault, Span, quote};
use super::files::has_template;
use super::records::{Env, Fds, Forks, Manifest, Rewritten, Run, Signals, StopRecord};
use super::values::{EnvName, Word};
use crate::model::nearest::nearest;
use crate::model::{
    EnvInherit, EnvSpec, Forward, ForwardTo, InheritedFd, Leftovers, Mode, OutputStream, Ready,
    Rewrite, RunSpec, Signal, Startup, Stop, loads_code,
};

/// The resources of setrlimit(2), as systemd and ulimit name them.
const RLIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Builder<'_> {
    /// The program.
    pub fn run(&mut self, manifest: &Manifest, mode: Mode) -> Option<RunSpec> {
        let empty = Run::default();
        let run = manifest.run.get().unwrap_or(&empty);
        let command = self.command(manifest, run);
        let logins = Self::logins(manifest);
        let mut env = run
            .env
            .get()
            .map_or_else(EnvSpec::default, |env| self.env(env, &logins));
        env.loading = self.judged().then(|| self.loading(&env));
        env.withheld = logins.into_iter().map(|(name, _)| name).collect();
        let stop = self.stop(run.stop.get());
        let forward = run
            .signals
            .get()
            .map_or_else(Forward::default, |signals| self.forward(signals, mode));
        let rlimits = self.rlimits(run);
        if mode == Mode::Exec {
            for (key, what) in [(run.stop.key, "run.stop"), (run.signals.key, "run.signals")] {
                if let Some(span) = key {
                    let why = "has no effect in mode exec: hushpipe does not remain to see signals";
                    self.warn(span, &format!("{what} {why}"));
                }
            }
        }
        let word = |word: Option<&Word>| word.map(|word| word.0.clone());
        Some(RunSpec {
            command: command?,
            user: word(run.user.get()),
            group: word(run.group.get()),
            supplementary_groups: run.groups.get().map(words),
            cwd: run.cwd.get().map(|path| path.0.clone()),
            umask: run.umask.get().map(|mask| mask.0),
            env,
            fds: run.fds.get().map_or_else(Vec::new, fds),
            sha256: run.sha256.get().copied(),
            judged: self
                .site
                .is_some_and(|site| site.policy.is_some() || site.audit.is_some()),
            startup: self.startup(run, mode),
            stop,
            forward,
            core_dumps: run.core_dumps.get().copied().unwrap_or(false),
            no_new_privs: run.no_new_privs.get().copied().unwrap_or(true),
            redact: self.redact(run, mode),
            rlimits,
        })
    }

    fn redact(&mut self, run: &Run, mode: Mode) -> Vec<OutputStream> {
        let Some(redact) = run.redact.get() else {
            return Vec::new();
        };
        let mut streams = match redact.streams.get() {
            Some(streams) => streams.values(),
            None => vec![OutputStream::Stdout, OutputStream::Stderr],
        };
        streams.sort_unstable();
        streams.dedup();
        if streams.is_empty() {
            let help = "write `streams: [stdout, stderr]`, or remove `redact`";
            self.fault(redact.at, "no stream to redact", help);
        }
        if mode == Mode::Exec {
            let at = run.redact.key.unwrap_or(run.at);
            self.not_in_exec(
                at,
                "`redact`",
                "hushpipe does not remain to read the output",
            );
        }
        streams
    }

    fn startup(&mut self, run: &Run, mode: Mode) -> Startup {
        let startup = Startup {
            argv0: self.overrides.argv0.clone(),
            ready: run
                .ready
                .get()
                .copied()
                .or(self.overrides.ready)
                .unwrap_or_default(),
            forking: match (&self.overrides.forking, run.forking.get()) {
                (Some(forking), _) => Some(forking.clone()),
                (None, Some(Forks(forking))) => forking.clone(),
                (None, None) => None,
            },
        };
        if mode == Mode::Exec {
            let at = run.forking.key.unwrap_or(run.at);
            if startup.forking.is_some() {
                let why = "hushpipe does not remain to follow the daemon";
                self.not_in_exec(at, "`forking`", why);
            }
            if startup.ready == Ready::Started {
                let at = run.ready.key.unwrap_or(run.at);
                let why = "hushpipe does not remain to notify systemd; use Type=exec";
                self.not_in_exec(at, "`ready: started`", why);
            }
        }
        startup
    }

    /// The command line's goes before the manifest's, which is checked all the same.
    fn command(&mut self, manifest: &Manifest, run: &Run) -> Option<Vec<OsString>> {
        if let Some(argv) = run.command.get() {
            for (word, span) in argv.words.iter().zip(&argv.spans) {
                self.no_template(word, *span, "an argument");
            }
        }
        self.signed_command(run);
        if !self.overrides.command.is_empty() {
            let given = self.overrides.command.iter();
            return Some(given.map(|word| self.given_with_files(word)).collect());
        }
        if !run.command.is_present() && (manifest.run.get().is_some() || !manifest.run.is_present())
        {
            let span = manifest.run.key.unwrap_or(manifest.at);
            let help = "add `run: { command: [PROGRAM, ARGUMENT, ...] }`, or give it after `--`";
            self.fault(span, "there is no command to run", help);
        }
        Some(
            self.words(run.command.get()?)
                .into_iter()
                .map(OsString::from)
                .collect(),
        )
    }

    /// Of a command in the manifest.
    pub fn words(&mut self, argv: &Argv) -> Vec<String> {
        let words = argv.words.iter().zip(&argv.spans);
        words
            .map(|(word, span)| self.with_files(word, *span))
            .collect()
    }

    /// What was signed is what runs; a manifest without a command leaves it to the caller. A program's name
    /// is part of it: a shell whose name starts with a hyphen runs its user's files first.
    fn signed_command(&mut self, run: &Run) {
        let signed = self.site.is_some_and(|site| site.manifests.is_some());
        let (replaced, option) = if !self.overrides.command.is_empty() {
            ("program", "-- CMD")
        } else if self.overrides.argv0.is_some() {
            ("program's name", "--argv0")
        } else {
            return;
        };
        if let Some(span) = run
            .command
            .key
            .filter(|_| signed && !self.overrides.no_launch)
        {
            let message = format!(
                "this host's site requires signed manifests, and the command line replaces the \
                 signed {replaced}"
            );
            let help = format!("leave out `{option}`, or sign a manifest without run.command");
            self.fault(span, message, help);
        }
    }

    /// Values never go into arguments or the environment: everyone on the host can read those.
    pub fn no_template(&mut self, text: &str, span: Span, what: &str) {
        if has_template(text) {
            let message = format!("{what} cannot hold a template: secrets never go there");
            let help = "others can read arguments; deliver it as a file, fd or stdin, and write \
                        its path here";
            self.fault(span, message, help);
        }
    }

    /// As [`Self::no_template`], and says what delivers one.
    fn not_in_variable(&mut self, name: &str, text: &str, span: Span) {
        if has_template(text) {
            let message = "a variable cannot hold a template: secrets never go there";
            let help = format!(
                "others can read the environment; deliver it by `getenv: {name}`, or as a file"
            );
            self.fault(span, message, help);
        }
    }

    fn env(&mut self, env: &Env, logins: &[(String, String)]) -> EnvSpec {
        let unset = env.unset.get().map_or_else(Vec::new, List::values);
        let mut set = BTreeMap::new();
        for (span, name, value) in env.set.get().map_or(&[][..], |table| &table.0) {
            if unset.contains(name) {
                let message = format!("{} is in both `set` and `unset`", quote(&name.0));
                self.fault(*span, message, "keep one of the two");
            }
            if let Some(text) = value.get() {
                self.not_in_variable(&name.0, &text.0, value.span);
                let text = self.with_files(&text.0, value.span);
                set.insert(name.0.clone(), text);
            }
        }
        let names = |names: Vec<EnvName>| names.into_iter().map(|name| name.0).collect();
        let spec = EnvSpec {
            inherit: self.inherits(env, logins),
            unset: names(unset),
            set,
            withheld: Vec::new(),
            loading: None,
        };
        self.whole_identities(env, &|name| spec.names(name));
        spec
    }

    /// Whether policy judges the program on this host.
    fn judged(&self) -> bool {
        self.site.is_some_and(|site| site.policy.is_some())
    }

    /// Inherited variables that the manifest names and that may have the program run other code. What is
    /// not UTF-8 would not be part of the manifest's variables, and is not inherited.
    fn loading(&self, env: &EnvSpec) -> Vec<String> {
        let named = match &env.inherit {
            EnvInherit::All | EnvInherit::None => &[][..],
            EnvInherit::AllAnd(names) | EnvInherit::Only(names) => names,
        };
        let loads = named.iter().filter(|name| loads_code(name.as_bytes()));
        let is_set = loads.filter(|name| (self.environment)(name).is_some());
        is_set.cloned().collect()
    }

    fn stop(&mut self, stop: Option<&StopRecord>) -> Stop {
        let over = self.overrides.stop_timeout;
        let default = Stop {
            signal: Signal::TERM,
            timeout: over.unwrap_or(std::time::Duration::from_secs(30)),
            leftovers: Leftovers::Terminate,
        };
        let Some(stop) = stop else { return default };
        if stop.signal.get() == Some(&Signal::STOP) {
            let help = "use TERM, INT or the signal on which the program ends";
            self.fault(stop.signal.span, "SIGSTOP does not end a program", help);
        }
        Stop {
            signal: stop.signal.get().copied().unwrap_or(default.signal),
            timeout: match stop.timeout.get() {
                Some(timeout) if stop.timeout.is_present() => *timeout,
                _ => default.timeout,
            },
            leftovers: stop.leftovers.get().copied().unwrap_or(default.leftovers),
        }
    }

    fn forward(&mut self, signals: &Signals, mode: Mode) -> Forward {
        let mut rewrite = BTreeMap::new();
        let mut places: BTreeMap<Signal, Span> = BTreeMap::new();
        for (span, signal, becomes) in signals.rewrite.get().map_or(&[][..], |table| &table.0) {
            self.can_rewrite(*signal, *span);
            if let Some(first) = places.insert(*signal, *span) {
                let message = format!("duplicate rewrite of {signal}");
                let fault = Fault::new(*span, message, "keep one of the two");
                self.faults.push(fault.related(first, "first here"));
            }
            match becomes.get() {
                Some(Rewritten::Dropped) => rewrite.insert(*signal, Rewrite::Drop),
                Some(Rewritten::Rotated) => {
                    if mode == Mode::Exec {
                        let why = "hushpipe does not remain to poll the stores";
                        self.not_in_exec(becomes.span, "a signal that rotates", why);
                    }
                    rewrite.insert(*signal, Rewrite::Rotate)
                }
                Some(Rewritten::To(other)) => rewrite.insert(*signal, Rewrite::To(*other)),
                None => None,
            };
        }
        let to_group = signals.to.get() == Some(&ForwardTo::Group);
        Forward { to_group, rewrite }
    }

    fn can_rewrite(&mut self, signal: Signal, span: Span) {
        if !signal.can_be_caught() {
            let message = format!("{signal} cannot be rewritten: no process can catch it");
            self.fault(
                span,
                message,
                "remove the line; the kernel acts on it alone",
            );
        } else if signal == Signal::CHLD {
            let message =
                "SIGCHLD cannot be rewritten: hushpipe needs it to see that a child ended";
            self.fault(span, message, "remove the line");
        }
    }

    fn rlimits(&mut self, run: &Run) -> BTreeMap<String, (Option<u64>, Option<u64>)> {
        let mut limits = BTreeMap::new();
        for (span, name, limit) in run.rlimits.get().map_or(&[][..], |table| &table.0) {
            let name = name.0.as_str();
            if !RLIMITS.contains(&name) {
                let help = match nearest(name, RLIMITS.into_iter()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("resources are {}", RLIMITS.join(", ")),
                };
                self.fault(
                    *span,
                    format!("unknown resource limit {}", quote(name)),
                    help,
                );
            } else if name == "core" && run.core_dumps.get() == Some(&false) {
                let message = "a limit for core dumps, and `core_dumps` is false";
                let help =
                    "remove the limit, or allow core dumps: a dump holds the program's secrets";
                self.fault(*span, message, help);
            }
            if let Some(limit) = limit.get() {
                limits.insert(name.to_owned(), (limit.soft, limit.hard));
            }
        }
        limits
    }
}

fn fds(fds: &Fds) -> Vec<InheritedFd> {
    let list = fds.inherit.get();
    list.map_or_else(Vec::new, |list| {
        list.values().into_iter().map(|fd| fd.0).collect()
    })
}

fn words(list: &List<Word>) -> Vec<String> {
    list.values().into_iter().map(|word| word.0).collect()
}
