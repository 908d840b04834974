//! What policy is asked, and what it says: on facts that the caller cannot choose. Queries and rulings
//! are data: they are recorded, shown, tested and replayed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SecretName;
use super::words::words;

words! {
    /// What is to be done with a secret.
    Action {
        /// A program is to get it.
        Deliver = "deliver",
        /// `secret get --reveal`.
        Reveal = "reveal",
        /// `secret set`, `rm`, `rekey`.
        Change = "change",
        /// `rotate`.
        Rotate = "rotate",
        /// `rollback`.
        Rollback = "rollback",
        /// `revoke`.
        Revoke = "revoke",
        /// `status`.
        Status = "status",
    }
}

/// One question: may this principal do this with that? Text that is not known is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Who.
    pub principal: Principal,
    /// What.
    pub action: Action,
    /// With what.
    pub resource: Resource,
    /// All else.
    pub context: Context,
}

/// Who is to do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Principal {
    /// Of a launch.
    Service(Service),
    /// Of a command.
    Person(Person),
}

impl Principal {
    /// The service's, or the person's.
    pub fn name(&self) -> &str {
        match self {
            Self::Service(service) => &service.name,
            Self::Person(person) => &person.name,
        }
    }
}

/// A service, as manifest and site describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// `service:`
    pub name: String,
    /// `owner:`
    pub owner: String,
    /// The site's; else the manifest's.
    pub environment: String,
    /// `labels:`
    pub labels: BTreeMap<String, String>,
}

/// Who runs a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// The user's name, or the uid where it has none.
    pub name: String,
    /// The kernel's word: real uid of the own process, or SO_PEERCRED.
    pub uid: u32,
    /// Names of the user's unix groups.
    pub groups: Vec<String>,
    /// Whether the command has a terminal.
    pub interactive: bool,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Resource {
    /// A secret.
    Secret(Box<Secret>),
    /// A launch as a whole: its status.
    Service(Service),
}

impl Resource {
    /// The secret's, or the service's.
    pub fn name(&self) -> &str {
        match self {
            Self::Secret(secret) => &secret.name,
            Self::Service(service) => &service.name,
        }
    }
}

/// A secret's description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// Its name in the manifest; in the store, for commands on a sealed store.
    pub name: String,
    /// The store's name in the manifest.
    pub store: String,
    /// `sealed`, `directory`, `command`, `vault`, …
    pub store_type: String,
    /// What the store is asked.
    pub path: String,
    /// `classification:`
    pub classification: String,
    /// `owner:`; else the service's.
    pub owner: String,
    /// `environment:`; else the service's.
    pub environment: String,
    /// `labels:`
    pub labels: BTreeMap<String, String>,
    /// Seconds since its version was made, where that is known; else 0.
    pub age: i64,
}

/// The facts around a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// How the secret is delivered: `file`, `fd`, `stdin`, `fifo`, `credentials`, `getenv`; each kind once.
    pub deliveries: Vec<String>,
    /// `private` or `shared`; empty for a secret that is in no file, fifo or credentials.
    pub isolation: String,
    /// `supervise` or `exec`.
    pub mode: String,
    /// What is done: `launch`, `rotation`, or the command's name.
    pub occasion: String,
    /// All that is the same for each secret of a release.
    #[serde(flatten)]
    pub facts: Facts,
    /// When, by the host's clock.
    pub time: Time,
}

/// Facts of a launch or a command that its caller cannot choose, but for `reason` and `break_glass`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// What will be executed.
    pub program: Program,
    /// Of the arguments (argv without its first), each ended by a NUL byte.
    pub arguments_sha256: String,
    /// What a request for approval shows as well. It is not recorded, and policy does not see it.
    #[serde(skip)]
    pub shown: Shown,
    /// The user that the program runs as.
    pub user: String,
    /// Its uid.
    pub uid: u32,
    /// /proc/self/loginuid (audit(7)): who logged in, whatever su or sudo did since; -1: nobody did.
    pub login_uid: i64,
    /// The systemd unit, by hushpipe's cgroup.
    pub unit: String,
    /// The container's id, by the cgroup.
    pub container: String,
    /// The pod's uid, by the cgroup.
    pub pod: String,
    /// The host's name: uname(2).
    pub host: String,
    /// Whether hushpipe is in the kernel's first namespaces of users, host names, processes and cgroups:
    /// no caller has made those that say the name, the unit and the uid.
    pub in_host_namespaces: bool,
    /// The site's `environment`; else the manifest's.
    pub environment: String,
    /// The site's labels.
    pub site: BTreeMap<String, String>,
    /// The manifest.
    pub manifest: Manifest,
    /// Whether standard input is a terminal.
    pub terminal: bool,
    /// `--reason TEXT`
    pub reason: String,
    /// Whether `--break-glass TEXT` was given; its text is the reason.
    pub break_glass: bool,
}

/// What people see of a launch who approve it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// argv without its first.
    pub arguments: Vec<String>,
    /// The program's working directory.
    pub directory: String,
    /// Where the launch's files are: `private` or `shared`; empty without any.
    pub isolation: String,
}

/// What a person says for a launch or a command. Policy can ask for it; it is no fact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Justification {
    /// `--reason TEXT`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `--break-glass TEXT`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

impl Justification {
    /// Whether nothing was said.
    pub const fn is_empty(&self) -> bool {
        self.reason.is_none() && self.break_glass.is_none()
    }

    /// Puts it among the facts that policy sees.
    pub fn apply(&self, facts: &mut Facts) {
        let text = self.break_glass.as_ref().or(self.reason.as_ref());
        facts.reason = text.cloned().unwrap_or_default();
        facts.break_glass = self.break_glass.is_some();
    }
}

/// The program, by the descriptor that is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// Its path, without links.
    pub path: String,
    /// Its `argv[0]`.
    pub argv0: String,
    /// Of its bytes, in hex. A script's own.
    pub sha256: String,
    /// Whether these bytes are those that are executed: a sealed copy, fs-verity, or a file that only
    /// root can write; of a script, root alone can also write its interpreters and its PATH. And no
    /// inherited variable has it run others.
    pub pinned: bool,
    /// A script's interpreter; empty for a binary. Of several the last, or the first that others than root
    /// can change.
    pub interpreter: String,
    /// Of the interpreter's bytes.
    pub interpreter_sha256: String,
    /// The file's owner, or that of an interpreter that others than root can change.
    pub owner: u32,
    /// The permission bits of the same file, in octal.
    #[serde(with = "octal")]
    pub mode: u32,
}

/// Permission bits as policies and people have them: `"0755"`.
mod octal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Mode {
        Text(String),
        /// As records had it once.
        Bits(u32),
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
    pub fn serialize<S: Serializer>(mode: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{mode:04o}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        match Mode::deserialize(from)? {
            Mode::Text(text) => u32::from_str_radix(&text, 8)
                .map_err(|_| D::Error::custom("a mode is octal, such as \"0755\"")),
            Mode::Bits(bits) => Ok(bits),
        }
    }
}

/// The manifest of a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Absolute path.
    pub path: String,
    /// Of its bytes, in hex.
    pub sha256: String,
    /// Variables of hushpipe's environment that it depends on, sorted: of its `${NAME}`, of what it leaves
    /// out for the environment to say, and inherited ones that have the program run other code.
    pub variables: Vec<String>,
    /// Of their names and values, in hex; empty without any.
    pub variables_sha256: String,
    /// The principal of the signature, checked; empty: it has none, or none was wanted.
    pub signed_by: String,
}

/// Time in the zone of the host, whatever TZ says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 1 (Monday) to 7.
    pub weekday: u8,
    /// Seconds since 1970.
    pub unix: i64,
}

/// What policy says to a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Its word.
    pub effect: Effect,
    /// Ids of the policies that decided; none: no policy permits it.
    pub policies: Vec<String>,
    /// Errors of evaluation; each denies.
    pub errors: Vec<String>,
    /// What lifts the denial, all of it; only with [`Effect::Pending`].
    pub obligations: Vec<Obligation>,
    /// What a denial at a rotation does: `@on_rotation("stop")` of a deciding policy.
    pub stop: bool,
}

words! {
    /// Policy's word.
    Effect {
        /// It may be.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
        /// It may, once its obligations are met.
        Pending = "pending",
    }
}

/// What a `forbid` is lifted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wants", rename_all = "snake_case")]
pub enum Obligation {
    /// `@approval("2 of sre within 8h")`
    Approval {
        /// The policy's id.
        policy: String,
        /// How many distinct people.
        needed: u32,
        /// Of this group: of entities.json, or a unix group.
        group: String,
        /// An approval is not older than this.
        within: Duration,
    },
    /// `@reason`: `--reason TEXT`.
    Reason {
        /// The policy's id.
        policy: String,
    },
}

/// The rulings of one release: one for each secret.
pub type Rulings = BTreeMap<SecretName, Ruling>;
