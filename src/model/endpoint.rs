//! Where a site's records, metrics and alerts go.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::{Address, Tls};

/// A server of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerSpec {
    /// Where it is.
    pub url: Address,
    /// How it is known, where the URL is one of https.
    #[serde(flatten)]
    pub tls: Tls,
    /// The file with the token that it wants.
    #[serde(serialize_with = "super::written::path_or_none")]
    pub token_file: Option<PathBuf>,
}

/// Where syslog messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A socket of this host.
    Unix(PathBuf),
    /// A host, and its port.
    Udp(String, u16),
    /// By TCP.
    Tcp(String, u16),
    /// By TLS.
    Tls(String, u16),
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix://{}", path.display()),
            Self::Udp(host, port) => ("udp", host, port),
            Self::Tcp(host, port) => ("tcp", host, port),
            Self::Tls(host, port) => ("tls", host, port),
        };
        if host.contains(':') {
            return write!(f, "{scheme}://[{host}]:{port}");
        }
        write!(f, "{scheme}://{host}:{port}")
    }
}

impl Serialize for SyslogAddress {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
