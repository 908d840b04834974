//! What is approved: a launch, described so that whoever signs can read it, and that nothing else fits it.
//!
//! A request is one line of JSON in a canonical form, so that there is one text for one request: the keys
//! of each object in the order of their bytes, no blanks, lists sorted and without duplicates, strings
//! with no more escapes than JSON demands, a newline at the end. What is signed is that file, byte for byte.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::Moment;

/// A request is at most this long.
pub const MAX_REQUEST: usize = 256 * 1024;

/// The version of the format.
const VERSION: u32 = 1;

/// At most so many launches.
pub const MAX_USES: u32 = 10_000;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is to be done with the secrets.
    pub action: Action,
    /// The arguments, for whoever approves: as many as fit.
    pub arguments: Vec<String>,
    /// Of the arguments, as policy sees it.
    pub arguments_sha256: String,
    /// Whether it is for a launch that breaks the glass: an emergency, as it says.
    pub break_glass: bool,
    /// The person who asks.
    pub by: String,
    /// When it was made. An approval is as old as its request, as a signature has no time.
    pub created: Moment,
    /// The program's working directory.
    pub directory: String,
    /// The site's, or the manifest's.
    pub environment: String,
    /// It counts until then, and not at that moment.
    pub expires: Moment,
    /// The host's name.
    pub host: String,
    /// Its name: 128 random bits in hex.
    pub id: RequestId,
    /// `private` or `shared`; empty without files.
    pub isolation: String,
    /// The manifest.
    pub manifest: Manifest,
    /// `supervise` or `exec`.
    pub mode: String,
    /// The policies that it is for.
    pub policies: Policies,
    /// What will be executed.
    pub program: Program,
    /// Why.
    pub reason: String,
    /// What it will get.
    pub secrets: BTreeSet<Asked>,
    /// `service:`
    pub service: String,
    /// The user that the program runs as.
    pub uid: u32,
    /// How many launches it is good for.
    pub uses: u32,
    /// What the launch depends on of hushpipe's environment.
    pub variables: Variables,
    version: u32,
}

/// What is approved; an approval of one thing lifts no denial of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A program is to get them, now and when they rotate.
    Deliver,
}

/// Variables of hushpipe's environment: those that the manifest names, and inherited ones that have the
/// program run other code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variables {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Of names and values; empty without any.
    pub sha256: String,
}

/// Policies as they were when a request was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Of all policies of the site.
    pub sha256: String,
    /// What those want that want approvals.
    pub wanted: BTreeSet<Wanted>,
}

/// What a policy wants: [`crate::model::query::Obligation::Approval`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Of this group.
    pub group: String,
    /// How many distinct people.
    pub needed: u32,
    /// The policy's id.
    pub policy: String,
    /// The request is not older than this, in whole seconds.
    #[serde(with = "seconds")]
    pub within: Duration,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(within: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(within.as_secs())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Where it is: relative paths in it start there. Empty: standard input.
    pub path: String,
    /// Of its bytes.
    pub sha256: String,
    /// The principal of its signature, where the site wants one.
    pub signed_by: String,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its `argv[0]`.
    pub argv0: String,
    /// A script's interpreter; empty for a binary.
    pub interpreter: String,
    /// Of the interpreter's bytes; empty for a binary.
    pub interpreter_sha256: String,
    /// Its path.
    pub path: String,
    /// Of its bytes.
    pub sha256: String,
}

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What the store is asked for.
    pub asked: String,
    /// How it is delivered.
    pub deliveries: BTreeSet<String>,
    /// The store's name in the manifest.
    pub store: String,
}

/// 128 random bits, in hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RequestId(String);

impl RequestId {
    /// Of random bits.
    pub fn new(nonce: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(nonce)))
    }

    /// 32 hex digits, lowercase.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = text.len() == 32 && text.bytes().all(is_digit);
        is_id.then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RequestId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("expected an id of 32 hex digits")
    }
}

/// Why a file is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// More than any request has.
    #[error("it is longer than {MAX_REQUEST} bytes: this is no request")]
    TooLong,
    /// No JSON, an unknown or missing key, or a value of another kind.
    #[error("it is no request: {0}")]
    Json(serde_json::Error),
    /// Of another format.
    #[error("it has version {0} of the format, and hushpipe reads version {VERSION}")]
    Version(u32),
    /// A value that makes no sense.
    #[error("it is no request: {0}")]
    Value(&'static str),
    /// Another text of the same request.
    #[error(
        "it is not in the canonical form that hushpipe writes: it was changed after it was made"
    )]
    NotCanonical,
}

/// The launch that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// `service:`
    pub service: String,
    /// Whether it breaks the glass.
    pub break_glass: bool,
    /// `--reason`, or the one of `--break-glass`; empty: a launch that gives none.
    pub reason: String,
    /// The site's, or the manifest's.
    pub environment: String,
    /// The host's name.
    pub host: String,
    /// The user that the program runs as.
    pub uid: u32,
    /// The manifest.
    pub manifest: Manifest,
    /// What it depends on of hushpipe's environment.
    pub variables: Variables,
    /// What will be executed.
    pub program: Program,
    /// The arguments, as many as fit a request.
    pub arguments: Vec<String>,
    /// Of all arguments.
    pub arguments_sha256: String,
    /// The program's working directory.
    pub directory: String,
    /// `supervise` or `exec`.
    pub mode: String,
    /// `private` or `shared`; empty without files.
    pub isolation: String,
    /// What needs approval.
    pub secrets: BTreeSet<Asked>,
    /// Of all policies of the site.
    pub policies_sha256: String,
}

/// Arguments as a request has them: no more than fit, and how many are left out.
pub fn shown_arguments(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    const MOST: usize = 32 * 1024;
    let (mut shown, mut length, mut more) = (Vec::new(), 0, 0);
    for argument in arguments {
        // A character is six bytes of JSON at most.
        length += 6 * argument.len() + 3;
        if length <= MOST {
            shown.push(argument);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        shown.push(format!("... and {more} more"));
    }
    shown
}

/// What a request says beside the launch that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its name.
    pub id: RequestId,
    /// The person who asks.
    pub by: String,
    /// When it is made.
    pub created: Moment,
    /// Until when it counts.
    pub expires: Moment,
    /// How many launches it is good for.
    pub uses: u32,
    /// What policies want.
    pub wanted: BTreeSet<Wanted>,
}

impl Request {
    /// Of a launch.
    pub fn new(launch: &Launch, terms: Terms) -> Self {
        let launch = launch.clone();
        Self {
            action: Action::Deliver,
            arguments: launch.arguments,
            arguments_sha256: launch.arguments_sha256,
            break_glass: launch.break_glass,
            by: terms.by,
            created: terms.created,
            directory: launch.directory,
            environment: launch.environment,
            expires: terms.expires,
            host: launch.host,
            id: terms.id,
            isolation: launch.isolation,
            manifest: launch.manifest,
            mode: launch.mode,
            policies: Policies {
                sha256: launch.policies_sha256,
                wanted: terms.wanted,
            },
            program: launch.program,
            reason: launch.reason,
            secrets: launch.secrets,
            service: launch.service,
            uid: launch.uid,
            uses: terms.uses,
            variables: launch.variables,
            version: VERSION,
        }
    }

    /// Reads a request that is in its canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<u32>,
        }
        if bytes.len() > MAX_REQUEST {
            return Err(RequestError::TooLong);
        }
        // A later version may have other keys.
        if let Ok(Versioned {
            version: Some(version),
        }) = serde_json::from_slice(bytes)
            && version != VERSION
        {
            return Err(RequestError::Version(version));
        }
        let request: Self = serde_json::from_slice(bytes).map_err(RequestError::Json)?;
        request.check()?;
        if request.to_bytes() != bytes {
            return Err(RequestError::NotCanonical);
        }
        Ok(request)
    }

    /// As it is written, and signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a request is JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The launch that it is for.
    pub fn launch(&self) -> Launch {
        Launch {
            service: self.service.clone(),
            break_glass: self.break_glass,
            reason: self.reason.clone(),
            environment: self.environment.clone(),
            host: self.host.clone(),
            uid: self.uid,
            manifest: self.manifest.clone(),
            variables: self.variables.clone(),
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            arguments_sha256: self.arguments_sha256.clone(),
            directory: self.directory.clone(),
            mode: self.mode.clone(),
            isolation: self.isolation.clone(),
            secrets: self.secrets.clone(),
            policies_sha256: self.policies.sha256.clone(),
        }
    }

    fn check(&self) -> Result<(), RequestError> {
        let wrong = |what| Err(RequestError::Value(what));
        if !(1..=MAX_USES).contains(&self.uses) {
            return wrong("`uses` is not between 1 and 10,000");
        }
        if self.expires <= self.created {
            return wrong("`expires` is not after `created`");
        }
        let digests = [
            &self.arguments_sha256,
            &self.manifest.sha256,
            &self.policies.sha256,
            &self.program.sha256,
        ];
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_digest = |text: &String| text.len() == 64 && text.bytes().all(is_digit);
        let optional = [
            (
                self.program.interpreter.is_empty(),
                &self.program.interpreter_sha256,
            ),
            (self.variables.names.is_empty(), &self.variables.sha256),
        ];
        let is_right = |(nothing, digest): (bool, &String)| {
            digest.is_empty() == nothing && (nothing || is_digest(digest))
        };
        if !digests.into_iter().all(is_digest) || !optional.into_iter().all(is_right) {
            return wrong("a digest is not 64 hex digits");
        }
        if self.secrets.is_empty() {
            return wrong("`secrets` is empty");
        }
        Ok(())
    }
}
