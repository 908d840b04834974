//! One plain request, to see whether somebody is well.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Client, Method, Url};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::causes;
use super::direct;
use super::error::HttpError;
use super::proxy;
use super::resolve::Lookup;
use super::retry::AttemptError;
use super::tls;
use crate::model::{Tls, format_duration};

/// Makes one request without a body or a token to an `http` or `https` URL, and gives the answer's
/// status; redirects are not followed, nothing is tried again, and the answer is read no further
/// than its head. `limit` is for all of it. For `do: http` and `verify: { http: … }`.
///
/// An https server must have a certificate that the system trusts. `HTTP_PROXY` and the like are
/// honoured, except for this machine itself.
///
/// The error is for a person: what went wrong, without the URL.
pub async fn probe(url: &str, method: Method, limit: Duration) -> Result<u16, String> {
    let asked = timeout(limit, status(url, method)).await;
    asked.unwrap_or_else(|_| Err(format!("no answer within {}", format_duration(limit))))
}

async fn status(url: &str, method: Method) -> Result<u16, String> {
    let url = Url::parse(url).map_err(|error| format!("not a URL: {error}"))?;
    let tls = match url.scheme() {
        "https" => Some(tls::config(&Tls::default()).await.map_err(words)?),
        "http" => None,
        _ => return Err("the URL is neither http:// nor https://".to_owned()),
    };
    match proxy::of(&url).map_err(|error| words(error.into()))? {
        Some(proxy) => proxied(url, method, tls, &proxy).await,
        None => direct::status(&url, method, tls).await,
    }
}

/// Through a proxy of the environment's: it is reached, and spoken to, by reqwest.
async fn proxied(
    url: Url,
    method: Method,
    tls: Option<ClientConfig>,
    proxy: &str,
) -> Result<u16, String> {
    let config = tls.map_or_else(tls::none, Ok);
    let builder = Client::builder()
        .tls_backend_preconfigured(config.map_err(|error| words(error.into()))?)
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::new(Lookup::default()))
        .pool_idle_timeout(None);
    let client = builder
        .build()
        .map_err(|error| format!("cannot set up HTTP: {}", error.without_url()))?;
    let mut request = client.request(method.clone(), url);
    if direct::says_length(&method) {
        request = request.header(CONTENT_LENGTH, 0);
    }
    let answer = request.send().await;
    let silent = || "connected, but the server did not respond".to_owned();
    answer
        .map(|answer| answer.status().as_u16())
        .map_err(|error| causes::of(&error, Some(proxy)).map_or_else(silent, |error| error.words))
}

fn words(failed: AttemptError) -> String {
    match failed {
        AttemptError::Try(error) => error.words,
        AttemptError::Request(HttpError::Unusable(reason)) => reason,
        AttemptError::Request(_) => "cannot set up TLS".to_owned(),
    }
}
