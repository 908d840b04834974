//! Events as lines on stderr: text for people, JSON for machines.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::model::{Event, IsolationUsed, Observer, format_duration};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `hushpipe: …`
    Text,
    /// One object a line.
    Json,
}

/// How much is said. Each level has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only what went wrong.
    Quiet,
    /// Also what the operator should know.
    Normal,
    /// Also what happens.
    Verbose,
    /// Also every signal and every read.
    Debug,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// The sink.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    format: Format,
    verbosity: Verbosity,
}

impl Log {
    /// Writes to stderr from now on.
    pub const fn new(format: Format, verbosity: Verbosity) -> Self {
        Self { format, verbosity }
    }
}

impl Observer for Log {
    fn observe(&self, event: &Event) {
        let line = describe(event);
        if line.least > self.verbosity {
            return;
        }
        let text = match self.format {
            Format::Text => text(&line),
            Format::Json => format!("{}\n", object(&line)),
        };
        if std::io::stderr().write_all(text.as_bytes()).is_err() {
            // A closed stderr is no reason to stop supervising, and there is no other place to say it.
        }
    }
}

/// An event, ready to be written.
struct Line {
    name: &'static str,
    level: Level,
    /// The verbosity from which on it is said.
    least: Verbosity,
    message: String,
    details: Map<String, Value>,
}

fn text(line: &Line) -> String {
    let message = harmless(&line.message);
    match line.level {
        Level::Error | Level::Warning => {
            format!("hushpipe: {}: {message}\n", line.level.name())
        }
        Level::Info | Level::Debug => format!("hushpipe: {message}\n"),
    }
}

/// What a terminal would act on, or what would look like another line, is escaped: names and answers
/// come from others.
fn harmless(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return message.into();
    }
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    message.chars().map(escaped).collect()
}

fn object(line: &Line) -> Value {
    let mut object = Map::new();
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    object.insert("time".to_owned(), json!(now.to_string()));
    object.insert("level".to_owned(), json!(line.level.name()));
    object.insert("event".to_owned(), json!(line.name));
    object.insert("message".to_owned(), json!(line.message));
    object.extend(line.details.clone());
    Value::Object(object)
}

fn line(
    name: &'static str,
    (level, least): (Level, Verbosity),
    message: String,
    details: Value,
) -> Line {
    let details = match details {
        Value::Object(details) => details,
        _ => Map::new(),
    };
    Line {
        name,
        level,
        least,
        message,
        details,
    }
}

const ERROR: (Level, Verbosity) = (Level::Error, Verbosity::Quiet);
const WARNING: (Level, Verbosity) = (Level::Warning, Verbosity::Normal);
const NOTICE: (Level, Verbosity) = (Level::Info, Verbosity::Normal);
const INFO: (Level, Verbosity) = (Level::Info, Verbosity::Verbose);
const DEBUG: (Level, Verbosity) = (Level::Debug, Verbosity::Debug);

fn describe(event: &Event) -> Line {
    describe_launch(event)
        .or_else(|| describe_supervision(event))
        .or_else(|| describe_rotation(event))
        .or_else(|| describe_telling(event))
        .or_else(|| describe_store(event))
        .unwrap_or_else(|| describe_fault(event))
}

fn describe_launch(event: &Event) -> Option<Line> {
    Some(match event {
        Event::Fetched {
            secrets,
            requests,
            took,
        } => line(
            "fetched",
            INFO,
            format!(
                "fetched {} by {} in {}",
                counted(*secrets, "secret"),
                counted(*requests, "request"),
                millis(*took)
            ),
            json!({ "secrets": secrets, "requests": requests, "took_ms": took.as_secs_f64() * 1e3 }),
        ),
        Event::Isolation { used, reason } => isolation(*used, reason.as_deref()),
        Event::Started { pid, program } => line(
            "started",
            INFO,
            format!("started {program} as process {pid}"),
            json!({ "pid": pid, "program": program }),
        ),
        Event::ControlSocket { path } => line(
            "control_socket",
            INFO,
            format!("the control socket is {}", path.display()),
            json!({ "path": path.display().to_string() }),
        ),
        Event::Confined { protections } => line(
            "confined",
            INFO,
            format!("hushpipe's own protection: {}", protections.join("; ")),
            json!({ "protections": protections }),
        ),
        Event::Swept { path } => line(
            "swept",
            NOTICE,
            format!("removed {}, left by a hushpipe that died", path.display()),
            json!({ "path": path.display().to_string() }),
        ),
        _ => return None,
    })
}

fn isolation(used: IsolationUsed, reason: Option<&str>) -> Line {
    let name = match used {
        IsolationUsed::Private => "private",
        IsolationUsed::Shared => "shared",
    };
    let (rank, message) = match reason {
        Some(reason) => (NOTICE, format!("isolation: {name}, because {reason}")),
        None => (INFO, format!("isolation: {name}")),
    };
    line(
        "isolation",
        rank,
        message,
        json!({ "isolation": name, "reason": reason }),
    )
}

fn describe_supervision(event: &Event) -> Option<Line> {
    Some(match event {
        Event::Forwarded { received, sent } => line(
            "forwarded",
            DEBUG,
            format!("received {received}, sent {sent}"),
            json!({ "received": received.number(), "sent": sent.number() }),
        ),
        Event::Relayed { pid, fields } => line(
            "relayed",
            DEBUG,
            format!("process {pid} told systemd: {}", fields.join(", ")),
            json!({ "pid": pid, "fields": fields }),
        ),
        Event::Following { pid } => line(
            "following",
            INFO,
            format!("the program is process {pid} from now on"),
            json!({ "pid": pid }),
        ),
        Event::Stopping { signal, timeout } => line(
            "stopping",
            INFO,
            format!(
                "stopping: sent {signal}, SIGKILL follows after {}",
                format_duration(*timeout)
            ),
            json!({ "signal": signal.number(), "timeout_ms": timeout.as_millis() as u64 }),
        ),
        Event::Killed => line(
            "killed",
            WARNING,
            "the program did not end in time: sent SIGKILL".to_owned(),
            Value::Null,
        ),
        Event::Exited { code, signal } => line(
            "exited",
            INFO,
            match signal {
                Some(signal) => format!("the program was ended by {signal}"),
                None => format!("the program ended with code {code}"),
            },
            json!({ "code": code, "signal": signal.map(crate::model::Signal::number) }),
        ),
        Event::Leftover { pid } => line(
            "leftover",
            INFO,
            format!("ended process {pid}, which the program left behind"),
            json!({ "pid": pid }),
        ),
        _ => return None,
    })
}

fn describe_rotation(event: &Event) -> Option<Line> {
    Some(match event {
        Event::Changed { secret, version } => line(
            "changed",
            INFO,
            format!("secret {secret} has version {version}"),
            json!({ "secret": secret.as_str(), "version": version.0 }),
        ),
        Event::Unchanged { bad } => line(
            "unchanged",
            DEBUG,
            if *bad {
                "asked the stores: they still have what was refused".to_owned()
            } else {
                "asked the stores: nothing has changed".to_owned()
            },
            json!({ "refused": bad }),
        ),
        Event::Rotated { generation, took } => line(
            "rotated",
            NOTICE,
            format!(
                "generation {generation} is in place after {}",
                millis(*took)
            ),
            json!({ "generation": generation.0, "took_ms": took.as_secs_f64() * 1e3 }),
        ),
        Event::Notified { signal } => line(
            "notified",
            INFO,
            format!("told the program by {signal}"),
            json!({ "signal": signal.number() }),
        ),
        Event::FifoRead { path, reads } => line(
            "fifo_read",
            DEBUG,
            format!("{} was read, {reads} times so far", path.display()),
            json!({ "path": path.display().to_string(), "reads": reads }),
        ),
        Event::Waiting { store, waited, why } => line(
            "waiting",
            NOTICE,
            format!(
                "store {store} has not answered for {}{}",
                format_duration(*waited),
                why.as_ref()
                    .map(|why| format!("; tried again: {why}"))
                    .unwrap_or_default()
            ),
            json!({ "store": store.as_str(), "waited_ms": waited.as_millis() as u64, "why": why }),
        ),
        Event::StoreRecovered { store } => line(
            "store_recovered",
            NOTICE,
            format!("store {store} answers again"),
            json!({ "store": store.as_str() }),
        ),
        _ => return None,
    })
}

/// What a rotation does with the program.
fn describe_telling(event: &Event) -> Option<Line> {
    Some(match event {
        Event::Told { how } => line(
            "told",
            INFO,
            format!("told the program by {how}"),
            json!({ "how": how }),
        ),
        Event::Verified { took } => line(
            "verified",
            INFO,
            format!("the program is well with it, after {}", millis(*took)),
            json!({ "took_ms": took.as_secs_f64() * 1e3 }),
        ),
        Event::RolledBack { generation, reason } => line(
            "rolled_back",
            if reason.is_some() { WARNING } else { NOTICE },
            format!(
                "rolled back, which is generation {generation}: {}",
                reason.as_deref().unwrap_or("it was asked for")
            ),
            json!({ "generation": generation.0, "reason": reason }),
        ),
        Event::Restarting => line(
            "restarting",
            NOTICE,
            "stopping the program, to start it with the new generation".to_owned(),
            Value::Null,
        ),
        Event::RestartsExhausted { max, per } => line(
            "restarts_exhausted",
            ERROR,
            format!(
                "the budget of {} in {} is used up: the program keeps what it has until it has \
                 room again",
                counted(*max as usize, "restart"),
                format_duration(*per)
            ),
            json!({ "max": max, "per_ms": per.as_millis() as u64 }),
        ),
        Event::Asked { what, by } => line(
            "asked",
            NOTICE,
            match by {
                Some((pid, uid)) => format!("asked to {what} by process {pid} of uid {uid}"),
                None => format!("asked to {what} by a signal"),
            },
            json!({ "what": what, "pid": by.map(|by| by.0), "uid": by.map(|by| by.1) }),
        ),
        _ => return None,
    })
}

/// What happens between hushpipe and its stores when all is well.
fn describe_store(event: &Event) -> Option<Line> {
    Some(match event {
        Event::LoggedIn { store, method, ttl } => line(
            "logged_in",
            INFO,
            match ttl {
                Some(ttl) => format!(
                    "logged in to store {store} by {method}, for {}",
                    format_duration(*ttl)
                ),
                None => format!("logged in to store {store} by {method}"),
            },
            json!({ "store": store.as_str(), "method": method, "ttl_s": ttl.map(|ttl| ttl.as_secs()) }),
        ),
        Event::Renewed { store, asked, ttl } => line(
            "renewed",
            DEBUG,
            format!(
                "store {store}, {asked}: the lease is good for {} more",
                format_duration(*ttl)
            ),
            json!({ "store": store.as_str(), "asked": asked, "ttl_s": ttl.as_secs() }),
        ),
        Event::Revoked {
            store,
            leases,
            token,
        } => line(
            "revoked",
            INFO,
            format!(
                "store {store}: revoked {}",
                match (leases, token) {
                    (0, true) => "the login".to_owned(),
                    (_, true) => format!("{} and the login", counted(*leases, "lease")),
                    (_, false) => counted(*leases, "lease"),
                }
            ),
            json!({ "store": store.as_str(), "leases": leases, "token": token }),
        ),
        _ => return None,
    })
}

fn describe_fault(event: &Event) -> Line {
    match event {
        Event::StoreFault { store, message } => line(
            "store_fault",
            ERROR,
            format!("{message}; the program keeps what it has"),
            json!({ "store": store.as_str() }),
        ),
        Event::StoreStill { store, message } => line(
            "store_still",
            DEBUG,
            message.clone(),
            json!({ "store": store.as_str() }),
        ),
        Event::StoreNote { store, message } => line(
            "store_note",
            WARNING,
            format!("store {store}: {message}"),
            json!({ "store": store.as_str() }),
        ),
        Event::RotationFailed { message } => {
            line("rotation_failed", ERROR, message.clone(), Value::Null)
        }
        Event::PutBack { path, removed } => line(
            "put_back",
            WARNING,
            format!(
                "{} was {}, and is put back: the program must not write to a delivered path",
                path.display(),
                if *removed { "removed" } else { "replaced" }
            ),
            json!({ "path": path.display().to_string(), "removed": removed }),
        ),
        Event::ConditionBegan { what, message } => line(
            "condition_began",
            ERROR,
            message.clone(),
            json!({ "what": what }),
        ),
        Event::ConditionEnded { what } => line(
            "condition_ended",
            INFO,
            format!("{what} is as it should be again"),
            json!({ "what": what }),
        ),
        Event::Weaker { message } => line("weaker", WARNING, message.clone(), Value::Null),
        Event::Fault { message } => line("fault", ERROR, message.clone(), Value::Null),
        // Every other event was described above.
        other => line("event", DEBUG, format!("{other:?}"), Value::Null),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn millis(duration: std::time::Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Generation, Signal};

    #[test]
    fn text_names_the_level_only_when_it_matters() {
        let rotated = Event::Rotated {
            generation: Generation(2),
            took: Duration::from_micros(1500),
        };
        assert_eq!(
            text(&describe(&rotated)),
            "hushpipe: generation 2 is in place after 1.5 ms\n"
        );
        let weaker = Event::Weaker {
            message: "no mlock".to_owned(),
        };
        assert_eq!(text(&describe(&weaker)), "hushpipe: warning: no mlock\n");
    }

    #[test]
    fn no_line_has_what_a_terminal_acts_on_or_another_line_in_it() {
        let weaker = Event::Weaker {
            message: "of \u{1b}[2Jothers\u{9b}1m\r\nhushpipe: error: forged".to_owned(),
        };
        assert_eq!(
            text(&describe(&weaker)),
            "hushpipe: warning: of \\u{1b}[2Jothers\\u{9b}1m\\r\\nhushpipe: error: forged\n"
        );
        let object = object(&describe(&weaker)).to_string();
        assert!(!object.contains(['\u{1b}', '\r', '\n']), "{object}");
    }

    #[test]
    fn one_is_no_plural() {
        let fetched = |secrets| {
            text(&describe(&Event::Fetched {
                secrets,
                requests: 1,
                took: Duration::from_millis(2),
            }))
        };
        assert_eq!(
            fetched(1),
            "hushpipe: fetched 1 secret by 1 request in 2.0 ms\n"
        );
        assert_eq!(
            fetched(2),
            "hushpipe: fetched 2 secrets by 1 request in 2.0 ms\n"
        );
    }

    #[test]
    fn json_has_the_details() {
        let event = Event::Exited {
            code: 143,
            signal: Some(Signal::TERM),
        };
        let object = object(&describe(&event));
        assert_eq!(object["event"], "exited");
        assert_eq!(object["code"], 143);
        assert_eq!(object["signal"], 15);
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn signals_are_debug_and_faults_are_always_said() {
        let forwarded = Event::Forwarded {
            received: Signal::HUP,
            sent: Signal::HUP,
        };
        assert_eq!(describe(&forwarded).least, Verbosity::Debug);
        let fault = Event::Fault {
            message: String::new(),
        };
        assert_eq!(describe(&fault).least, Verbosity::Quiet);
    }
}
