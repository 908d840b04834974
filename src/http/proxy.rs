//! Proxies, as the environment names them: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`,
//! in capitals or not. TLS goes through them from end to end.

use std::net::IpAddr;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::error::HttpError;

/// The proxy through which a URL is reached, as `host:port`; `None`: through none. This machine
/// itself is never reached through a proxy, as in Go's net/http.
pub(super) fn of(url: &Url) -> Result<Option<String>, HttpError> {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse();
    let is_here = host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address: IpAddr| address.is_loopback());
    let Ok(uri) = url.as_str().parse::<Uri>() else {
        return Ok(None);
    };
    let Some(proxy) = Matcher::from_env().intercept(&uri).filter(|_| !is_here) else {
        return Ok(None);
    };
    let scheme = proxy.uri().scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https") {
        return Err(HttpError::Unusable(format!(
            "the environment names a {scheme} proxy: only http and https proxies are supported; name \
             the server in NO_PROXY if it is reached without one"
        )));
    }
    let port = proxy.uri().port().map(|port| format!(":{port}"));
    let host = proxy.uri().host().unwrap_or_default();
    Ok(Some(format!("{host}{}", port.unwrap_or_default())))
}
