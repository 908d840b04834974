//! Redirects: followed to another of the server's own addresses, and nowhere else, as the token goes
//! with the request. A standby of a cluster answers so with the address of the active server.

use reqwest::Url;

use super::address::at;
use super::retry::{TryError, Weight};

/// Where to ask next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub index: usize,
    pub path: String,
}

/// The statuses that say "make the same request there". 303 says to make another one.
pub(super) const fn is_one(status: u16) -> bool {
    matches!(status, 301 | 302 | 307 | 308)
}

/// Which of the addresses a `Location` means, RFC 9110 section 10.2.2, and which path there.
/// `asked`: the path, and of which address.
pub(super) fn target(
    location: &str,
    asked: &str,
    index: usize,
    addresses: &[&Url],
) -> Result<Target, TryError> {
    let unreadable = || {
        TryError::new(
            Weight::Answered,
            "it redirects to something that is not a URL",
        )
        .lasting()
    };
    let from = at(addresses[index], asked).ok_or_else(unreadable)?;
    let to = from.join(location).map_err(|_| unreadable())?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(unreadable());
    }
    // The same address first: of several unix sockets each has the same origin.
    let indices = std::iter::once(index).chain(0..addresses.len());
    for candidate in indices {
        if let Some(path) = below(addresses[candidate], &to) {
            return Ok(Target {
                index: candidate,
                path,
            });
        }
    }
    Err(TryError::new(
        Weight::Answered,
        format!(
            "it redirects to {}, where the token must not go unless you say so: if that is the \
             same server, add it to `address`",
            origin(&to)
        ),
    )
    .lasting())
}

/// The path and query of a URL at an address, without the path that the address itself has.
fn below(base: &Url, to: &Url) -> Option<String> {
    if base.origin() != to.origin() {
        return None;
    }
    let path = to.path().strip_prefix(base.path().trim_end_matches('/'))?;
    if !path.starts_with('/') {
        return None;
    }
    let query = to.query().map(|query| format!("?{query}"));
    Some(format!("{path}{}", query.unwrap_or_default()))
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
