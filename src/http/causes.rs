//! What went wrong with a connection, in words.

use std::error::Error;
use std::io;

use super::retry::{TryError, Weight};
use super::{resolve, tls_error};

/// Why a request or its answer failed, on its way through a proxy, if there is one. `None`: no fault
/// but a time that was over, while the server's kernel was there.
pub(super) fn of(error: &reqwest::Error, proxy: Option<&str>) -> Option<TryError> {
    let is_timeout = error.is_timeout();
    let unknown = || TryError::new(Weight::Unconnected, "the connection failed");
    let mut found = causes(error)
        .find_map(known)
        .or_else(|| (!is_timeout).then(unknown))?;
    if let Some(proxy) = proxy.filter(|_| found.weight == Weight::Unconnected) {
        found.words = format!("{}, through the proxy {proxy}", found.words);
    }
    Some(if error.is_connect() {
        found
    } else {
        found.done()
    })
}

/// What went wrong with a connection that is not reqwest's, in words. `None`: nothing that is known.
pub(super) fn in_words(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(error), |error| behind(*error));
    causes.find_map(known).map(|error| error.words)
}

/// It speaks TLS, and was spoken to without.
pub(super) fn asks_for_tls() -> TryError {
    TryError::new(Weight::Answered, "it speaks TLS: write https://").lasting()
}

/// The errors behind an error, from the outermost to the first.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let first: Option<&'a (dyn Error + 'static)> = Some(error);
    std::iter::successors(first, |error| behind(*error))
}

/// What an error wraps. An I/O error that wraps another shows what that one wraps as its source, and
/// not itself.
fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<TryError> {
    // The library keeps the type to itself; the words are its own, not the proxy's.
    if let Some(words) = error.to_string().strip_prefix("tunnel error: ") {
        return (error.source().is_none())
            .then(|| TryError::new(Weight::Unconnected, format!("no tunnel: {words}")));
    }
    if let Some(error) = error.downcast_ref::<resolve::Unresolved>() {
        return Some(TryError::new(Weight::Unconnected, error.to_string()));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_error::of(error));
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return of_http(error);
    }
    let error = error.downcast_ref::<io::Error>()?;
    of_system(error).or_else(|| tls_error::of_alert_in(&error.to_string()))
}

/// Only what the kernel said: what else is wrapped as an I/O error is looked into.
fn of_system(error: &io::Error) -> Option<TryError> {
    let words = match error.kind() {
        _ if error.raw_os_error().is_none() => match error.kind() {
            // The connector's own clock, before the kernel's.
            io::ErrorKind::TimedOut => "no host answers there".to_owned(),
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => return None,
        },
        io::ErrorKind::TimedOut => "no host answers there".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        // As an end: which one is met is a matter of time, and nothing that a user could act on.
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it closed the connection".to_owned()
        }
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        _ => error.to_string(),
    };
    Some(TryError::new(Weight::Unconnected, words))
}

/// Not with hyper's words, which may come from the server (HTTP/2's debug data).
fn of_http(error: &hyper::Error) -> Option<TryError> {
    if error.is_parse() {
        let words = "its response is not HTTP: if it speaks TLS, write https://";
        return Some(TryError::new(Weight::Answered, words).lasting());
    }
    let is_cut = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    is_cut.then(|| TryError::new(Weight::Unconnected, "it closed the connection"))
}
