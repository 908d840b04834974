//! Where records go: `audit.sinks:` and `audit.witnesses:` of a site.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::site_path::SitePath;
use crate::manifest::addresses::{Server, ServerName};
use crate::manifest::decode::{Decode, Decoder, NO_SECRET, record};
use crate::manifest::tree::Node;
use crate::model::{HttpFormat, SyslogAddress};

record! {
    /// A witness (c2sp.org/tlog-witness).
    WitnessRecord("a mapping such as { url: https://witness.example, key: NAME+ID+KEY }") {
        /// Where it is: hushpipe posts to URL/add-checkpoint.
        required url "url": Server;
        /// Its verifier key, as `hushpipe audit witness --print-key` prints it.
        required key "key": WitnessKey;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
    } elsewhere {}
}

/// A verifier key of a witness. Whether it is one is for whoever uses it to see: this is its form.
#[derive(Clone, Debug)]
pub struct WitnessKey(pub String);

impl Decode for WitnessKey {
    const WANTED: &'static str = "a verifier key such as NAME+1a2b3c4d+BASE64";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| {
            let mut parts = text.splitn(3, '+');
            let (name, id, key) = (parts.next(), parts.next(), parts.next());
            let id = id
                .is_some_and(|id| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
            // Signature type 0x04 and the first bits of the key, in base64.
            let is_cosigner = key.is_some_and(|key| key.starts_with('B') && key.len() == 44);
            if name.is_none_or(str::is_empty) || !id {
                Err("it does not have the form NAME+8 hex digits+base64")
            } else if !is_cosigner {
                Err("it is not a key for Ed25519 cosignatures (signature type 0x04)")
            } else {
                Ok(Self(text.to_owned()))
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[^+]+\\+[0-9a-f]{8}\\+B[A-Za-z0-9+/=]{43}$" })
    }
}

record! {
    /// One place that records are sent to.
    SinkRecord("a mapping with one of journald, syslog, http, otlp") {
        /// The journal of this host.
        optional journald "journald": JournaldRecord;
        /// Syslog (RFC 5424).
        optional syslog "syslog": SyslogRecord;
        /// Batches by HTTP.
        optional http "http": HttpSinkRecord;
        /// OpenTelemetry's logs by OTLP/HTTP in JSON.
        optional otlp "otlp": OtlpRecord;
    } elsewhere {}
}

/// A sink of one kind.
pub struct Sink(pub SinkRecord);

impl Decode for Sink {
    const WANTED: &'static str = "a mapping with one of journald, syslog, http, otlp";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let record = SinkRecord::decode(node, to)?;
        let present = [
            record.journald.is_present(),
            record.syslog.is_present(),
            record.http.is_present(),
            record.otlp.is_present(),
        ];
        if present.iter().filter(|is_there| **is_there).count() == 1 {
            return Some(Self(record));
        }
        let help =
            "write one of `journald: {}`, `syslog: {...}`, `http: {...}`, `otlp: {...}` an item";
        to.fault(node.span, "a sink has one kind", help);
        None
    }

    fn schema() -> Value {
        let mut schema = SinkRecord::schema();
        schema["minProperties"] = json!(1);
        schema["maxProperties"] = json!(1);
        schema
    }
}

record! {
    /// The journal of this host, by its native protocol.
    JournaldRecord("a mapping, which may be empty: {}") {
        /// The socket of its native protocol.
        optional socket "socket": SitePath = "/run/systemd/journal/socket";
    } elsewhere {}
}

record! {
    /// Syslog messages (RFC 5424).
    SyslogRecord("a mapping such as { address: \"tls://siem.internal:6514\" }") {
        /// Where they go: unix:///path, udp://host:514, tcp://host:514 or tls://host:6514. A stream counts
        /// octets (RFC 6587, RFC 5425).
        required address "address": SyslogPlace;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
        /// The name that the server's certificate must have. Default: the address's host.
        optional tls_server_name "tls_server_name": ServerName;
        /// The PEM certificate that hushpipe shows itself with, and its chain.
        optional client_cert "client_cert": SitePath;
        /// Its private key; it may be in the same file.
        optional client_key "client_key": SitePath;
    } elsewhere {}
}

record! {
    /// Batches by HTTP, each confirmed by a status of 200 to 299.
    HttpSinkRecord("a mapping such as { url: https://siem.internal/collector, format: ocsf }") {
        /// The URL that is posted to, whole.
        required url "url": Server;
        /// ocsf: a list of events of OCSF 1.8. json: a list of records as they are. hec: Splunk's HTTP Event
        /// Collector.
        optional format "format": HttpFormat = "ocsf";
        /// The file with the token of the Authorization header: Bearer, and Splunk for hec.
        optional token_file "token_file": SitePath;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
    } elsewhere {
        "token": NO_SECRET => "name the token's file: token_file: PATH",
    }
}

record! {
    /// OpenTelemetry's logs by OTLP/HTTP in JSON.
    OtlpRecord("a mapping such as { url: http://127.0.0.1:4318 }") {
        /// The collector; hushpipe adds /v1/logs.
        required url "url": Server;
        /// The file with the token of the Authorization header (Bearer).
        optional token_file "token_file": SitePath;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
    } elsewhere {
        "token": NO_SECRET => "name the token's file: token_file: PATH",
    }
}

record! {
    /// Metrics of the audit log, of sinks and of witnesses.
    MetricsRecord("a mapping such as { listen: \"127.0.0.1:9184\" }") {
        /// Where Prometheus scrapes them, at /metrics, without TLS: ADDRESS:PORT.
        optional listen "listen": ListenAt;
        /// node_exporter's directory of text files: hushpipe.prom is written there.
        optional textfile "textfile": SitePath;
        /// Where they are pushed to by OTLP/HTTP in JSON.
        optional otlp "otlp": PushRecord;
    } elsewhere {}
}

record! {
    /// A push by OTLP/HTTP in JSON.
    PushRecord("a mapping such as { url: http://127.0.0.1:4318 }") {
        /// The collector; hushpipe adds /v1/metrics.
        required url "url": Server;
        /// The file with the token of the Authorization header (Bearer).
        optional token_file "token_file": SitePath;
        /// PEM certificates of the authorities that are trusted. Default: those of the system.
        optional ca_file "ca_file": SitePath;
        /// How often.
        optional every "every": Duration = "30s";
    } elsewhere {
        "token": NO_SECRET => "name the token's file: token_file: PATH",
    }
}

/// An address to listen at.
#[derive(Clone, Debug)]
pub struct ListenAt(pub SocketAddr);

impl Decode for ListenAt {
    const WANTED: &'static str = "an address and a port, such as 127.0.0.1:9184";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, |text| text.parse().map(Self))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": ":[0-9]+$" })
    }
}

/// Where syslog messages go.
#[derive(Clone, Debug)]
pub struct SyslogPlace(pub SyslogAddress);

impl SyslogPlace {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "it starts with none of unix:///, udp://, tcp:// and tls://";
        let (scheme, rest) = text.split_once("://").ok_or(WRONG)?;
        if scheme == "unix" {
            let is_path = rest.starts_with('/') && rest.len() > 1 && rest.len() <= 107;
            let address = SyslogAddress::Unix(PathBuf::from(rest));
            return is_path
                .then_some(Self(address))
                .ok_or("a socket has an absolute path of at most 107 bytes: unix:///dev/log");
        }
        let (host, port) = host_and_port(rest)?;
        Ok(Self(match scheme {
            "udp" => SyslogAddress::Udp(host, port.unwrap_or(514)),
            "tcp" => SyslogAddress::Tcp(host, port.unwrap_or(514)),
            "tls" => SyslogAddress::Tls(host, port.unwrap_or(6514)),
            _ => return Err(WRONG),
        }))
    }
}

/// A host's name or address, the latter in brackets where it is one of IPv6; and a port, if there is one.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), &'static str> {
    const PORT: &str = "its port is not a number from 1 to 65535";
    let number = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(PORT),
        Ok(port) => Ok(Some(port)),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("its `[` is not closed")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("there is no address of IPv6 in its brackets");
        }
        let port = match port.strip_prefix(':') {
            Some(port) => number(port)?,
            None if port.is_empty() => None,
            None => return Err(PORT),
        };
        return Ok((host.to_owned(), port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, number(port)?),
        None => (text, None),
    };
    ServerName::parse(host).map_err(|_| "its host is neither a name nor an address: HOST:PORT")?;
    Ok((host.to_owned(), port))
}

impl Decode for SyslogPlace {
    const WANTED: &'static str = "an address such as tls://siem.internal:6514 or unix:///dev/log";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^(unix:///|(udp|tcp|tls)://)[^/?#]*" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_syslog() {
        let parse = |text: &str| SyslogPlace::parse(text).map(|place| place.0.to_string());
        for (text, wanted) in [
            ("unix:///dev/log", "unix:///dev/log"),
            ("udp://h", "udp://h:514"),
            ("tcp://10.0.0.1:1", "tcp://10.0.0.1:1"),
            ("tls://siem.internal", "tls://siem.internal:6514"),
            ("tls://[::1]:7", "tls://[::1]:7"),
            ("udp://[::1]", "udp://[::1]:514"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(wanted));
        }
        for text in [
            "",
            "h",
            "http://h",
            "unix://",
            "unix://x",
            "udp://",
            "udp://h:0",
            "udp://h:70000",
            "udp://a b",
            "tcp://[::1",
            "tcp://[x]",
            "tcp://[::1]x",
            "tcp://h/p",
            "tcp://h:1:2",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
