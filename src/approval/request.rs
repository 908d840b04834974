//! What is approved: a launch, described so that whoever signs can read it, and that nothing else fits it.
//!
//! A request is one line of JSON in a canonical form, so that there is one text for one request: the keys
//! of each object in the order of their bytes, no blanks, lists sorted and without duplicates, strings
//! with no more escapes than JSON demands, a newline at the end. What is signed is that file, byte for byte.

use std::collections::BTreeSet;
use std::fmt;

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
    /// Of the arguments, as policy sees it.
    pub arguments_sha256: String,
    /// The person who asks.
    pub by: String,
    /// When it was made. An approval is as old as its request, as a signature has no time.
    pub created: Moment,
    /// The site's, or the manifest's.
    pub environment: String,
    /// It counts until then, and not at that moment.
    pub expires: Moment,
    /// The host's name.
    pub host: String,
    /// Its name: 128 random bits in hex.
    pub id: RequestId,
    /// Of the manifest's bytes.
    pub manifest_sha256: String,
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
    version: u32,
}

/// Policies as they were when a request was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// Those that want approvals.
    pub ids: BTreeSet<String>,
    /// Of all policies of the site.
    pub sha256: String,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
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
    /// The site's, or the manifest's.
    pub environment: String,
    /// The host's name.
    pub host: String,
    /// The user that the program runs as.
    pub uid: u32,
    /// Of the manifest's bytes.
    pub manifest_sha256: String,
    /// What will be executed.
    pub program: Program,
    /// Of the arguments.
    pub arguments_sha256: String,
    /// What needs approval.
    pub secrets: BTreeSet<Asked>,
    /// Of all policies of the site.
    pub policies_sha256: String,
}

/// What a request says beside the launch that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its name.
    pub id: RequestId,
    /// The person who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it is made.
    pub created: Moment,
    /// Until when it counts.
    pub expires: Moment,
    /// How many launches it is good for.
    pub uses: u32,
    /// The policies that want approvals.
    pub policies: BTreeSet<String>,
}

impl Request {
    /// Of a launch.
    pub fn new(launch: &Launch, terms: Terms) -> Self {
        let launch = launch.clone();
        Self {
            arguments_sha256: launch.arguments_sha256,
            by: terms.by,
            created: terms.created,
            environment: launch.environment,
            expires: terms.expires,
            host: launch.host,
            id: terms.id,
            manifest_sha256: launch.manifest_sha256,
            policies: Policies {
                ids: terms.policies,
                sha256: launch.policies_sha256,
            },
            program: launch.program,
            reason: terms.reason,
            secrets: launch.secrets,
            service: launch.service,
            uid: launch.uid,
            uses: terms.uses,
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
            environment: self.environment.clone(),
            host: self.host.clone(),
            uid: self.uid,
            manifest_sha256: self.manifest_sha256.clone(),
            program: self.program.clone(),
            arguments_sha256: self.arguments_sha256.clone(),
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
            &self.manifest_sha256,
            &self.policies.sha256,
            &self.program.sha256,
        ];
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_digest = |text: &String| text.len() == 64 && text.bytes().all(is_digit);
        if !digests.into_iter().all(is_digest) {
            return wrong("a digest is not 64 hex digits");
        }
        if self.secrets.is_empty() {
            return wrong("`secrets` is empty");
        }
        Ok(())
    }
}
