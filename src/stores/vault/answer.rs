//! What the server answers, read.
//!
//! <https://openbao.org/api-docs/> and <https://developer.hashicorp.com/vault/api-docs> are followed;
//! what engine answered is told by the form of its answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::secret::{Field, SecretBytes};
use crate::stores::{Fault, format};

/// What every answer has around its data.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, default)]
    lease_id: Option<Cow<'a, str>>,
    #[serde(default)]
    lease_duration: i64,
    #[serde(default)]
    renewable: bool,
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub auth: Option<&'a RawValue>,
    #[serde(borrow, default)]
    wrap_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    warnings: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    errors: Option<Vec<Cow<'a, str>>>,
}

/// `wrap_info` in place of data.
#[derive(Deserialize)]
pub(super) struct Wrapping<'a> {
    #[serde(borrow)]
    pub token: Cow<'a, str>,
    #[serde(borrow)]
    pub accessor: Cow<'a, str>,
    #[serde(default)]
    ttl: i64,
    #[serde(borrow, default)]
    creation_path: Cow<'a, str>,
}

/// A secret as it was given.
pub(super) struct Secret {
    /// By name.
    pub fields: BTreeMap<String, Field>,
    /// The version in KV v2.
    pub version: Option<Numbered>,
    /// What is to be renewed and revoked.
    pub lease: Option<Granted>,
    /// How long it is good, without a lease.
    pub ttl: Option<Duration>,
}

/// One version of a KV v2 secret. A secret that was deleted with its metadata counts from 1 again, so
/// that the number alone does not tell one value from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub number: u64,
    /// When it was written, in the server's words.
    pub created: String,
}

impl Numbered {
    /// When it was written, if the server says a time.
    pub fn made(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.created).ok()
    }
}

/// A lease.
pub(super) struct Granted {
    pub id: String,
    pub ttl: Duration,
    pub renewable: bool,
}

/// `data` of KV v2: these two and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

/// What KV v2 tells of one version.
#[derive(Deserialize)]
struct Metadata<'a> {
    version: u64,
    #[serde(borrow, default)]
    created_time: Cow<'a, str>,
    #[serde(borrow)]
    deletion_time: Cow<'a, str>,
    destroyed: bool,
}

impl<'a> Envelope<'a> {
    /// Reads the whole answer.
    pub fn read(body: &'a SecretBytes) -> Result<Self, Fault> {
        read(body.expose())
    }

    /// The lease, if it is one.
    pub fn lease(&self) -> Option<Granted> {
        let id = self.lease_id.as_deref().filter(|id| !id.is_empty())?;
        Some(Granted {
            id: id.to_owned(),
            ttl: length(self.lease_duration),
            renewable: self.renewable,
        })
    }
}

impl<'a> Wrapping<'a> {
    /// Reads it, where an answer to a request that asked for no wrapping is wrapped.
    pub fn read(body: &'a SecretBytes) -> Result<Option<Self>, Fault> {
        let envelope = Envelope::read(body)?;
        let wrapped = envelope.wrap_info.filter(|info| info.get() != "null");
        wrapped.map(|info| read(info.get().as_bytes())).transpose()
    }

    /// How long the server keeps it.
    pub fn ttl(&self) -> Duration {
        length(self.ttl)
    }

    /// Whether it was made for what was asked; the server names the path within the namespace, or with
    /// the namespace before it. People paste the accessor into a shell.
    pub fn check(&self, asked: &str) -> Result<(), Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.accessor.is_empty() || !self.accessor.chars().all(plain) {
            return Err(Fault::Malformed {
                reason: "the answer is wrapped, and its accessor is not one that a server makes"
                    .to_owned(),
            });
        }
        let asked = asked.trim_matches('/');
        let rest = self.creation_path.trim_matches('/').strip_suffix(asked);
        if rest.is_some_and(|before| before.is_empty() || before.ends_with('/')) {
            return Ok(());
        }
        Err(Fault::Denied {
            reason:
                "the answer is a wrapping token that was made for another path: something between \
                     hushpipe and the server may have put it in the place of the true one"
                    .to_owned(),
        })
    }
}

/// Reads the data of an answer that is known to have some.
pub(super) fn data<'a, T: Deserialize<'a>>(body: &'a SecretBytes) -> Result<T, Fault> {
    let envelope = Envelope::read(body)?;
    let data = envelope.data.ok_or_else(no_data)?;
    read(data.get().as_bytes())
}

/// Reads JSON; the parser's own words may quote the answer.
pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|_| Fault::Malformed {
        reason: "the response is not that of a Vault or OpenBao server: does something else listen there?"
            .to_owned(),
    })
}

fn no_data() -> Fault {
    Fault::Missing {
        hint: "the answer holds no data".to_owned(),
    }
}

impl Secret {
    /// Reads the answer to a request for a secret.
    pub fn read(body: &SecretBytes) -> Result<Self, Fault> {
        let envelope = Envelope::read(body)?;
        if envelope.auth.is_some() || envelope.wrap_info.is_some() {
            let reason = "the answer is a login or a wrapping token, not a secret".to_owned();
            return Err(Fault::Malformed { reason });
        }
        let data = envelope.data.ok_or_else(no_data)?;
        if let Ok(versioned) = read::<Versioned>(data.get().as_bytes()) {
            let inner = versioned.data.ok_or_else(|| versioned.metadata.gone())?;
            return Ok(Self {
                fields: format::members(inner.get())?,
                version: Some(versioned.metadata.numbered()),
                lease: None,
                ttl: None,
            });
        }
        let mut fields = format::members(data.get())?;
        for field in fields.values_mut() {
            join_pem(field);
        }
        let lease = envelope.lease();
        let ttl = match lease {
            None => own_ttl(&mut fields).or(some_length(envelope.lease_duration)),
            Some(_) => None,
        };
        Ok(Self {
            fields,
            version: None,
            lease,
            ttl,
        })
    }
}

/// What a 404 says: a version that is gone, a path that is none of KV v2, or nothing there.
pub(super) fn missing(body: &SecretBytes, path: &str, pinned: Option<u64>) -> Fault {
    let mut fallback = match pinned {
        Some(version) => {
            format!("no version {version}, or no secret at this path")
        }
        None => "no secret at this path, and no engine that generates one".to_owned(),
    };
    // KV version 1 takes `data/KEY` for a key that is not there.
    if let Some((mount, key)) = path.trim_matches('/').split_once("/data/") {
        fallback = format!(
            "{fallback}; if {mount} is an engine of KV version 1, write `path: {mount}/{key}` in place \
             of `mount` and `key`"
        );
    }
    let Ok(envelope) = Envelope::read(body) else {
        return Fault::Missing { hint: fallback };
    };
    let versioned = envelope
        .data
        .and_then(|data| read::<Versioned>(data.get().as_bytes()).ok());
    if let Some(versioned) = versioned {
        return versioned.metadata.gone();
    }
    let errors = envelope.errors.unwrap_or_default();
    let warned = envelope.warnings.unwrap_or_default();
    let hint = if errors
        .iter()
        .any(|text| text.contains("no handler for route"))
    {
        "no engine is mounted there, in this namespace: `bao secrets list` shows the mounts"
            .to_owned()
    } else if warned.iter().any(|text| text.contains("versioned K/V")) {
        "this is KV version 2: write MOUNT/data/KEY, or `mount` and `key` instead of `path`"
            .to_owned()
    } else {
        fallback
    };
    Fault::Missing { hint }
}

impl Metadata<'_> {
    fn numbered(self) -> Numbered {
        Numbered {
            number: self.version,
            created: self.created_time.into_owned(),
        }
    }

    fn gone(&self) -> Fault {
        let version = self.version;
        let hint = if self.destroyed {
            format!("version {version} was destroyed: write a new one")
        } else if self.deletion_time.is_empty() {
            format!("version {version} holds nothing")
        } else {
            format!("version {version} was deleted: undelete it, or write a new one")
        };
        Fault::Missing { hint }
    }
}

/// Which version of a KV v2 secret is there, by its metadata.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// This one.
    There(Numbered),
    /// It is deleted or destroyed, or never was.
    Gone,
}

/// Reads the metadata of a KV v2 secret: of its current version, or of a pinned one. `None`: it is
/// not metadata.
pub(super) fn standing(
    body: &SecretBytes,
    pinned: Option<u64>,
    now: SystemTime,
) -> Option<Standing> {
    #[derive(Deserialize)]
    struct Key<'a> {
        current_version: u64,
        #[serde(borrow)]
        versions: BTreeMap<Cow<'a, str>, One<'a>>,
    }
    #[derive(Deserialize)]
    struct One<'a> {
        #[serde(borrow, default)]
        created_time: Cow<'a, str>,
        #[serde(borrow)]
        deletion_time: Cow<'a, str>,
        destroyed: bool,
    }
    let key: Key = data(body).ok()?;
    let wanted = pinned.unwrap_or(key.current_version);
    let Some(one) = key.versions.get(wanted.to_string().as_str()) else {
        return Some(Standing::Gone);
    };
    // A time to come is when `delete_version_after` will delete it.
    let deleted = !one.deletion_time.is_empty()
        && humantime::parse_rfc3339(&one.deletion_time).is_ok_and(|time| time <= now);
    Some(if one.destroyed || deleted {
        Standing::Gone
    } else {
        Standing::There(Numbered {
            number: wanted,
            created: one.created_time.clone().into_owned(),
        })
    })
}

/// A hundred years. A server may name any number, and not all of them can be counted with.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// So many seconds, or [`LONGEST`].
pub(super) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number).min(LONGEST)
}

fn length(number: i64) -> Duration {
    seconds(u64::try_from(number).unwrap_or(0))
}

fn some_length(number: i64) -> Option<Duration> {
    Some(length(number)).filter(|length| !length.is_zero())
}

/// Engines that give no lease name the time in a field: `ttl` (static roles of database and LDAP
/// engines, OIDC tokens), `token_ttl` (Google Cloud).
fn own_ttl(fields: &mut BTreeMap<String, Field>) -> Option<Duration> {
    if fields.contains_key("last_vault_rotation") {
        // What is left until the server sets another password: it is another at each reading, and
        // no part of the value. At its end the server takes a moment.
        let left = fields.remove("ttl")?;
        let left = std::str::from_utf8(left.expose()).ok()?;
        return Some(length(left.parse().ok()?));
    }
    let number = ["ttl", "token_ttl"]
        .iter()
        .find_map(|name| fields.get(*name))?;
    let text = std::str::from_utf8(number.expose()).ok()?;
    some_length(text.parse().ok()?)
}

/// A list of PEM texts becomes one text, as files of certificates are: one block after the other.
fn join_pem(field: &mut Field) {
    let is_list = field.is_json() && field.expose().starts_with(b"[\"-----BEGIN ");
    let Some(list) = is_list
        .then(|| serde_json::from_slice::<Vec<Cow<str>>>(field.expose()).ok())
        .flatten()
    else {
        return;
    };
    if list.iter().all(|text| text.starts_with("-----BEGIN ")) {
        let blocks: Vec<&str> = list.iter().map(|text| text.trim_end()).collect();
        *field = SecretBytes::new(blocks.join("\n").into_bytes()).into();
    }
}

#[cfg(test)]
mod tests;
