//! Addresses of servers.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use url::{Host, Url};

use super::collections::List;
use super::decode::{Decode, Decoder, NO_SECRET, Spanned, or_variable};
use super::fault::Fault;
use super::tree::{Data, Node};
use super::values::is_template;
use crate::model::Address;

/// A socket's path has at most so many bytes: unix(7).
const LONGEST_SOCKET: usize = 107;

/// Where a vault listens.
#[derive(Clone, Debug)]
pub struct Server {
    /// As the plan has it.
    pub address: Address,
    /// What is sent can be read on the way: http to another host.
    pub in_the_clear: bool,
}

impl Server {
    /// Takes `http://`, `https://` and `unix:///path`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix://") {
            return socket(path);
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err("it starts with none of https://, http:// and unix:///");
        }
        let url = http(text)?;
        if url.query().is_some() {
            return Err("it has a query (`?`)");
        }
        match url.path().trim_end_matches('/').rsplit('/').next() {
            Some("v1") => return Err("it ends in /v1, which hushpipe adds itself: leave that out"),
            Some("ui") => return Err("it ends in /ui, where people look: leave that out"),
            _ => {}
        }
        Ok(Self {
            in_the_clear: url.scheme() == "http" && !is_loopback(&url),
            address: Address::Url(url.as_str().trim_end_matches('/').to_owned()),
        })
    }
}

fn socket(path: &str) -> Result<Server, &'static str> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("a socket has an absolute path: unix:///run/bao.sock");
    }
    if path.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if path.len() > LONGEST_SOCKET {
        return Err("a socket's path has at most 107 bytes");
    }
    Ok(Server {
        address: Address::Unix(PathBuf::from(path)),
        in_the_clear: false,
    })
}

/// A URL of HTTP that names nobody and no part of an answer.
fn http(text: &str) -> Result<Url, &'static str> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    // The URL standard has browsers in mind: it forgives what is a slip here.
    let slip = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    match rest {
        None => return Err("it does not start with http:// or https://"),
        Some(rest) if rest.starts_with(['/', '?', '#']) || rest.is_empty() => {
            return Err("it has no host");
        }
        Some(rest) if rest.contains(slip) => return Err("it has spaces or a backslash"),
        Some(rest) if !authority(rest).is_ascii() => {
            return Err(
                "its host is not in ASCII: write it in punycode, as `xn--bcher-kva.example`",
            );
        }
        // It would be taken apart, and may stand for any byte.
        Some(rest) if host(rest).contains('%') => return Err("its host has a `%` in it"),
        Some(_) => {}
    }
    let url = Url::parse(text).map_err(|_| "it is not a URL: host or port is wrong")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or password");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment (`#`)");
    }
    Ok(url)
}

/// What stands between `://` and the path.
fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// The host, with its port.
fn host(rest: &str) -> &str {
    let authority = authority(rest);
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// `None`: `user:password@` stands in the address, and a fault was added that does not show it.
fn names_nobody(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<()> {
    let Data::Scalar { text, .. } = &node.data else {
        return Some(());
    };
    let rest = text
        .split_once("://")
        .map_or(text.as_ref(), |(_, rest)| rest);
    if !authority(rest).contains('@') {
        return Some(());
    }
    let message = format!("the address has a user name or a password: {NO_SECRET}");
    let help = "remove everything up to the `@`";
    to.faults
        .push(Fault::new(node.span, message, help).hiding());
    None
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

impl Decode for Server {
    const WANTED: &'static str =
        "an address such as https://bao.internal:8200 or unix:///run/bao.sock";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        names_nobody(node, to)?;
        to.parsed(node, Self::WANTED, Self::parse)
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^(https?|unix)://[^?#]+$" }))
    }
}

/// One address, or several that are tried in turn.
pub struct Servers(pub Vec<Spanned<Server>>);

impl Decode for Servers {
    const WANTED: &'static str = "an address such as https://bao.internal:8200, or a list of them";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if !matches!(node.data, Data::Sequence(_)) {
            let server = Server::decode(node, to)?;
            return Some(Self(vec![Spanned {
                key: Some(node.span),
                span: node.span,
                value: Some(server),
            }]));
        }
        let List(servers) = List::<Server>::decode(node, to)?;
        if servers.is_empty() {
            let help = "write one address, or a list of those that are tried in turn";
            to.fault(node.span, "the list of addresses is empty", help);
            return None;
        }
        Some(Self(servers))
    }

    fn schema() -> Value {
        let mut list = List::<Server>::schema();
        list["minItems"] = json!(1);
        json!({ "anyOf": [Server::schema(), list] })
    }
}

/// A URL that is asked on this host's behalf: a hook, or a check of health.
#[derive(Clone, Debug)]
pub struct HookUrl(pub String);

impl Decode for HookUrl {
    const WANTED: &'static str = "a URL such as http://127.0.0.1:8080/-/reload";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        if is_template(to.raw_text(node, Self::WANTED)?) {
            let message = "a URL cannot hold a template: secrets never go there";
            let help = "deliver the secret to the program instead, as a file, fd or stdin";
            to.fault(node.span, message, help);
            return None;
        }
        names_nobody(node, to)?;
        to.parsed(node, Self::WANTED, |text| {
            http(text).map(|_| Self(text.to_owned()))
        })
    }

    fn schema() -> Value {
        or_variable(&json!({ "type": "string", "pattern": "^https?://[^#]+$" }))
    }
}

/// The name that a server's certificate must have.
#[derive(Clone, Debug)]
pub struct ServerName(pub String);

impl ServerName {
    /// Takes a DNS name or an IP address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !part.is_empty() && part.len() < 64 && part.chars().all(plain)
        };
        if text.split('.').all(part) || text.parse::<IpAddr>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err("it is neither a host name nor an IP address")
        }
    }
}

impl Decode for ServerName {
    const WANTED: &'static str = "a name such as bao.internal";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

/// A namespace of a vault; no slash at either end.
#[derive(Clone, Debug)]
pub struct Namespace(pub String);

impl Namespace {
    /// Takes what can stand in a header, part by part.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            Err("it is empty")
        } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
            Err("it has spaces or characters that no header can hold")
        } else if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            Err("it has an empty part, `.` or `..`")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl Decode for Namespace {
    const WANTED: &'static str = "a namespace such as payments or team/payments";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        to.parsed(node, Self::WANTED, Self::parse)
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> String {
        match Server::parse(text).map(|server| server.address) {
            Ok(Address::Url(url)) => url,
            Ok(Address::Unix(path)) => format!("socket {}", path.display()),
            Err(error) => error.to_owned(),
        }
    }

    #[test]
    fn addresses_lose_the_slash_at_their_end() {
        assert_eq!(url("https://bao:8200/"), "https://bao:8200");
        assert_eq!(
            url("https://Bao.internal/vault/"),
            "https://bao.internal/vault"
        );
        assert_eq!(url("http://[::1]:8200"), "http://[::1]:8200");
        assert_eq!(url("unix:///run/bao.sock"), "socket /run/bao.sock");
    }

    #[test]
    fn what_is_no_address_is_told_by_its_kind() {
        for (text, error) in [
            (
                "bao:8200",
                "it starts with none of https://, http:// and unix:///",
            ),
            (
                "ftp://bao",
                "it starts with none of https://, http:// and unix:///",
            ),
            ("https:///bao", "it has no host"),
            ("https://", "it has no host"),
            (
                "https://bao:99999",
                "it is not a URL: host or port is wrong",
            ),
            ("https://ba o", "it has spaces or a backslash"),
            ("https://bao\\x", "it has spaces or a backslash"),
            (
                "https://bücher.example:8200/v1",
                "its host is not in ASCII: write it in punycode, as `xn--bcher-kva.example`",
            ),
            ("https://bao%EE%EEA", "its host has a `%` in it"),
            ("https://u:p@bao", "it has a user name or password"),
            ("https://u%40:p@bao", "it has a user name or password"),
            ("https://bao?x", "it has a query (`?`)"),
            (
                "https://bao:8200/v1/",
                "it ends in /v1, which hushpipe adds itself: leave that out",
            ),
            (
                "https://bao/a/ui",
                "it ends in /ui, where people look: leave that out",
            ),
            ("https://bao#x", "it has a fragment (`#`)"),
            (
                "unix://run/x",
                "a socket has an absolute path: unix:///run/bao.sock",
            ),
        ] {
            assert_eq!(url(text), error, "{text}");
        }
        let long = format!("unix:///{}", "x".repeat(107));
        assert_eq!(url(&long), "a socket's path has at most 107 bytes");
    }

    #[test]
    fn http_is_in_the_clear_but_to_this_host() {
        let clear = |text: &str| Server::parse(text).unwrap().in_the_clear;
        for text in [
            "http://bao:8200",
            "http://10.0.0.1",
            "http://localhost.example",
        ] {
            assert!(clear(text), "{text}");
        }
        for text in [
            "https://bao",
            "http://127.0.0.2:8200",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
            "http://localhost:8200",
            "unix:///run/bao.sock",
        ] {
            assert!(!clear(text), "{text}");
        }
    }

    #[test]
    fn namespaces_and_server_names_are_plain() {
        assert_eq!(Namespace::parse("/team/pay/").unwrap().0, "team/pay");
        for text in ["", "/", "a//b", "a/../b", "a b", "é"] {
            assert!(Namespace::parse(text).is_err(), "{text}");
        }
        for text in ["bao.internal", "10.0.0.1", "::1", "a_b-c"] {
            assert!(ServerName::parse(text).is_ok(), "{text}");
        }
        for text in ["", "a..b", "https://bao", "bao:8200", "*.bao"] {
            assert!(ServerName::parse(text).is_err(), "{text}");
        }
    }
}
