//! HTTP: one request, and its answer or why there is none. It knows no store.
//!
//! A [`Session`] is one pool of connections with its TLS state. It lives as long as somebody holds
//! it: a caller holds one while it has requests to make, so that nothing stays resident in between.
//!
//! What is retried, and how the time is divided, is in `retry`; the caller says which statuses are
//! transient ([`Classify`]). Nothing of a request but the server's address is ever in an error, and
//! nothing of an answer but its status.

mod address;
mod answer;
mod causes;
mod client;
mod direct;
mod endpoint;
mod error;
mod outgoing;
mod pem;
mod probe;
mod proxy;
mod redirect;
mod request;
mod resolve;
mod retry;
#[cfg(feature = "monitor")]
mod serve;
mod session;
#[cfg(feature = "monitor")]
mod stream;
mod tls;
mod tls_error;

#[cfg(test)]
mod tests;

pub use answer::{Answer, MAX_ANSWER};
pub use client::Http;
pub use error::HttpError;
pub use outgoing::Wire;
pub use probe::probe;
pub use request::Request;
pub use reqwest::Method;
pub use resolve::lookups_ended;
pub use retry::{Classify, Transient, transient};
#[cfg(feature = "monitor")]
pub use serve::{Asked, Listener, Reply, serve};
pub use session::{Session, Settings};
#[cfg(feature = "monitor")]
pub use stream::{Connection, connect, look_up};
