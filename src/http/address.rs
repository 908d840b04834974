//! The URLs of addresses, as the settings write them.

use std::net::IpAddr;

use reqwest::Url;

use super::error::HttpError;

/// An address that can be used.
pub(super) fn parse(written: &str) -> Result<Url, HttpError> {
    let error = |reason: &str| HttpError::Unusable(reason.to_owned());
    let url = Url::parse(written).map_err(|_| error("the address is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(error("the address is neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error("the address must not hold a user name or a password"));
    }
    Ok(url)
}

/// Makes requests for another host than the one that is connected to: TLS verifies the name, and
/// sends it as SNI.
pub(super) fn rename(url: &mut Url, server_name: &str) -> Result<(), HttpError> {
    let is_name = server_name.parse::<IpAddr>().is_err();
    if is_name && url.set_host(Some(server_name)).is_ok() {
        return Ok(());
    }
    Err(HttpError::Unusable(format!(
        "`tls_server_name` is not a DNS name: {server_name}"
    )))
}

/// An address with a path: nothing of the path can lead out of the address.
pub(super) fn at(address: &Url, path: &str) -> Option<Url> {
    let base = address.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}{path}")).ok()
}

/// Without the brackets of an IPv6 address.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}
