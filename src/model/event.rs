//! What happened, without values: the only thing that the log, audit and metrics ever see.
//!
//! An event is data. The table below gives each one its fields, its [`Level`] and its message, so that a
//! new event does not compile without them; names, versions, numbers and kinds alone may be fields.
//! To add one:
//! 1. a row in the table of this file; a field's JSON name, where it is another one, by `#[serde]`;
//! 2. a sample of it in `event/samples.rs` and its lines in `telemetry/log_golden.txt`;
//! 3. `observer.observe(&Event::…)` where it happens;
//! 4. where it changes what `hushpipe status` shows, `telemetry/status.rs`.

#[cfg(test)]
pub mod samples;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::query::{Action, Effect};
use super::release::Verdict;
use super::words::words;
use super::{Generation, OutputStream, SecretName, Signal, StoreName, Version, format_duration};

/// How much an event matters; each level has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It went wrong.
    Error,
    /// It is weaker than a user may expect.
    Warning,
    /// The operator should know.
    Notice,
    /// What happens.
    Info,
    /// Every signal, every read and every request.
    Debug,
}

impl Level {
    /// As it is written in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice | Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

words! {
    /// Where files went.
    IsolationUsed {
        /// A tmpfs in a mount namespace of the program's own.
        Private = "private",
        /// A 0700 directory on tmpfs or ramfs.
        Shared = "shared",
    }
}

/// What an error or a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// What the manifest says.
    Manifest,
    /// What this host supports.
    Host,
    /// Where files go, and who sees them.
    Isolation,
    /// The terminal that hushpipe was started at.
    Terminal,
    /// Memory for values.
    Memory,
    /// What hushpipe writes to standard error.
    Log,
    /// Being asked by other commands.
    ControlSocket,
    /// What systemd is told.
    Systemd,
    /// The program: its signals, its end and what it leaves.
    Program,
    /// A store as a whole.
    Store,
    /// The login to a store.
    Login,
    /// A lease.
    Lease,
    /// Noticing changes.
    Watch,
    /// What a template makes.
    Template,
    /// Files, FIFOs and descriptors that the program gets.
    Delivery,
    /// What is put on record.
    Audit,
    /// Requests for approval.
    Approvals,
}

/// Why a rotation failed, and what the program has for now.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RotationError {
    /// It may not have it.
    Denied {
        /// Why.
        #[serde(skip)]
        why: String,
    },
    /// It may not have it, nor keep what it has.
    Expelled {
        /// Why.
        #[serde(skip)]
        why: String,
    },
    /// The new values are bad.
    Refused {
        /// Why.
        #[serde(skip)]
        why: String,
    },
    /// The system refused to put it in place.
    NotInPlace {
        /// Why.
        #[serde(skip)]
        why: String,
    },
    /// The program is not well with it, and there is no rollback.
    NotWell {
        /// How that showed.
        #[serde(skip)]
        why: String,
    },
    /// No program could be started with it.
    NotStarted {
        /// Why.
        #[serde(skip)]
        why: String,
    },
    /// The system refused to put the previous generation back.
    NotBack {
        /// Why.
        #[serde(skip)]
        why: String,
    },
    /// The previous generation is back, and the program is not well with that either.
    NotWellBack {
        /// How that showed.
        #[serde(skip)]
        why: String,
    },
}

impl fmt::Display for RotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { why } => write!(f, "{why}; the program keeps what it has"),
            Self::Expelled { why } => {
                write!(
                    f,
                    "{why}; the program is stopped, as `@on_rotation(\"stop\")` wants"
                )
            }
            Self::Refused { why } => write!(
                f,
                "the new generation is refused: {why}; the program keeps what it has until there is \
                 a newer one"
            ),
            Self::NotInPlace { why } => write!(
                f,
                "the new generation cannot be put in place: {why}; the program keeps what it has, \
                 and it is tried again"
            ),
            Self::NotWell { why } => write!(
                f,
                "{why}; it keeps the new generation: there is no `rollback`"
            ),
            Self::NotStarted { why } => write!(f, "the new generation: {why}"),
            Self::NotBack { why } => write!(
                f,
                "the generation before cannot be put back: {why}; the program keeps what it has"
            ),
            Self::NotWellBack { why } => write!(f, "the generation before is back, but {why}"),
        }
    }
}

/// How a request to a store ended: the kind of its error, if there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The store gave what it was asked for.
    Answered,
    /// The store is not there or cannot be read.
    Unreachable,
    /// A server did not answer, or not with sense.
    NoAnswer,
    /// The store could not be written.
    Unwritable,
    /// It has no such secret, version or field.
    Missing,
    /// It refused, or is too open to be trusted.
    Denied,
    /// People have to approve it first.
    Unapproved,
    /// What it holds is not of the stated format.
    Malformed,
    /// A program failed.
    Program,
    /// It took too long.
    Deadline,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "answered",
            Self::Unreachable => "cannot be read",
            Self::NoAnswer => "did not answer",
            Self::Unwritable => "cannot be written",
            Self::Missing => "does not have it",
            Self::Denied => "denied it",
            Self::Unapproved => "waits for approval",
            Self::Malformed => "is malformed",
            Self::Program => "failed",
            Self::Deadline => "took too long",
        })
    }
}

/// How a request ended that people had to authorize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlGroupEnd {
    /// Enough people did, and it was executed.
    Authorized,
    /// The server does not know it any more.
    Expired,
    /// Enough people did, and the server refused it.
    Refused,
    /// Not enough did in the time that the store's settings give.
    TimedOut,
}

/// An event, and where and when it happened.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope<'a> {
    /// 1 for a launcher's first event; the next one has the next number.
    pub seq: u64,
    /// When.
    #[serde(serialize_with = "as_time")]
    pub time: SystemTime,
    /// hushpipe's process id.
    pub launcher: u32,
    /// `service:` of the manifest; empty, where there is none.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub service: &'a str,
    /// The generation that the program has, or is about to be started with.
    pub generation: Generation,
    /// What happened.
    #[serde(flatten)]
    pub event: &'a Event,
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

/// Makes the enum, and from the same rows its levels and messages.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $( $(#[$about:meta])* $field:ident: $type:ty, )* })?
            => $level:expr, $text:literal $(, $argument:expr)*;
    )*) => {
        /// Something that happened. Text in it was made by hushpipe or names things; it never holds a
        /// value.
        #[derive(Clone, Debug, Serialize)]
        #[serde(tag = "event", rename_all = "snake_case")]
        pub enum Event {
            $( $(#[$doc])* $name $({ $( $(#[$about])* $field: $type, )* })?, )*
        }

        #[allow(unused_variables, reason = "most need few of their fields for each")]
        impl Event {
            /// How much it matters.
            pub fn level(&self) -> Level {
                use Level::{Debug, Error, Info, Notice, Warning};
                match self {
                    $( Self::$name $({ $($field),* })? => $level, )*
                }
            }

            /// Whether it is shown to whoever wants errors alone as well.
            pub fn is_alert(&self) -> bool {
                self.level() == Level::Error || matches!(self, Self::BreakGlass { .. })
            }

            /// Whether an error that ends the launch says the same, or a report of the command: people need not
            /// read it twice.
            pub const fn is_said_elsewhere(&self) -> bool {
                matches!(
                    self,
                    Self::PolicyDecided {
                        action: Action::Deliver,
                        verdict: Verdict::Denied,
                        ..
                    } | Self::ApprovalRequested { waits: false, .. }
                )
            }

            /// It in words, for people.
            pub fn message(&self) -> String {
                match self {
                    $( Self::$name $({ $($field),* })? => format!($text $(, $argument)*), )*
                }
            }

            /// The names of all of them, as tests count them.
            #[cfg(test)]
            pub const ALL: &'static [&'static str] = &[$(stringify!($name)),*];
        }
    };
}

events! {
    /// All secrets of the first generation are there.
    Fetched {
        /// How many secrets.
        secrets: usize,
        /// How many requests it took.
        requests: usize,
        /// How long it took.
        #[serde(rename = "took_ms", serialize_with = "as_fine_millis")]
        took: Duration,
    } => Info, "fetched {} by {} in {}",
        counted(*secrets, "secret"), counted(*requests, "request"), millis(*took);
    /// A process of the program's tree did not execute, so that no variable of `getenv` shows.
    ExecRefused {
        /// Which.
        pid: i32,
        /// Why.
        why: String,
    } => Warning, "process {pid} could not execute a program: {why}";
    /// A debugger traces a process of the program's tree, so that hushpipe cannot.
    ExecTraced {
        /// Which.
        pid: i32,
    } => Warning, "process {pid} is traced by a debugger: what it executes does not get the variables of \
        `getenv`";
    /// A process of the program's tree passes a value in an argument, where every user sees it.
    ArgumentShowsValue {
        /// Which.
        pid: i32,
        /// Its place, from 0.
        argument: usize,
        /// The variable whose value it is.
        variable: String,
    } => Warning, "process {pid} executes a program with the value of {variable} in argument \
        {argument}, which other users can read in /proc: pass it by standard input or a file";
    /// A store has not answered yet, while the program waits for its first generation.
    Waiting {
        /// Which store.
        store: StoreName,
        /// For how long so far.
        #[serde(rename = "waited_ms", serialize_with = "as_millis")]
        waited: Duration,
        /// What is wrong, where the store knows and tries again.
        why: Option<String>,
    } => Notice, "store {store} has not answered for {}{}",
        format_duration(*waited), after("; tried again: ", why.as_deref());
    /// A store was asked, and answered or not.
    StoreAsked {
        /// Which store.
        store: StoreName,
        /// How long it took.
        #[serde(rename = "took_ms", serialize_with = "as_fine_millis")]
        took: Duration,
        /// How it ended; of several errors, the first.
        outcome: Outcome,
    } => Debug, "store {store} {outcome}, after {}", millis(*took);
    /// A value stood in the program's output, and was replaced there.
    Redacted {
        /// Whose value.
        secret: SecretName,
        /// In which output.
        stream: OutputStream,
        /// How often since the last such event.
        times: u64,
    } => Warning, "the program wrote secret {secret} to {stream}: {} replaced", counted(*times as usize, "place");
    /// The program has a version of a secret now.
    Delivered {
        /// Which secret.
        secret: SecretName,
        /// What its store calls the value.
        version: Version,
        /// The generation that it came with.
        generation: Generation,
    } => Debug, "delivered secret {secret}, version {version}, with generation {generation}";
    /// Where files go, and why not the better place.
    Isolation {
        /// Which.
        #[serde(rename = "isolation")]
        used: IsolationUsed,
        /// Why private was not possible.
        reason: Option<String>,
    } => if reason.is_some() { Notice } else { Info }, "isolation: {}{}",
        used,
        after(", because ", reason.as_deref());
    /// The program runs.
    Started {
        /// Its process id.
        pid: i32,
        /// Its `argv[0]`.
        program: String,
    } => Info, "started {program} as process {pid}";
    /// The launcher can be asked from now on.
    ControlSocket {
        /// At this path.
        #[serde(serialize_with = "as_path")]
        path: PathBuf,
    } => Info, "the control socket is {}", path.display();
    /// hushpipe gave up what it does not need any more.
    Confined {
        /// What holds now, and what does not and why.
        protections: Vec<String>,
    } => Info, "hushpipe's own protection: {}", protections.join("; ");
    /// A signal went to the program.
    Forwarded {
        /// What was received.
        #[serde(serialize_with = "as_number")]
        received: Signal,
        /// What was sent.
        #[serde(serialize_with = "as_number")]
        sent: Signal,
    } => Debug, "received {received}, sent {sent}";
    /// The program, or one of its descendants, said something to systemd.
    Relayed {
        /// Whose message it was.
        pid: i32,
        /// The names of its fields: `READY`, `STATUS`.
        fields: Vec<String>,
    } => Debug, "process {pid} told systemd: {}", fields.join(", ");
    /// Another process is the program from now on: it was named by `MAINPID=`, or is the daemon that
    /// the program left.
    Following {
        /// Its process id.
        pid: i32,
    } => Info, "the program is process {pid} from now on";
    /// The program is being stopped.
    Stopping {
        /// The signal that asks it to end.
        #[serde(serialize_with = "as_number")]
        signal: Signal,
        /// How long it may take.
        #[serde(rename = "timeout_ms", serialize_with = "as_millis")]
        timeout: Duration,
    } => Info, "stopping: sent {signal}, SIGKILL follows after {}", format_duration(*timeout);
    /// The program did not end in time, or a second request came: SIGKILL.
    Killed => Warning, "the program did not end in time: sent SIGKILL";
    /// The program ended.
    Exited {
        /// As a shell would give it: its code, or 128+N.
        code: u8,
        /// The signal that ended it.
        #[serde(serialize_with = "as_number_or_none")]
        signal: Option<Signal>,
    } => Info, "the program {}", match signal {
        Some(signal) => format!("was ended by {signal}"),
        None => format!("ended with code {code}"),
    };
    /// A descendant that outlived the program was ended.
    Leftover {
        /// Its process id.
        pid: i32,
    } => Info, "ended process {pid}, which the program left behind";
    /// A store was asked again and a secret has a new version.
    Changed {
        /// Which secret.
        secret: SecretName,
        /// Its new version.
        version: Version,
    } => Info, "secret {secret} has version {version}";
    /// The stores were asked again and gave nothing new.
    Unchanged {
        /// They still have the values that were refused.
        #[serde(rename = "refused")]
        bad: bool,
    } => Debug, "asked the stores: {}",
        if *bad { "they still have the rejected values" } else { "nothing has changed" };
    /// A new generation is in place.
    Rotated {
        /// Its number.
        generation: Generation,
        /// From the notice of the change to the end of the notification.
        #[serde(rename = "took_ms", serialize_with = "as_fine_millis")]
        took: Duration,
        /// What is new, such as `api v1 → v2`.
        changes: Vec<String>,
    } => Notice, "generation {generation} is in place after {}{}", millis(*took), listed(changes);
    /// The program was told of the new generation.
    Notified {
        /// By which signal.
        #[serde(serialize_with = "as_number")]
        signal: Signal,
    } => Info, "told the program by {signal}";
    /// The program was told by a command or an HTTP request.
    Told {
        /// In words: `command nginx`, `POST http://127.0.0.1:9000/reload`.
        how: String,
    } => Info, "told the program by {how}";
    /// The program is well with the new generation.
    Verified {
        /// How long it took.
        #[serde(rename = "took_ms", serialize_with = "as_fine_millis")]
        took: Duration,
    } => Info, "verification succeeded after {}", millis(*took);
    /// The program has the generation before back.
    RolledBack {
        /// The generation's number: every hand-over has a new one.
        generation: Generation,
        /// What was wrong; `None`: nothing, somebody asked for it.
        reason: Option<String>,
    } => if reason.is_some() { Warning } else { Notice },
        "rolled back, which is generation {generation}: {}",
        reason.as_deref().unwrap_or("it was asked for");
    /// The program is being stopped, to be started with the new generation.
    Restarting => Notice, "stopping the program, to start it with the new generation";
    /// No more restarts for now: the budget is used up.
    RestartsExhausted {
        /// So many restarts.
        max: u32,
        /// Within this time.
        #[serde(rename = "per_ms", serialize_with = "as_millis")]
        per: Duration,
    } => Error, "the budget of {} in {} is used up: the program keeps what it has until it has room \
                 again", counted(*max as usize, "restart"), format_duration(*per);
    /// hushpipe logged in to a store.
    LoggedIn {
        /// Which store.
        store: StoreName,
        /// `approle`, `token`, ...
        method: &'static str,
        /// How long the login is good; `None`: for ever.
        #[serde(rename = "ttl_s", serialize_with = "as_seconds_or_none")]
        ttl: Option<Duration>,
    } => Info, "logged in to store {store} by {method}{}",
        after(", for ", ttl.map(format_duration).as_deref());
    /// A lease lives longer.
    Renewed {
        /// Which store.
        store: StoreName,
        /// The path it was asked for at.
        asked: String,
        /// How long it is good now.
        #[serde(rename = "ttl_s", serialize_with = "as_seconds")]
        ttl: Duration,
    } => Debug, "store {store}, {asked}: the lease is good for {} more", format_duration(*ttl);
    /// Leases, and the login token, were revoked.
    Revoked {
        /// Which store.
        store: StoreName,
        /// How many leases.
        leases: usize,
        /// And the token.
        token: bool,
    } => Info, "store {store}: revoked {}", match (leases, token) {
        (0, true) => "the login".to_owned(),
        (_, true) => format!("{} and the login", counted(*leases, "lease")),
        (_, false) => counted(*leases, "lease"),
    };
    /// Somebody asked over the control socket, or by a signal.
    Asked {
        /// What: `rotate db`, `rollback`.
        what: String,
        /// Who: a process id and a uid; `None` for a signal.
        #[serde(flatten, serialize_with = "as_peer")]
        by: Option<(i32, u32)>,
    } => Notice, "asked to {what} by {}", match by {
        Some((pid, uid)) => format!("process {pid} of uid {uid}"),
        None => "a signal".to_owned(),
    };
    /// Policy decided.
    PolicyDecided {
        /// On what.
        action: Action,
        /// On which secret or service.
        resource: String,
        /// For whom: a service, or a user's name.
        principal: String,
        /// Policy's answer.
        effect: Effect,
        /// What followed.
        verdict: Verdict,
        /// The ids of the policies that decided.
        policies: Vec<String>,
    } => match verdict {
        Verdict::Allowed => Debug,
        Verdict::Met => Notice,
        Verdict::Observed | Verdict::Denied => Warning,
    }, "policy {} {principal} to {action} {resource}{}", match verdict {
        Verdict::Allowed => "allows",
        Verdict::Met => "now allows",
        Verdict::Observed => "would deny",
        Verdict::Denied => "denies",
    }, match policies.as_slice() {
        [] if *effect == Effect::Allow => String::new(),
        [] => ": no policy permits it".to_owned(),
        policies => format!(": {}", policies.join(", ")),
    };
    /// New policies are in force.
    PolicyReloaded {
        /// How many.
        policies: usize,
    } => Notice, "the policies were reloaded: {} in force", counted(*policies, "policy");
    /// The policies cannot be read, and the last good ones stay in force.
    PolicyStale {
        /// Why.
        #[serde(skip)]
        message: String,
    } => Error, "{message}; the last good policies stay in force";
    /// A release wants approvals.
    ApprovalRequested {
        /// Whether it waits for them; else it ends with an error that says the same.
        #[serde(skip)]
        waits: bool,
        /// The request's id.
        request: String,
        /// The policy that wants them.
        policy: String,
        /// How many are needed.
        needed: u32,
        /// Of this group.
        group: String,
    } => Notice, "policy {policy} wants {needed} of {group} to approve: `hushpipe approve {request}`";
    /// An approval was found and counts.
    ApprovalGiven {
        /// The request's id.
        request: String,
        /// By whom.
        by: String,
        /// So many there are now.
        given: u32,
        /// So many are needed.
        needed: u32,
    } => Notice, "{by} approved {request}: {given} of {needed}";
    /// Approvals were used for a release.
    ApprovalSpent {
        /// The request's id.
        request: String,
        /// The policy that wanted them.
        policy: String,
        /// Who gave them.
        people: Vec<String>,
    } => Notice, "approval {request} is used, for policy {policy}: given by {}", people.join(", ");
    /// Policy was asked with `--break-glass`.
    BreakGlass {
        /// What for.
        action: Action,
        /// Why.
        reason: String,
        /// Who: a process id and a uid; `None` for a launch.
        #[serde(flatten, serialize_with = "as_peer")]
        by: Option<(i32, u32)>,
    } => Warning, "break-glass to {action}{}: {reason}", match by {
        Some((pid, uid)) => format!(" by process {pid} of uid {uid}"),
        None => String::new(),
    };
    /// A rotation did not happen; the program keeps what it has.
    RotationFailed {
        /// What failed, where, and what happens next.
        #[serde(flatten)]
        error: RotationError,
    } => Error, "{error}";
    /// A store could not be watched or asked, or it could not for another reason than before; the program
    /// keeps what it has.
    StoreFault {
        /// Which store.
        store: StoreName,
        /// The kind of error.
        outcome: Outcome,
        /// What failed.
        #[serde(skip)]
        message: String,
    } => Error, "{message}; the program keeps what it has";
    /// Of the reasons for which a store does not answer, one is over and this one lasts.
    StoreStill {
        /// Which store.
        store: StoreName,
        /// The kind of error.
        outcome: Outcome,
        /// What failed last.
        #[serde(skip)]
        message: String,
    } => Debug, "{message}";
    /// Something about a store that a person should know: who wrote it, who can open it.
    StoreNote {
        /// Which store.
        store: StoreName,
        /// What.
        #[serde(skip)]
        message: String,
    } => Warning, "store {store}: {message}";
    /// A store answers again.
    StoreRecovered {
        /// Which store.
        store: StoreName,
    } => Notice, "store {store} answers again";
    /// People have to authorize a request to a vault: it waits in its control group.
    ControlGroupWaiting {
        /// Which store.
        store: StoreName,
        /// The path it was asked for at.
        asked: String,
        /// What people authorize it by; it opens nothing.
        accessor: String,
        /// The namespace that it is in, for the command.
        namespace: Option<String>,
        /// Who has authorized it so far.
        by: Vec<String>,
        /// How long it waits.
        #[serde(rename = "within_s", serialize_with = "as_seconds")]
        within: Duration,
    } => Notice, "store {store}, {asked}: waiting up to {} for approval{}; to approve it: \
                  `vault write{} sys/control-group/authorize accessor={accessor}` (or `bao write`)",
        format_duration(Duration::from_secs(within.as_secs())),
        match by.as_slice() {
            [] => String::new(),
            by => format!(", approved so far by {}", by.join(", ")),
        },
        namespace.as_ref().map(|name| format!(" -namespace={name}")).unwrap_or_default();
    /// Such a request waits no more.
    ControlGroupEnded {
        /// Which store.
        store: StoreName,
        /// The path it was asked for at.
        asked: String,
        /// What people authorized it by.
        accessor: String,
        /// How it ended.
        end: ControlGroupEnd,
        /// Who authorized it.
        by: Vec<String>,
    } => if *end == ControlGroupEnd::Authorized { Notice } else { Warning },
        "store {store}, {asked}: request {accessor} {}{}", match end {
            ControlGroupEnd::Authorized => "was approved",
            ControlGroupEnd::Expired => "expired, or was ended",
            ControlGroupEnd::Refused => "was approved and refused",
            ControlGroupEnd::TimedOut => "is withdrawn: the time to wait is over",
        }, match by.as_slice() {
            [] => String::new(),
            by => format!("; approved by {}", by.join(", ")),
        };
    /// A FIFO was read.
    FifoRead {
        /// Its path.
        #[serde(serialize_with = "as_path")]
        path: PathBuf,
        /// How often so far.
        reads: u64,
    } => Debug, "{} was read, {reads} times so far", path.display();
    /// A delivered path was gone or something else, and is as it was.
    PutBack {
        /// Which.
        #[serde(serialize_with = "as_path")]
        path: PathBuf,
        /// It was gone.
        removed: bool,
    } => Warning, "{} was {}, and is put back: the program must not write to a delivered path",
        path.display(), if *removed { "removed" } else { "replaced" };
    /// Something that the program was given is not as it should be, for as long as this lasts.
    ConditionBegan {
        /// What: a path, or `secret NAME`.
        what: String,
        /// What is wrong, and what follows from it.
        #[serde(skip)]
        message: String,
    } => Error, "{message}";
    /// It is as it should be again.
    ConditionEnded {
        /// What.
        what: String,
    } => Info, "{what} is as it should be again";
    /// A directory that a dead hushpipe left behind was removed.
    Swept {
        /// Its path.
        #[serde(serialize_with = "as_path")]
        path: PathBuf,
    } => Notice, "removed {}, left by a hushpipe that died", path.display();
    /// A protection that is not there on this host.
    Weaker {
        /// What it is about.
        about: Topic,
        /// What is missing and what follows from it.
        #[serde(skip)]
        message: String,
    } => Warning, "{message}";
    /// A fault that does not end hushpipe.
    Fault {
        /// What it is about.
        about: Topic,
        /// What failed.
        #[serde(skip)]
        message: String,
    } => Error, "{message}";
}

fn counted(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

/// `: a, b`, or nothing.
fn listed(changes: &[String]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    format!(": {}", changes.join(", "))
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// A text that there may be, after a lead.
fn after(lead: &str, text: Option<&str>) -> String {
    text.map(|text| format!("{lead}{text}")).unwrap_or_default()
}

fn as_time<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn as_path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives a reference to the field"
)]
fn as_number<S: Serializer>(signal: &Signal, to: S) -> Result<S::Ok, S::Error> {
    signal.number().serialize(to)
}

#[allow(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives a reference to the field"
)]
fn as_number_or_none<S: Serializer>(signal: &Option<Signal>, to: S) -> Result<S::Ok, S::Error> {
    signal.map(Signal::number).serialize(to)
}

fn as_fine_millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    (duration.as_secs_f64() * 1e3).serialize(to)
}

fn as_millis<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    (duration.as_millis() as u64).serialize(to)
}

fn as_seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    duration.as_secs().serialize(to)
}

#[allow(clippy::ref_option, reason = "serde gives a reference to the field")]
fn as_seconds_or_none<S: Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(to)
}

/// `pid` and `uid`, both null for a signal.
#[allow(clippy::ref_option, reason = "serde gives a reference to the field")]
fn as_peer<S: Serializer>(by: &Option<(i32, u32)>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Peer {
        pid: Option<i32>,
        uid: Option<u32>,
    }
    let (pid, uid) = by.unzip();
    Peer { pid, uid }.serialize(to)
}
