//! Faults: what they are about, and what people are told to do.

use std::io;
use std::path::Path;

use reqwest::Method;

use super::call::Call;
use crate::model::StoreName;
use crate::stores::{Fault, StoreError};

/// A fault, and whether it is of one request or of the store.
pub(super) enum VaultError {
    /// All of the store: the login.
    Store(Fault),
    /// What was asked for.
    Asked(Fault),
}

impl VaultError {
    /// The server cannot be asked now, which says nothing of what it has.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Asked(fault) => matches!(
                fault,
                Fault::NoAnswer { .. } | Fault::Unreachable { .. } | Fault::Deadline { .. }
            ),
        }
    }

    /// The same once more, for others that it holds for.
    pub fn again(&self) -> Self {
        match self {
            Self::Store(fault) => Self::Store(fault.again()),
            Self::Asked(fault) => Self::Asked(fault.again()),
        }
    }

    /// With the names that people know.
    pub fn named(self, store: &StoreName, asked: &str) -> StoreError {
        let (asked, fault) = match self {
            Self::Store(fault) => (None, fault),
            Self::Asked(fault) => (Some(asked.to_owned()), fault),
        };
        StoreError {
            store: store.clone(),
            asked,
            fault,
        }
    }
}

impl From<Fault> for VaultError {
    fn from(fault: Fault) -> Self {
        Self::Asked(fault)
    }
}

/// Access is denied, and why.
pub(super) fn denied(reason: impl Into<String>) -> Fault {
    Fault::Denied {
        reason: reason.into(),
    }
}

/// A file that a login needs.
pub(super) fn unreadable(path: &Path, source: io::Error) -> VaultError {
    VaultError::Store(Fault::Unreachable {
        tried: path.to_owned(),
        source,
    })
}

/// What a status other than success means for a request that a login was shown for.
pub(super) fn refused(status: u16, call: &Call, namespace: Option<&str>) -> Fault {
    let path = &call.path;
    match status {
        403 => denied(missing_policy(call, namespace)),
        400 => Fault::Malformed {
            reason: "the server rejected the request (400): check the path's role or key, and its \
                     `parameters`"
                .to_owned(),
        },
        404 => Fault::Missing {
            hint: "no secret at this path".to_owned(),
        },
        405 if call.method == Method::GET => Fault::Malformed {
            reason: format!(
                "{path} cannot be read (405): does it need `parameters`, which make it a POST?"
            ),
        },
        405 => Fault::Malformed {
            reason: format!("{path} takes no POST (405): leave `parameters` out"),
        },
        _ => Fault::Malformed {
            reason: format!("the server rejected the request with HTTP status {status}"),
        },
    }
}

/// Names the line that a policy lacks.
fn missing_policy(call: &Call, namespace: Option<&str>) -> String {
    let capability = capability(&call.method);
    let place = namespace.map_or_else(String::new, |name| format!(" in namespace {name}"));
    let path = call.path.trim_matches('/');
    format!(
        "denied: no policy of the login allows `{capability}` on {path}{place}; add: path \
         \"{path}\" {{ capabilities = [\"{capability}\"] }}"
    )
}

/// What a policy calls it.
fn capability(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "read",
        "LIST" => "list",
        "DELETE" => "delete",
        _ => "update",
    }
}
