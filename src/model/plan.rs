//! The plan: the manifest, checked and resolved. It holds no secret bytes, and nothing in it is
//! optional that must be there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{FileMode, Place, SecretName, SecretRef, Sha256, Signal, StoreName};

/// Everything a launch needs to know, but for the values.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The manifest it came from, for messages.
    pub manifest: PathBuf,
    /// Identity in policy, audit and metrics.
    pub service: String,
    /// Such as `production`.
    pub environment: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where secrets live.
    pub stores: BTreeMap<StoreName, StoreSpec>,
    /// What is fetched.
    pub secrets: BTreeMap<SecretName, SecretSpec>,
    /// What is delivered, in the manifest's order.
    pub deliveries: Vec<Delivery>,
    /// Where files go.
    pub isolation: Isolation,
    /// Stay as the parent, or become the program.
    pub mode: Mode,
    /// The program.
    pub run: RunSpec,
    /// What a new generation does.
    pub on_rotate: OnRotate,
    /// What is odd in the manifest, but no fault: `FILE:LINE:COLUMN: text`.
    pub warnings: Vec<String>,
}

/// `mode:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// hushpipe stays as the parent.
    #[default]
    Supervise,
    /// hushpipe becomes the program: no process stays behind, no rotation.
    Exec,
}

/// One of `stores:`.
#[derive(Clone, Debug)]
pub struct StoreSpec {
    /// Where it stands in the manifest.
    pub at: Place,
    /// Its type and settings.
    pub kind: StoreKind,
}

/// `type:` of a store.
#[derive(Clone, Debug)]
pub enum StoreKind {
    /// age files, one a version.
    Sealed(SealedStore),
    /// One file a secret.
    Directory(DirectoryStore),
    /// The output of a program.
    Command(CommandStore),
}

/// `type: sealed`. Relative paths are taken from the manifest's directory.
#[derive(Clone, Debug)]
pub struct SealedStore {
    /// The store's directory.
    pub path: PathBuf,
    /// age or OpenSSH ed25519 identity, readable by its owner alone.
    pub identity_file: PathBuf,
}

/// `type: directory`.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    /// The directory whose files are the secrets.
    pub path: PathBuf,
}

/// `type: command`.
#[derive(Clone, Debug)]
pub struct CommandStore {
    /// The argv. Where an argument holds `{key}`, the command runs once a secret, with the secret's
    /// `key` in its place; else it runs once, and `key` picks a field of what it prints.
    pub run: Vec<String>,
    /// How its standard output is read.
    pub format: ValueFormat,
    /// It is killed when it takes longer (default 30s).
    pub timeout: Duration,
    /// Names of variables of hushpipe's own environment that it gets, beside PATH, HOME, USER,
    /// LANG, LC_ALL, TZ, TERM, XDG_RUNTIME_DIR and XDG_CONFIG_HOME.
    pub env: Vec<String>,
}

/// How raw bytes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueFormat {
    /// As they are.
    #[default]
    Raw,
    /// A JSON object whose members are the fields (a JSON string or scalar is a raw value).
    Json,
    /// `NAME=value` lines.
    Dotenv,
}

/// One of `secrets:`.
#[derive(Clone, Debug)]
pub struct SecretSpec {
    /// Where it stands in the manifest.
    pub at: Place,
    /// Which store, and what to ask it.
    pub source: Source,
    /// How often it is looked at again.
    pub refresh: Refresh,
    /// What must hold for the value before it is used.
    pub checks: Checks,
    /// Free words that policy reads.
    pub classification: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// What is asked of a store. Equal sources are one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which store.
    pub store: StoreName,
    /// The name in the store: a relative path such as `stripe/token`. `None` only for command
    /// stores without `{key}`: the whole output.
    pub key: Option<String>,
    /// A pinned version (sealed store), instead of the current one.
    pub version: Option<u64>,
    /// How the value's bytes are read; stores that know fields themselves ignore it.
    pub format: ValueFormat,
}

/// `refresh:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// What the store knows best: it is told of changes, or none are seen.
    #[default]
    Store,
    /// Not looked at again.
    Never,
    /// Looked at again in this time.
    Every(Duration),
}

/// `check:` of a secret.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// For the whole value.
    pub whole: FieldChecks,
    /// For single fields; a field named here must be there.
    pub fields: BTreeMap<String, FieldChecks>,
}

/// What must hold for the bytes of a value or of a field.
#[derive(Clone, Debug, Default)]
pub struct FieldChecks {
    /// A regular expression that must match somewhere (anchor it with ^ and $).
    pub pattern: Option<String>,
    /// At least so many bytes.
    pub min_length: Option<usize>,
    /// At most so many bytes.
    pub max_length: Option<usize>,
    /// It must parse as JSON.
    pub json: bool,
    /// It must be one or more PEM certificates, the first of which is valid now.
    pub certificate: bool,
}

/// One of `deliver:`.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it stands in the manifest.
    pub at: Place,
    /// How the program sees it.
    pub kind: DeliveryKind,
    /// What is in it.
    pub channel: Channel,
}

/// What a delivery carries.
#[derive(Clone, Debug)]
pub enum Channel {
    /// `secret:` the value or field as it is, byte for byte.
    Secret(SecretRef),
    /// `content:` a minijinja template.
    Template(String),
}

/// The ways in.
#[derive(Clone, Debug)]
pub enum DeliveryKind {
    /// `file:` an absolute path.
    File(FileSpec),
    /// `fifo:` an absolute path; each opening reads the current value once.
    Fifo {
        /// Path, mode and owner.
        file: FileSpec,
        /// Reads after which it is taken away.
        max_reads: Option<u64>,
    },
    /// `fd:` from 3 on.
    Fd {
        /// The number the program sees.
        number: i32,
        /// `as:`
        kind: FdKind,
    },
    /// `stdin: true`
    Stdin,
}

/// Path, mode and owner of a delivered file.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// Absolute, normal (no `.` or `..`).
    pub path: PathBuf,
    /// Permission bits; default 0400.
    pub mode: FileMode,
    /// `owner:` and `group:`; default: those of `run.user`, else hushpipe's own.
    pub owner: OwnerSpec,
}

/// A user and a group, by name or number.
#[derive(Clone, Debug, Default)]
pub struct OwnerSpec {
    /// User name or uid.
    pub user: Option<String>,
    /// Group name or gid.
    pub group: Option<String>,
}

/// `as:` of an fd delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdKind {
    /// A sealed memfd, re-readable.
    Memfd,
    /// A pipe, readable once.
    Pipe,
}

/// `isolation:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Private where possible, else shared, and says which.
    #[default]
    Auto,
    /// A mount namespace of the program's own.
    Private,
    /// A 0700 directory on tmpfs or ramfs.
    Shared,
}

/// `run:`
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// The argv; never empty. The command line's `-- CMD ARG...` goes before the manifest's.
    pub command: Vec<String>,
    /// User name or uid to run as.
    pub user: Option<String>,
    /// Group name or gid; default: the user's.
    pub group: Option<String>,
    /// Supplementary groups; `None`: those of the user database.
    pub supplementary_groups: Option<Vec<String>>,
    /// Working directory; default: hushpipe's.
    pub cwd: Option<PathBuf>,
    /// File mode creation mask; default: hushpipe's.
    pub umask: Option<u32>,
    /// Environment.
    pub env: EnvSpec,
    /// The program's digest, checked before anything is fetched.
    pub sha256: Option<Sha256>,
    /// How it is stopped.
    pub stop: Stop,
    /// How signals are forwarded.
    pub forward: Forward,
    /// Whether the program may dump core. Default false.
    pub core_dumps: bool,
    /// prctl(PR_SET_NO_NEW_PRIVS). Default true.
    pub no_new_privs: bool,
    /// setrlimit(2): resource name as in `ulimit`/systemd (`nofile`, `memlock`, …) to soft and hard
    /// limit; `None` is infinity.
    pub rlimits: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

/// `run.env:`
#[derive(Clone, Debug, Default)]
pub struct EnvSpec {
    /// Which variables of hushpipe's environment go on.
    pub inherit: EnvInherit,
    /// Taken out after inheriting.
    pub unset: Vec<String>,
    /// Set on top.
    pub set: BTreeMap<String, String>,
}

/// `run.env.inherit:`
#[derive(Clone, Debug, Default)]
pub enum EnvInherit {
    /// All but hushpipe's bootstrap credentials.
    #[default]
    All,
    /// None.
    None,
    /// These, where they are set.
    Only(Vec<String>),
}

/// `run.stop:`
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// First signal; default TERM.
    pub signal: Signal,
    /// Then SIGKILL after this; default 30s.
    pub timeout: Duration,
    /// What becomes of descendants when the program has ended.
    pub leftovers: Leftovers,
}

/// `run.stop.leftovers:`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// Ended with the program: TERM, then KILL after the timeout.
    #[default]
    Terminate,
    /// Left running.
    Leave,
}

/// `run.signals:`
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// `to: group`: to the program's process group, else to the program alone.
    pub to_group: bool,
    /// What a received signal becomes.
    pub rewrite: BTreeMap<Signal, Rewrite>,
}

/// One of `run.signals.rewrite:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Sent instead.
    To(Signal),
    /// `none`: not passed on.
    Drop,
}

/// `on_rotate:`
#[derive(Clone, Debug)]
pub struct OnRotate {
    /// `do:`
    pub action: RotateAction,
    /// Changes within it become one generation; default 2s.
    pub settle: Duration,
}

/// What tells the program of a new generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotateAction {
    /// `do: signal` with `signal: HUP`.
    Signal(Signal),
    /// `do: nothing`: the files change, the program is not told.
    Nothing,
}
