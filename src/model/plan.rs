//! The plan: the manifest, checked and resolved. It holds no secret bytes, and nothing in it is
//! optional that must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::startup::Startup;
use super::template::Template;
use super::words::words;
use super::written::{
    alive, command, duration, duration_or_none, limits, names, no_token_file, parameters, path,
    path_or_none, retry, signal, template, token_file, umask,
};
use super::{FileMode, Place, SecretName, SecretRef, Sha256, Signal, StoreName, VersionRef};

/// Everything a launch needs to know, but for the values.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The manifest it came from, for messages.
    #[serde(serialize_with = "path")]
    pub manifest: PathBuf,
    /// Where the file is, without links; only on a host with a site.
    #[serde(skip)]
    pub manifest_file: Option<PathBuf>,
    /// Of the bytes that were read; only on a host with a site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<Sha256>,
    /// Who signed the manifest, where the site wants a signature.
    #[serde(skip)]
    pub manifest_signer: Option<String>,
    /// What it was put together with, of hushpipe's environment; only on a host with a site. `None`: with
    /// nothing.
    #[serde(skip)]
    pub manifest_variables: Option<Variables>,
    /// Identity in policy, audit and metrics.
    pub service: String,
    /// Such as `production`.
    pub environment: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Free words that policy reads.
    pub labels: BTreeMap<String, String>,
    /// Where secrets live.
    pub stores: BTreeMap<StoreName, StoreSpec>,
    /// What is fetched.
    pub secrets: BTreeMap<SecretName, SecretSpec>,
    /// What is delivered, in the manifest's order.
    #[serde(rename = "deliver")]
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

words! {
    /// One of `run.redact.streams:`
    OutputStream {
        /// Descriptor 1.
        Stdout = "stdout",
        /// Descriptor 2.
        Stderr = "stderr",
    }
}

words! {
    /// `mode:`
    #[derive(Default)]
    Mode {
        /// hushpipe stays as the parent.
        #[default]
        Supervise = "supervise",
        /// hushpipe becomes the program: no process stays behind, no rotation.
        Exec = "exec",
    }
}

/// One of `stores:`.
#[derive(Clone, Debug, Serialize)]
pub struct StoreSpec {
    /// Where it stands in the manifest.
    #[serde(skip)]
    pub at: Place,
    /// Its type and settings.
    #[serde(flatten)]
    pub kind: StoreKind,
    /// Owners of its files (uids) that are trusted beside root and hushpipe's own user.
    #[serde(skip)]
    pub trust: Vec<u32>,
}

/// `type:` of a store.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum StoreKind {
    /// age files, one a version.
    Sealed(SealedStore),
    /// One file a secret.
    Directory(DirectoryStore),
    /// The output of a program.
    Command(CommandStore),
    /// HashiCorp Vault or OpenBao.
    Vault(Box<VaultStore>),
}

impl StoreKind {
    /// Its `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sealed(_) => "sealed",
            Self::Directory(_) => "directory",
            Self::Command(_) => "command",
            Self::Vault(_) => "vault",
        }
    }
}

/// `type: sealed`. Relative paths are taken from the manifest's directory.
#[derive(Clone, Debug, Serialize)]
pub struct SealedStore {
    /// The store's directory.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
    /// age or OpenSSH ed25519 identity, readable by its owner alone.
    #[serde(serialize_with = "path")]
    pub identity_file: PathBuf,
    /// `--accept-store`: a person has looked at what is there, which is not what this host knows.
    #[serde(skip)]
    pub accept: bool,
}

/// `type: directory`.
#[derive(Clone, Debug, Serialize)]
pub struct DirectoryStore {
    /// The directory whose files are the secrets.
    #[serde(serialize_with = "path")]
    pub path: PathBuf,
}

/// `type: command`.
#[derive(Clone, Debug, Serialize)]
pub struct CommandStore {
    /// The argv. Where an argument holds `{key}`, the command runs once a secret, with the secret's
    /// `key` in its place; else it runs once, and `key` picks a field of what it prints.
    pub run: Vec<String>,
    /// How its standard output is read.
    pub format: ValueFormat,
    /// It is killed when it takes longer (default 30s).
    #[serde(serialize_with = "duration")]
    pub timeout: Duration,
    /// Names of variables of hushpipe's own environment that it gets, beside PATH, HOME, USER,
    /// LANG, LC_ALL, TZ, TERM, XDG_RUNTIME_DIR and XDG_CONFIG_HOME.
    pub env: Vec<String>,
    /// Whether messages show the last line of its standard error.
    #[serde(skip)]
    pub show_errors: bool,
}

/// `type: vault`: HashiCorp Vault and OpenBao. What the manifest leaves out comes from `VAULT_ADDR`,
/// `VAULT_NAMESPACE`, `VAULT_CACERT` and so on; the plan has the result.
#[derive(Clone, Debug, Serialize)]
pub struct VaultStore {
    /// Where the server is; tried in turn.
    #[serde(rename = "address")]
    pub addresses: Vec<Address>,
    /// Sent as `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// How the server is known and hushpipe shows itself.
    #[serde(flatten)]
    pub tls: Tls,
    /// How hushpipe logs in.
    pub auth: VaultAuth,
    /// How long a request may take, with all that is tried again within it (default 60s).
    #[serde(rename = "retry", serialize_with = "retry")]
    pub deadline: Duration,
    /// Whether leases and the login token are revoked at the end (default true; false in mode exec,
    /// where nobody is left to). A token that was given, not logged in for, is never revoked.
    pub revoke_on_exit: bool,
    /// Requests that people have to authorize.
    pub control_group: ControlGroup,
}

/// Requests that people have to authorize, in a control group of the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ControlGroup {
    /// How long a start of the program waits for them (default 10m). A rotation does not wait.
    #[serde(serialize_with = "duration")]
    pub wait: Duration,
}

/// Where an HTTP server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://` or `https://`, host, port and perhaps a path; no trailing slash.
    Url(String),
    /// `unix:///path`: plain HTTP over a socket.
    Unix(PathBuf),
}

/// TLS settings. Files are read when a connection is made, so that new ones are taken up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// PEM certificates of authorities; with this or `ca_path` the system's own are not trusted.
    #[serde(serialize_with = "path_or_none")]
    pub ca_file: Option<PathBuf>,
    /// A directory of such files.
    #[serde(serialize_with = "path_or_none")]
    pub ca_path: Option<PathBuf>,
    /// The name that the server's certificate must have, if not the address's host.
    #[serde(rename = "tls_server_name")]
    pub server_name: Option<String>,
    /// What hushpipe shows itself with.
    #[serde(flatten, serialize_with = "client")]
    pub client: Option<ClientCertificate>,
    /// Owners of these files (uids) that are trusted: see [`StoreSpec::trust`].
    #[serde(skip)]
    pub trust: Vec<u32>,
}

/// A PEM certificate chain and its key: files, or unix sockets that give their content to whoever
/// connects and close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, the client's own first.
    pub certificate: PathBuf,
    /// The private key; may be the same file.
    pub key: PathBuf,
}

#[allow(clippy::ref_option, reason = "serde gives references to fields")]
fn client<S: Serializer>(client: &Option<ClientCertificate>, to: S) -> Result<S::Ok, S::Error> {
    let shown = |path: fn(&ClientCertificate) -> &PathBuf| {
        client
            .as_ref()
            .map(|client| path(client).display().to_string())
    };
    let mut map = to.serialize_map(None)?;
    map.serialize_entry("client_cert", &shown(|client| &client.certificate))?;
    map.serialize_entry("client_key", &shown(|client| &client.key))?;
    map.end()
}

/// `auth:` of a vault store. The `mount` is the path of the auth method, without `auth/`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum VaultAuth {
    /// The token in `VAULT_TOKEN` (or `BAO_TOKEN`).
    #[serde(rename = "token", serialize_with = "no_token_file")]
    Environment,
    /// `method: token`: a file, read again when it changes. Default `~/.vault-token`.
    #[serde(rename = "token", serialize_with = "token_file")]
    TokenFile(PathBuf),
    /// `method: approle`
    AppRole {
        /// Default `approle`.
        mount: String,
        /// The role's id.
        #[serde(serialize_with = "path")]
        role_id_file: PathBuf,
        /// The secret id; roles may need none.
        #[serde(serialize_with = "path_or_none")]
        secret_id_file: Option<PathBuf>,
        /// The file holds a wrapping token of the secret id.
        wrapped: bool,
        /// The secret id's file is removed once a login worked; the id is then kept in protected
        /// memory for the next login.
        #[serde(rename = "remove_secret_id_file")]
        remove: bool,
    },
    /// `method: jwt` and `method: kubernetes`: the file is read again at every login.
    Jwt {
        /// Default `jwt` or `kubernetes`.
        mount: String,
        /// The role to log in for.
        role: Option<String>,
        /// The token's file.
        #[serde(serialize_with = "path")]
        jwt_file: PathBuf,
    },
    /// `method: cert`: the client certificate of `tls`.
    #[serde(rename = "cert")]
    Certificate {
        /// Default `cert`.
        mount: String,
        /// The certificate role; the server looks for one if there is none.
        role: Option<String>,
    },
    /// `method: userpass`
    UserPass {
        /// Default `userpass`.
        mount: String,
        /// Who logs in.
        username: String,
        /// Their password; one line end at its end is not part of it.
        #[serde(serialize_with = "path")]
        password_file: PathBuf,
    },
}

impl VaultAuth {
    /// The files that it takes.
    pub fn files(&self) -> Vec<&PathBuf> {
        match self {
            Self::Environment | Self::Certificate { .. } => Vec::new(),
            Self::TokenFile(file) => vec![file],
            Self::AppRole {
                role_id_file,
                secret_id_file,
                ..
            } => [role_id_file].into_iter().chain(secret_id_file).collect(),
            Self::Jwt { jwt_file, .. } => vec![jwt_file],
            Self::UserPass { password_file, .. } => vec![password_file],
        }
    }
}

words! {
    /// How raw bytes are read.
    #[derive(Default)]
    ValueFormat {
        /// As they are.
        #[default]
        Raw = "raw",
        /// A JSON object whose members are the fields (a JSON string or scalar is a raw value).
        Json = "json",
        /// `NAME=value` lines.
        Dotenv = "dotenv",
    }
}

/// One of `secrets:`.
#[derive(Clone, Debug, Serialize)]
pub struct SecretSpec {
    /// Where it stands in the manifest.
    #[serde(skip)]
    pub at: Place,
    /// Which store, and what to ask it.
    #[serde(flatten)]
    pub source: Source,
    /// Whether line ends at the end of its text are no part of it.
    #[serde(skip)]
    pub trim: bool,
    /// How often it is looked at again.
    pub refresh: Refresh,
    /// What must hold for the value before it is used.
    pub checks: Checks,
    /// What a change of this secret does, if not what `on_rotate` of the manifest says.
    pub on_rotate: Option<RotateAction>,
    /// Free words that policy reads.
    pub classification: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The environment that it belongs to, where it is not the service's.
    pub environment: Option<String>,
    /// Free words that policy reads.
    pub labels: BTreeMap<String, String>,
    /// How old a version may become.
    #[serde(serialize_with = "duration_or_none")]
    pub max_age: Option<Duration>,
    /// Fields that are no secrets: they may stand in arguments and environment.
    #[serde(skip)]
    pub public: Vec<String>,
}

/// What is asked of a store. Equal sources are one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Which store.
    pub store: StoreName,
    /// The name in the store: a relative path such as `stripe/token`. `None` only for command
    /// stores without `{key}`: the whole output.
    pub key: Option<String>,
    /// A pinned version (sealed store, KV v2), instead of the current one.
    pub version: Option<VersionRef>,
    /// What a vault store is asked, in place of a key.
    pub request: Option<VaultRequest>,
    /// How the value's bytes are read; stores that know fields themselves ignore it.
    pub format: ValueFormat,
}

/// What is asked of a vault store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct VaultRequest {
    /// The API's path without `/v1/`: `kv/data/payments/stripe`, `database/creds/payments`,
    /// `pki/issue/web`, `sys/wrapping/unwrap`. `mount` and `key` of the manifest are
    /// `MOUNT/data/KEY` here.
    pub path: String,
    /// `parameters:` as one JSON object with sorted names. With them it is a POST, else a GET.
    #[serde(serialize_with = "parameters")]
    pub parameters: Option<String>,
    /// For `sys/wrapping/unwrap`: the file with the wrapping token.
    #[serde(serialize_with = "path_or_none")]
    pub token_file: Option<PathBuf>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// For the whole value.
    pub whole: FieldChecks,
    /// For single fields; a field named here must be there.
    pub fields: BTreeMap<String, FieldChecks>,
}

impl Checks {
    /// How many bytes a value, or a field of it, has at least, where that is said. `min_length: 0` for
    /// the whole holds for its fields.
    pub fn least(&self, field: Option<&str>) -> Option<usize> {
        let whole = self.whole.min_length;
        match field {
            None => whole,
            Some(name) => {
                let own = self.fields.get(name).and_then(|checks| checks.min_length);
                own.or(whole.filter(|least| *least == 0))
            }
        }
    }
}

/// What must hold for the bytes of a value or of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// Where it stands in the manifest.
    #[serde(skip)]
    pub at: Place,
    /// How the program sees it.
    #[serde(flatten)]
    pub kind: DeliveryKind,
    /// What is in it.
    #[serde(flatten)]
    pub channel: Channel,
}

/// What a delivery carries.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// `secret:` the value or field as it is, byte for byte.
    Secret(SecretRef),
    /// `content:` a minijinja template.
    #[serde(rename = "content", serialize_with = "template")]
    Template(Template),
}

impl Channel {
    /// The secrets and fields that it shows.
    pub fn references(&self) -> BTreeSet<SecretRef> {
        match self {
            Self::Secret(reference) => BTreeSet::from([reference.clone()]),
            Self::Template(template) => template.names().clone(),
        }
    }

    /// The secrets that it shows.
    pub fn secrets(&self) -> BTreeSet<SecretName> {
        let references = self.references().into_iter();
        references.map(|reference| reference.secret).collect()
    }
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
        /// Permission bits; default 0400. They count when the program opens /dev/fd/N anew.
        mode: FileMode,
        /// `owner:` and `group:`; default: those of `run.user`, else hushpipe's own.
        owner: OwnerSpec,
    },
    /// `getenv:` a variable that only getenv(3) and its like see.
    Getenv {
        /// Its name.
        name: String,
        /// `children:`
        children: Children,
    },
    /// `stdin: true`
    Stdin,
    /// One of `credentials:`, in the directory that holds the program's `$CREDENTIALS_DIRECTORY`.
    Credential(FileSpec),
}

impl DeliveryKind {
    /// Its kind, as manifests name it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Fifo { .. } => "fifo",
            Self::Fd { .. } => "fd",
            Self::Getenv { .. } => "getenv",
            Self::Stdin => "stdin",
            Self::Credential(_) => "credentials",
        }
    }

    /// Where it is: a path, a number, a name; empty for standard input.
    pub fn place(&self) -> String {
        match self {
            Self::File(file) | Self::Fifo { file, .. } | Self::Credential(file) => {
                file.path.display().to_string()
            }
            Self::Fd { number, .. } => number.to_string(),
            Self::Getenv { name, .. } => name.clone(),
            Self::Stdin => String::new(),
        }
    }
}

words! {
    /// Whether what the program starts has a variable of `getenv` too.
    Children {
        /// The program alone has it, through its own execs.
        None = "none",
        /// Every process that inherits it.
        Same = "same",
    }
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
    /// `link:` a symbolic link that leads to it while the program runs.
    pub link: Option<PathBuf>,
}

/// A user and a group, by name or number.
#[derive(Clone, Debug, Default)]
pub struct OwnerSpec {
    /// User name or uid.
    pub user: Option<String>,
    /// Group name or gid.
    pub group: Option<String>,
}

words! {
    /// `as:` of an fd delivery.
    FdKind {
        /// A sealed memfd, re-readable.
        Memfd = "memfd",
        /// A pipe, readable once.
        Pipe = "pipe",
    }
}

words! {
    /// `isolation:`
    #[derive(Default)]
    Isolation {
        /// Private where possible, else shared, and says which.
        #[default]
        Auto = "auto",
        /// A mount namespace of the program's own.
        Private = "private",
        /// A 0700 directory on tmpfs or ramfs.
        Shared = "shared",
    }
}

/// `run:`
#[derive(Clone, Debug, Serialize)]
pub struct RunSpec {
    /// The argv; never empty. The command line's `-- CMD ARG...` goes before the manifest's.
    #[serde(serialize_with = "command")]
    pub command: Vec<OsString>,
    /// User name or uid to run as.
    pub user: Option<String>,
    /// Group name or gid; default: the user's.
    pub group: Option<String>,
    /// Supplementary groups; `None`: those of the user database.
    #[serde(rename = "groups")]
    pub supplementary_groups: Option<Vec<String>>,
    /// Working directory; default: hushpipe's.
    #[serde(serialize_with = "path_or_none")]
    pub cwd: Option<PathBuf>,
    /// File mode creation mask; default: hushpipe's.
    #[serde(serialize_with = "umask")]
    pub umask: Option<u32>,
    /// Environment.
    pub env: EnvSpec,
    /// Descriptors of hushpipe's caller that it gets, at their numbers.
    #[serde(skip)]
    pub fds: Vec<InheritedFd>,
    /// The program's digest, checked before anything is fetched.
    pub sha256: Option<Sha256>,
    /// The host has a policy or an audit log: what is judged, or on record by its digest, is executed, and
    /// nothing else.
    #[serde(skip)]
    pub judged: bool,
    /// How it comes up.
    #[serde(flatten)]
    pub startup: Startup,
    /// How it is stopped.
    pub stop: Stop,
    /// How signals are forwarded.
    #[serde(rename = "signals")]
    pub forward: Forward,
    /// Whether the program may dump core. Default false.
    pub core_dumps: bool,
    /// prctl(PR_SET_NO_NEW_PRIVS). Default true.
    pub no_new_privs: bool,
    /// Output in which delivered values are replaced, each once.
    pub redact: Vec<OutputStream>,
    /// setrlimit(2): resource name as in `ulimit`/systemd (`nofile`, `memlock`, …) to soft and hard
    /// limit; `None` is infinity.
    #[serde(serialize_with = "limits")]
    pub rlimits: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

impl RunSpec {
    /// The command for people: what is not UTF-8 is replaced.
    pub fn shown(&self) -> Vec<String> {
        let words = self.command.iter();
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }
}

/// One of `run.fds.inherit:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InheritedFd {
    /// This number.
    Number(i32),
    /// The numbers in this variable of hushpipe's environment; none, where it is not set.
    Variable(String),
}

/// Variables of hushpipe's environment that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables {
    /// Sorted.
    pub names: Vec<String>,
    /// Of names and values.
    pub sha256: Sha256,
}

/// `run.env:`
#[derive(Clone, Debug, Default, Serialize)]
pub struct EnvSpec {
    /// Which variables of hushpipe's environment go on.
    pub inherit: EnvInherit,
    /// Taken out after inheriting.
    pub unset: Vec<String>,
    /// Set on top.
    #[serde(serialize_with = "names")]
    pub set: BTreeMap<String, String>,
    /// What stores log in with: never inherited.
    #[serde(skip)]
    pub withheld: Vec<String>,
    /// Where policy judges the program: the variables by which the caller has it run other code
    /// ([`super::loads_code`]) that the manifest names as inherited, and that are set. The others are not
    /// inherited. `None`: nobody judges it, and all are.
    #[serde(skip)]
    pub loading: Option<Vec<String>>,
}

impl EnvSpec {
    /// Whether the manifest names the variable as one that the program gets.
    pub fn names(&self, name: &str) -> bool {
        let inherits = match &self.inherit {
            EnvInherit::All | EnvInherit::None => false,
            EnvInherit::AllAnd(names) | EnvInherit::Only(names) => {
                names.iter().any(|named| named == name)
            }
        };
        (inherits && !self.unset.iter().any(|unset| unset == name)) || self.set.contains_key(name)
    }
}

/// `run.env.inherit:`
#[derive(Clone, Debug, Default)]
pub enum EnvInherit {
    /// All but hushpipe's bootstrap credentials, and where its vault is.
    #[default]
    All,
    /// None.
    None,
    /// As all, and these.
    AllAnd(Vec<String>),
    /// These, where they are set.
    Only(Vec<String>),
}

/// `run.stop:`
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Stop {
    /// First signal; default TERM.
    pub signal: Signal,
    /// Then SIGKILL after this; default 30s.
    #[serde(serialize_with = "duration")]
    pub timeout: Duration,
    /// What becomes of descendants when the program has ended.
    pub leftovers: Leftovers,
}

words! {
    /// `run.stop.leftovers:`
    #[derive(Default)]
    Leftovers {
        /// Ended with the program: TERM, then KILL after the timeout.
        #[default]
        Terminate = "terminate",
        /// Left running.
        Leave = "leave",
    }
}

words! {
    /// `run.signals.to:`
    ForwardTo {
        /// The program alone.
        Program = "program",
        /// Its process group.
        Group = "group",
    }
}

impl ForwardTo {
    /// Where [`Forward::to_group`] leads.
    pub const fn of(to_group: bool) -> Self {
        if to_group { Self::Group } else { Self::Program }
    }
}

/// `run.signals:`
#[derive(Clone, Debug, Default, Serialize)]
pub struct Forward {
    /// `to: group`: to the program's process group, else to the program alone.
    #[serde(rename = "to", serialize_with = "forward_to")]
    pub to_group: bool,
    /// What a received signal becomes.
    pub rewrite: BTreeMap<Signal, Rewrite>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives references to fields"
)]
fn forward_to<S: Serializer>(group: &bool, to: S) -> Result<S::Ok, S::Error> {
    ForwardTo::of(*group).serialize(to)
}

/// One of `run.signals.rewrite:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Sent instead.
    To(Signal),
    /// `rotate`: not passed on; the stores are asked for new values.
    Rotate,
    /// `none`: not passed on.
    Drop,
}

/// `on_rotate:`
#[derive(Clone, Debug, Serialize)]
pub struct OnRotate {
    /// `do:`
    #[serde(flatten)]
    pub action: RotateAction,
    /// Changes within it become one generation; default 2s.
    #[serde(serialize_with = "duration")]
    pub settle: Duration,
    /// A random part of it is waited for after `settle`, so that a fleet does not move at once;
    /// default 0s.
    #[serde(serialize_with = "duration")]
    pub splay: Duration,
    /// How the program is asked whether it is well with the new generation.
    pub verify: Option<Verify>,
    /// Whether a program that is not gets the old generation back. Default: true with `verify`.
    pub rollback: bool,
    /// How often `do: restart` may restart.
    pub restarts: RestartBudget,
}

impl OnRotate {
    /// This action, and nothing more.
    pub fn only(action: RotateAction, settle: Duration) -> Self {
        Self {
            action,
            settle,
            splay: Duration::ZERO,
            verify: None,
            rollback: false,
            restarts: RestartBudget::default(),
        }
    }
}

/// What tells the program of a new generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum RotateAction {
    /// `do: signal` with `signal: HUP`.
    #[serde(serialize_with = "signal")]
    Signal(Signal),
    /// `do: restart`: stopped as by `run.stop`, then started anew.
    Restart,
    /// `do: command` with `command:` and `timeout:`.
    Command {
        /// The argv.
        #[serde(rename = "command")]
        argv: Vec<String>,
        /// It is killed when it takes longer (default 30s).
        #[serde(serialize_with = "duration")]
        timeout: Duration,
    },
    /// `do: http` with `http:`, `method:` and `timeout:`; a 2xx answer is success.
    Http {
        /// `http://` or `https://`.
        #[serde(rename = "http")]
        url: String,
        /// Default POST.
        method: HttpMethod,
        /// Default 10s.
        #[serde(serialize_with = "duration")]
        timeout: Duration,
    },
    /// `do: nothing`: the files change, the program is not told.
    Nothing,
}

words! {
    /// Methods of `do: http`.
    #[derive(Default)]
    HttpMethod {
        /// GET
        Get = "GET",
        /// POST
        #[default]
        Post = "POST",
        /// PUT
        Put = "PUT",
    }
}

/// `verify:`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verify {
    /// What is asked.
    #[serde(flatten)]
    pub how: VerifyHow,
    /// How long the program has to become well; `alive` waits for all of it. Default 10s.
    #[serde(serialize_with = "duration")]
    pub within: Duration,
}

/// What says that the program is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyHow {
    /// `http:` a URL that answers 2xx.
    Http(String),
    /// `command:` an argv that ends with 0.
    Command(Vec<String>),
    /// `alive: true`: it has not ended by then.
    #[serde(serialize_with = "alive")]
    Alive,
}

/// `restarts: { max: 5, per: 10m }`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RestartBudget {
    /// So many restarts.
    pub max: u32,
    /// Within any such time.
    #[serde(serialize_with = "duration")]
    pub per: Duration,
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            max: 5,
            per: Duration::from_mins(10),
        }
    }
}
