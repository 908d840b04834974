//! What is said over the control socket: one request, one reply, each a line of JSON.

use serde::{Deserialize, Serialize};

/// What a launcher is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How are things?
    Status,
    /// Ask the stores now, and hand over what is new. A secret that is named gets a new value where
    /// its store makes one on demand (a new lease), and loses a pin that a rollback gave it.
    Rotate {
        /// One secret, or all.
        secret: Option<String>,
    },
    /// Hand the values before over again. What is rolled back from is not taken again until there
    /// is something newer.
    Rollback {
        /// One secret; without it, the whole generation before.
        secret: Option<String>,
        /// The version to go to, where the store keeps versions; without it, the one before.
        to: Option<u64>,
    },
    /// Revoke the secret's lease at its store, and rotate at once.
    Revoke {
        /// Which secret.
        secret: String,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// It is done.
    Done {
        /// In words, for people: `generation 4 is in place`.
        message: String,
        /// The generation that the program has now.
        generation: u64,
    },
    /// It was not done.
    Refused {
        /// The exit code of the one who asked: sysexits, as everywhere.
        exit: u8,
        /// Why, and what to do.
        message: String,
    },
}

/// A launcher's state, without values. Times are RFC 3339 in UTC; lengths of time are seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// hushpipe's version.
    pub version: String,
    /// `service:` of the manifest.
    pub service: String,
    /// The manifest's path.
    pub manifest: String,
    /// hushpipe's process id.
    pub pid: u32,
    /// The program's process id.
    pub program_pid: Option<i32>,
    /// Its `argv[0]`.
    pub program: String,
    /// When it was started last.
    pub started: Option<String>,
    /// How often it was restarted by rotations.
    pub restarts: u64,
    /// The generation that it has.
    pub generation: u64,
    /// `steady`, `settling`, `fetching`, `retrying`, `verifying`, ...
    pub state: String,
    /// Everything is well: no store is down, nothing failed since the last good rotation.
    pub healthy: bool,
    /// One for each secret, by name.
    pub secrets: Vec<SecretStatus>,
    /// The last rotation that worked.
    pub last_rotation: Option<Moment>,
    /// The last fault.
    pub last_fault: Option<Moment>,
    /// Stores that do not answer, and why.
    pub outages: Vec<Outage>,
    /// What will be done next.
    pub next: Option<Next>,
    /// `do: restart`: how many restarts are left in this time; 0 says that the budget is exhausted.
    pub restarts_left: Option<u32>,
}

/// A secret's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
    /// Its store.
    pub store: String,
    /// What the store calls the value that the program has.
    pub version: String,
    /// How old that is, from its hand-over.
    pub age_seconds: u64,
    /// How long its lease, or its certificate, is still good.
    pub lease_seconds: Option<u64>,
    /// A version that failed, and is not tried again.
    pub quarantined: Option<String>,
    /// The version that a rollback holds it at.
    pub pinned: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: String,
    /// What.
    pub message: String,
}

/// A store that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Which.
    pub store: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub message: String,
}

/// Something to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// What: `ask the stores`, `try again`, `replace db`.
    pub what: String,
    /// In how long.
    pub in_seconds: u64,
}
