//! What happened, without values: the only thing that logs, and later audit and metrics, ever see.

use std::path::PathBuf;
use std::time::Duration;

use super::{Generation, SecretName, Signal, StoreName, Version};

/// Where files went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationUsed {
    /// A tmpfs in a mount namespace of the program's own.
    Private,
    /// A 0700 directory on tmpfs or ramfs.
    Shared,
}

/// Something that happened. Text in it was made by hushpipe or names things; it never holds a value.
#[derive(Clone, Debug)]
pub enum Event {
    /// All secrets of the first generation are there.
    Fetched {
        /// How many secrets.
        secrets: usize,
        /// How many requests it took.
        requests: usize,
        /// How long it took.
        took: Duration,
    },
    /// A store has not answered yet, while the program waits for its first generation.
    Waiting {
        /// Which store.
        store: StoreName,
        /// For how long so far.
        waited: Duration,
        /// What is wrong, where the store knows and tries again.
        why: Option<String>,
    },
    /// Where files go, and why not the better place.
    Isolation {
        /// Which.
        used: IsolationUsed,
        /// Why private was not possible.
        reason: Option<String>,
    },
    /// The program runs.
    Started {
        /// Its process id.
        pid: i32,
        /// Its `argv[0]`.
        program: String,
    },
    /// The launcher can be asked from now on.
    ControlSocket {
        /// At this path.
        path: PathBuf,
    },
    /// hushpipe gave up what it does not need any more.
    Confined {
        /// What holds now, and what does not and why.
        protections: Vec<String>,
    },
    /// A signal went to the program.
    Forwarded {
        /// What was received.
        received: Signal,
        /// What was sent.
        sent: Signal,
    },
    /// The program, or one of its descendants, said something to systemd.
    Relayed {
        /// Whose message it was.
        pid: i32,
        /// The names of its fields: `READY`, `STATUS`.
        fields: Vec<String>,
    },
    /// Another process is the program from now on: it was named by `MAINPID=`, or is the daemon that
    /// the program left.
    Following {
        /// Its process id.
        pid: i32,
    },
    /// The program is being stopped.
    Stopping {
        /// The signal that asks it to end.
        signal: Signal,
        /// How long it may take.
        timeout: Duration,
    },
    /// The program did not end in time, or a second request came: SIGKILL.
    Killed,
    /// The program ended.
    Exited {
        /// As a shell would give it: its code, or 128+N.
        code: u8,
        /// The signal that ended it.
        signal: Option<Signal>,
    },
    /// A descendant that outlived the program was ended.
    Leftover {
        /// Its process id.
        pid: i32,
    },
    /// A store was asked again and a secret has a new version.
    Changed {
        /// Which secret.
        secret: SecretName,
        /// Its new version.
        version: Version,
    },
    /// The stores were asked again and gave nothing new.
    Unchanged {
        /// They still have the values that were refused.
        bad: bool,
    },
    /// A new generation is in place.
    Rotated {
        /// Its number.
        generation: Generation,
        /// From the notice of the change to the end of the notification.
        took: Duration,
    },
    /// The program was told of the new generation.
    Notified {
        /// By which signal.
        signal: Signal,
    },
    /// The program was told by a command or an HTTP request.
    Told {
        /// In words: `command nginx`, `POST http://127.0.0.1:9000/reload`.
        how: String,
    },
    /// The program is well with the new generation.
    Verified {
        /// How long it took.
        took: Duration,
    },
    /// The program has the generation before back.
    RolledBack {
        /// The generation's number: every hand-over has a new one.
        generation: Generation,
        /// What was wrong; `None`: nothing, somebody asked for it.
        reason: Option<String>,
    },
    /// The program is being stopped, to be started with the new generation.
    Restarting,
    /// No more restarts for now: the budget is used up.
    RestartsExhausted {
        /// So many restarts.
        max: u32,
        /// Within this time.
        per: Duration,
    },
    /// hushpipe logged in to a store.
    LoggedIn {
        /// Which store.
        store: StoreName,
        /// `approle`, `token`, ...
        method: &'static str,
        /// How long the login is good; `None`: for ever.
        ttl: Option<Duration>,
    },
    /// A lease lives longer.
    Renewed {
        /// Which store.
        store: StoreName,
        /// The path it was asked for at.
        asked: String,
        /// How long it is good now.
        ttl: Duration,
    },
    /// Leases, and the login token, were revoked.
    Revoked {
        /// Which store.
        store: StoreName,
        /// How many leases.
        leases: usize,
        /// And the token.
        token: bool,
    },
    /// Somebody asked over the control socket, or by a signal.
    Asked {
        /// What: `rotate db`, `rollback`.
        what: String,
        /// Who: a process id and a uid; `None` for a signal.
        by: Option<(i32, u32)>,
    },
    /// A rotation did not happen; the program keeps what it has.
    RotationFailed {
        /// What failed, where, and what happens next.
        message: String,
    },
    /// A store could not be watched or asked; the program keeps what it has.
    StoreFault {
        /// Which store.
        store: StoreName,
        /// What failed.
        message: String,
    },
    /// A store that does not answer does not do so for another reason by now.
    StoreStill {
        /// Which store.
        store: StoreName,
        /// What failed last.
        message: String,
    },
    /// Something about a store that a person should know: who wrote it, who can open it.
    StoreNote {
        /// Which store.
        store: StoreName,
        /// What.
        message: String,
    },
    /// A store answers again.
    StoreRecovered {
        /// Which store.
        store: StoreName,
    },
    /// A FIFO was read.
    FifoRead {
        /// Its path.
        path: PathBuf,
        /// How often so far.
        reads: u64,
    },
    /// A delivered path was gone or something else, and is as it was.
    PutBack {
        /// Which.
        path: PathBuf,
        /// It was gone.
        removed: bool,
    },
    /// Something that the program was given is not as it should be, for as long as this lasts.
    ConditionBegan {
        /// What: a path, or `secret NAME`.
        what: String,
        /// What is wrong, and what follows from it.
        message: String,
    },
    /// It is as it should be again.
    ConditionEnded {
        /// What.
        what: String,
    },
    /// A directory that a dead hushpipe left behind was removed.
    Swept {
        /// Its path.
        path: PathBuf,
    },
    /// A protection that is not there on this host.
    Weaker {
        /// What is missing and what follows from it.
        message: String,
    },
    /// A fault that does not end hushpipe.
    Fault {
        /// What failed.
        message: String,
    },
}

/// Sees events. Rooms are handed one; what it does with them is not their business.
pub trait Observer {
    /// Takes note of an event.
    fn observe(&self, event: &Event);
}

/// For tests and for callers that do not look.
impl Observer for () {
    fn observe(&self, _: &Event) {}
}
