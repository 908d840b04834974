//! `run:`

use std::time::Duration;

use serde_json::{Value, json};

use crate::manifest::collections::{Argv, List, Table};
use crate::manifest::decode::{Decode, Decoder, record};
use crate::manifest::fault::Span;
use crate::manifest::paths::ProgramPath;
use crate::manifest::tree::{Data, Node};
use crate::manifest::values::{EnvName, Text, Umask, Word, signal};
use crate::model::{
    Forking, ForwardTo, InheritedFd, Leftovers, OutputStream, Ready, Sha256, Signal,
};

record! {
    /// The program and how it runs.
    Run("a mapping with `command`") {
        /// The program and its arguments. `-- CMD ARG...` on the command line goes before it.
        optional command "command": Argv;
        /// The user it runs as: a name or uid.
        optional user "user": Word;
        /// Its group: a name or gid. Default: the user's.
        optional group "group": Word;
        /// Its supplementary groups. Default: those of the user.
        optional groups "groups": List<Word>;
        /// Its working directory. Default: hushpipe's.
        optional cwd "cwd": ProgramPath;
        /// Its file mode creation mask, as octal in quotes.
        optional umask "umask": Umask;
        /// Its environment.
        optional env "env": Env;
        /// Open file descriptors of hushpipe's caller that the program gets.
        optional fds "fds": Fds;
        /// The program's SHA-256, checked before anything is fetched. What is executed cannot have
        /// changed since: a script, and a program that others could change, is executed from a copy in
        /// sealed memory (its $0, or /proc/self/exe, is not its path then).
        optional sha256 "sha256": Sha256;
        /// When systemd is told that the service is ready. program: when the program says so, by
        /// sd_notify. started: when it was executed. Default: what --ready says, else program.
        optional ready "ready": Ready;
        /// The program goes into the background: when its first process has ended with 0, hushpipe
        /// stays with the daemon that it left.
        optional forking "forking": Forks;
        /// How it is stopped.
        optional stop "stop": StopRecord;
        /// How signals reach it.
        optional signals "signals": Signals;
        /// Whether it may dump core.
        optional core_dumps "core_dumps": bool = "false";
        /// Whether it is kept from gaining privileges, by setuid programs for instance. Without, a
        /// program of an ordinary user's hushpipe has no user namespace of its own, and can read what
        /// hushpipe reads secrets with.
        optional no_new_privs "no_new_privs": bool = "true";
        /// Output in which values that the program got from hushpipe are replaced by their names. To the
        /// program it is a pipe, and no terminal. Values of fewer than 8 bytes stay.
        optional redact "redact": Redact;
        /// Resource limits, as setrlimit(2) has them.
        optional rlimits "rlimits": Table<Text, Limit>;
    } elsewhere {
        "directory": "the directory is `cwd`" => "write `cwd: PATH`",
        "workdir": "the directory is `cwd`" => "write `cwd: PATH`",
        "working_dir": "the directory is `cwd`" => "write `cwd: PATH`",
        "working_directory": "the directory is `cwd`" => "write `cwd: PATH`",
        "WorkingDirectory": "the directory is `cwd`" => "write `cwd: PATH`",
        "environment": "variables are under `env`" => "write env: { set: { NAME: value } }; secrets go under `deliver`",
        "args": "arguments follow the program in `command`" => "write command: [PROGRAM, ARGUMENT, ...]",
        "program": "the program is the first word of `command`" => "write command: [PROGRAM, ARGUMENT, ...]",
        "listen": "the program opens its own sockets" => "remove it; sockets of systemd are passed on",
        "restart": "restarts belong to rotation" => "write `on_rotate: { do: restart }` beside `run`",
    }
}

record! {
    /// How the daemon is found that the program leaves.
    ForkingRecord("a mapping with pid_file") {
        /// The file where the daemon's process id is. Without it, the daemon is the one process that
        /// the program left.
        optional pid_file "pid_file": ProgramPath;
    } elsewhere {}
}

record! {
    /// What is searched for values.
    Redact("a mapping with streams") {
        /// Which output. Default: both.
        optional streams "streams": List<OutputStream>;
    } elsewhere {}
}

/// `run.forking:`
#[derive(Clone, Debug)]
pub struct Forks(pub Option<Forking>);

impl Decode for Forks {
    const WANTED: &'static str = "true, false, or { pid_file: PATH }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if matches!(node.data, Data::Mapping(_)) {
            let record = ForkingRecord::decode(node, to)?;
            let pid_file = record.pid_file.get().map(|path| path.0.clone());
            return Some(Self(Some(Forking { pid_file })));
        }
        let forks = bool::decode(node, to)?;
        Some(Self(forks.then(Forking::default)))
    }

    fn schema() -> Value {
        json!({ "anyOf": [bool::schema(), ForkingRecord::schema()] })
    }
}

record! {
    /// The program's environment.
    Env("a mapping with inherit, unset or set") {
        /// Which variables of hushpipe's environment the program inherits: all, none, or a list of
        /// names. all leaves out the credentials that hushpipe and the tools of stores log in with,
        /// VAULT_ADDR and the like; a list passes what it names, such as the program's own
        /// AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, and may have all in it. What a store of
        /// this manifest logs in with is never passed.
        optional inherit "inherit": Inherit = "all";
        /// Variables that are taken out.
        optional unset "unset": List<EnvName>;
        /// Variables that are set. Never a secret: those go into files, fds or stdin.
        optional set "set": Table<EnvName, Text>;
    } elsewhere {
        "*": "" => "write variables below `set`: set: { NAME: value }; secrets as `getenv:` deliveries",
    }
}

record! {
    /// Open file descriptors of hushpipe's caller.
    Fds("a mapping with inherit") {
        /// Which of them the program gets, at their numbers: a number from 3 on, or a variable that
        /// holds one or more, such as NODE_CHANNEL_FD or MAKEFLAGS. All others are closed.
        optional inherit "inherit": List<FdName>;
    } elsewhere {}
}

/// One of `run.fds.inherit:`.
#[derive(Clone, Debug)]
pub struct FdName(pub InheritedFd);

impl Decode for FdName {
    const WANTED: &'static str = "a number from 3 on, or a variable such as NODE_CHANNEL_FD";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| match text.parse::<i32>() {
            Ok(0..=2) => Err("the program always has 0, 1 and 2".to_owned()),
            Ok(number @ 3..) => Ok(Self(InheritedFd::Number(number))),
            Ok(_) => Err("it is negative".to_owned()),
            Err(_) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err("it is not a number".to_owned())
            }
            Err(_) => EnvName::new(text)
                .map(|name| Self(InheritedFd::Variable(name.0)))
                .map_err(str::to_owned),
        })
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "integer", "minimum": 3 }, EnvName::schema()] })
    }
}

/// `run.env.inherit:`
#[derive(Clone, Debug)]
pub enum Inherit {
    /// `all`
    All,
    /// `none`
    None,
    /// A list of names; `all` in it is all but credentials.
    Only(Vec<(Span, EnvName)>),
}

impl Decode for Inherit {
    const WANTED: &'static str = "all, none, or a list of names";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if matches!(node.data, Data::Sequence(_)) {
            let list = List::<EnvName>::decode(node, to)?.0.into_iter();
            let names = list.filter_map(|item| Some((item.span, item.value?)));
            return Some(Self::Only(names.collect()));
        }
        match to.text(node, Self::WANTED)?.as_str() {
            "all" => Some(Self::All),
            "none" => Some(Self::None),
            text => {
                to.not_a_choice(node, text, &["all", "none", "a list such as [PATH, HOME]"]);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["all", "none"] }, List::<EnvName>::schema()] })
    }
}

record! {
    /// How the program is stopped.
    StopRecord("a mapping with signal, timeout or leftovers") {
        /// The first signal.
        optional signal "signal": Signal = "TERM";
        /// SIGKILL follows after this.
        optional timeout "timeout": Duration = "30s";
        /// What becomes of descendants when the program has ended.
        optional leftovers "leftovers": Leftovers = "terminate";
    } elsewhere {}
}

record! {
    /// How signals that hushpipe gets reach the program.
    Signals("a mapping with to or rewrite") {
        /// program: to the program alone. group: to its process group.
        optional to "to": ForwardTo = "program";
        /// What a signal becomes: another one, none, or rotate: the stores are asked for new values.
        optional rewrite "rewrite": Table<Signal, Rewritten>;
    } elsewhere {}
}

/// One of `run.signals.rewrite:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// `none`
    Dropped,
    /// `rotate`
    Rotated,
    /// Another signal.
    To(Signal),
}

impl Decode for Rewritten {
    const WANTED: &'static str = "a signal such as QUIT, rotate, or none";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| match text {
            "none" => Ok(Self::Dropped),
            "rotate" => Ok(Self::Rotated),
            _ => signal(text).map(Self::To),
        })
    }

    fn schema() -> Value {
        Signal::schema()
    }
}

/// A resource limit: `None` is infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Soft limit.
    pub soft: Option<u64>,
    /// Hard limit.
    pub hard: Option<u64>,
}

record! {
    /// A soft and a hard limit.
    LimitPair("a mapping with soft and hard") {
        /// The limit that holds.
        required soft "soft": OneLimit;
        /// Up to where the program may raise it.
        required hard "hard": OneLimit;
    } elsewhere {}
}

/// A number, or infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneLimit(Option<u64>);

impl Decode for OneLimit {
    const WANTED: &'static str = "a number, or infinity";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        match to.raw_text(node, Self::WANTED)? {
            "infinity" | "unlimited" => Some(Self(None)),
            _ => u64::decode(node, to).map(Some).map(Self),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["infinity", "unlimited"] }, u64::schema()] })
    }
}

impl Decode for Limit {
    const WANTED: &'static str = "a number, infinity, or { soft: N, hard: N }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if !matches!(node.data, Data::Mapping(_)) {
            let OneLimit(limit) = OneLimit::decode(node, to)?;
            let (soft, hard) = (limit, limit);
            return Some(Self { soft, hard });
        }
        let pair = LimitPair::decode(node, to)?;
        let (OneLimit(soft), OneLimit(hard)) = (*pair.soft.get()?, *pair.hard.get()?);
        if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
            let help = "the soft limit is the lower one";
            to.fault(
                pair.soft.span,
                "the soft limit is above the hard limit",
                help,
            );
            return None;
        }
        Some(Self { soft, hard })
    }

    fn schema() -> Value {
        json!({ "anyOf": [OneLimit::schema(), LimitPair::schema()] })
    }
}
