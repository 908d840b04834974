//! What is said over the control socket: one request, one reply, each a line of JSON.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::query::Justification;
use super::{Exit, Generation, VersionRef};

/// How long a request may be, in bytes, its line's end left out.
pub const LONGEST_REQUEST: usize = 64 << 10;

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
        to: Option<VersionRef>,
    },
    /// Revoke the secret's lease at its store, and rotate at once.
    Revoke {
        /// Which secret.
        secret: String,
    },
}

/// A request, with what its sender says for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub request: Request,
    /// In the line as `said`, where there is something.
    pub said: Justification,
}

impl From<&Request> for Asked {
    fn from(request: &Request) -> Self {
        Self {
            request: request.clone(),
            said: Justification::default(),
        }
    }
}

impl Asked {
    /// As [`Request::parse`].
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        match Request::parse(line) {
            Ok(request) => Ok(Self::from(&request)),
            Err(RequestError::Unknown) => {
                let unknown = |_| RequestError::Unknown;
                let mut object: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_slice(line).map_err(unknown)?;
                let said = object.remove("said").ok_or(RequestError::Unknown)?;
                Ok(Self {
                    said: serde_json::from_value(said).map_err(unknown)?,
                    request: serde_json::from_value(object.into()).map_err(unknown)?,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Request::to_line`]. Without `said` any launcher reads it.
    pub fn to_line(&self) -> Vec<u8> {
        if self.said.is_empty() {
            return self.request.to_line();
        }
        let mut object = serde_json::json!(self.request);
        object["said"] = serde_json::json!(self.said);
        line_of(&object)
    }
}

/// Why a line is no request. It repeats nothing of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`LONGEST_REQUEST`].
    #[error("the request is longer than 64 KiB")]
    TooLong,
    /// Not JSON.
    #[error("the request is not a line of JSON")]
    NotJson,
    /// JSON, but none of the requests that this version knows.
    #[error(
        "the request is none that this version of hushpipe knows: is the launcher older than the \
         command?"
    )]
    Unknown,
}

impl Request {
    /// Reads a request: one JSON object, with or without its line's end.
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > LONGEST_REQUEST {
            return Err(RequestError::TooLong);
        }
        serde_json::from_slice(line).map_err(|error| {
            if error.is_data() {
                RequestError::Unknown
            } else {
                RequestError::NotJson
            }
        })
    }

    /// The request as it goes over the socket: a line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        line_of(self)
    }
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
        /// Where the state is not for whom asked: the service that the launcher is of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
}

impl Reply {
    /// It was not done.
    pub fn refused(exit: Exit, message: impl Into<String>) -> Self {
        Self::Refused {
            exit: exit.code(),
            message: message.into(),
            service: None,
        }
    }

    /// The reply as it goes over the socket: a line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        line_of(self)
    }
}

fn line_of(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("the types of this module are plain data");
    line.push(b'\n');
    line
}

/// A launcher's state, without values. Times are RFC 3339 in UTC; lengths of time are seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// What the program was given and is not as it should be.
    pub conditions: Vec<Condition>,
    /// Requests to vaults that people have to approve.
    pub control_groups: Vec<ControlGroupRequest>,
    /// What will be done next.
    pub next: Option<Next>,
    /// What hushpipe gave up after the launch, and what it did not and why.
    pub protections: Vec<String>,
    /// `do: restart`: how many restarts are left in this time; 0 says that the budget is exhausted.
    pub restarts_left: Option<u32>,
    /// What was counted since the launcher started.
    pub counts: Counts,
}

/// The state between the two programs of a restart.
pub const RESTARTING: &str = "restarting";

impl Status {
    /// The program runs, or is about to again.
    pub fn is_alive(&self) -> bool {
        self.program_pid.is_some() || self.state == RESTARTING
    }
}

/// What a rotation knows of its state, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotating {
    /// `steady`, `settling`, `fetching`, `retrying`, `verifying`, ...
    pub state: &'static str,
    /// The generation that the program has.
    pub generation: Generation,
    /// One for each secret, by name.
    pub secrets: Vec<SecretStatus>,
    /// What will be done next.
    pub next: Option<Next>,
    /// `do: restart`: how many restarts are left in this time.
    pub restarts_left: Option<u32>,
}

impl Default for Rotating {
    fn default() -> Self {
        Self {
            state: "steady",
            generation: Generation::FIRST,
            secrets: Vec::new(),
            next: None,
            restarts_left: None,
        }
    }
}

/// A secret's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    pub pinned: Option<VersionRef>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// When.
    pub at: String,
    /// What.
    pub message: String,
}

/// A store that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outage {
    /// Which.
    pub store: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub message: String,
}

/// Something that the program was given and is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// A path, or `secret NAME`.
    pub what: String,
    /// Since when.
    pub since: String,
    /// What is wrong.
    pub message: String,
}

/// A request to a vault that people have to approve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlGroupRequest {
    /// The store.
    pub store: String,
    /// The path.
    pub asked: String,
    /// What people approve it by.
    pub accessor: String,
    /// Since when.
    pub since: String,
    /// Who has approved it. The server does not say how many are needed.
    pub by: Vec<String>,
}

/// Something to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Next {
    /// What: `ask the stores`, `try again`, `look at api`, `renew db`, `replace db`,
    /// `renew the login to bao`.
    pub what: String,
    /// In how long.
    pub in_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_written() {
        let name = || Some("db".to_owned());
        for request in [
            Request::Status,
            Request::Rotate { secret: None },
            Request::Rotate { secret: name() },
            Request::Rollback {
                secret: None,
                to: None,
            },
            Request::Rollback {
                secret: name(),
                to: Some(3.into()),
            },
            Request::Revoke {
                secret: "db".to_owned(),
            },
        ] {
            let line = request.to_line();
            let end = line.iter().position(|byte| *byte == b'\n');
            assert_eq!(end, Some(line.len() - 1));
            assert_eq!(Request::parse(&line), Ok(request.clone()));
            assert_eq!(
                Request::parse(line.strip_suffix(b"\n").unwrap()),
                Ok(request.clone())
            );
        }
    }

    #[test]
    fn what_is_said_for_a_request_goes_with_it() {
        let rotate = Request::Rotate { secret: None };
        let mut asked = Asked::from(&rotate);
        assert_eq!(asked.to_line(), rotate.to_line());
        asked.said.reason = Some("INC-7".to_owned());
        let line = asked.to_line();
        assert_eq!(Asked::parse(&line), Ok(asked));
        assert_eq!(Request::parse(&line), Err(RequestError::Unknown));
        for line in [
            r#"{"command":"rotate","said":{"reason":"x","uid":0}}"#,
            r#"{"command":"rotate","said":7}"#,
            r#"{"command":"stop","said":{}}"#,
            r#"{"said":{}}"#,
            "[]",
        ] {
            let parsed = Asked::parse(line.as_bytes());
            assert_eq!(parsed, Err(RequestError::Unknown), "{line}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        use RequestError::{NotJson, TooLong, Unknown};
        let deep = "[".repeat(LONGEST_REQUEST);
        let long = format!("\"{}\"", "x".repeat(LONGEST_REQUEST));
        for (line, error) in [
            ("", NotJson),
            ("\n", NotJson),
            ("\0", NotJson),
            ("status", NotJson),
            ("{", NotJson),
            ("{}{}", Unknown),
            (r#"{"command":"status"} x"#, NotJson),
            ("GET / HTTP/1.1\r", NotJson),
            (&deep, Unknown),
            (&long, TooLong),
            ("{}", Unknown),
            ("null", Unknown),
            (r#"{"command":"stop"}"#, Unknown),
            (r#"{"command":"rotate","x":1}"#, Unknown),
            (r#"{"command":"revoke"}"#, Unknown),
            (r#"{"command":"rotate","secret":7}"#, Unknown),
            (r#"{"command":"rollback","to":-1}"#, Unknown),
        ] {
            assert_eq!(Request::parse(line.as_bytes()), Err(error), "{line:.40}");
        }
        assert_eq!(Request::parse(b"\xff\xfe"), Err(NotJson));
        let short = br#"{"command":"rotate"}"#;
        let all = Request::Rotate { secret: None };
        assert_eq!(Request::parse(short), Ok(all));
    }

    #[test]
    fn a_status_of_another_version_can_be_read() {
        let line = r#"{"reply":"status","pid":7,"news":true,"secrets":[{"name":"db"}]}"#;
        let Reply::Status(status) = serde_json::from_str(line).unwrap() else {
            panic!("it is a status");
        };
        assert_eq!(status.pid, 7);
        assert_eq!(status.secrets[0].name, "db");
    }
}
