//! Carries batches to the other side of a sink, and says what that has confirmed.

mod datagrams;
mod error;
mod http;
mod stream;
mod syslog;

use super::format::{hec, journal, json, ocsf, otlp, rfc5424};
use super::item::Item;
use crate::model::{HttpFormat, SinkSpec};
pub use datagrams::Unix;
pub use error::SendError;
pub use http::Posts;
pub use syslog::Syslog;

/// One sink.
pub struct Sender {
    name: String,
    way: Way,
}

enum Way {
    Journal(Unix),
    Syslog(Syslog),
    Http(Posts, HttpFormat),
    Otlp(Posts),
}

impl Sender {
    /// Nothing is connected yet.
    pub fn new(spec: &SinkSpec) -> Self {
        let way = match spec {
            SinkSpec::Journald { socket } => Way::Journal(Unix::new(socket)),
            SinkSpec::Syslog { address, tls } => Way::Syslog(Syslog::new(address, tls)),
            SinkSpec::Http { server, format } => Way::Http(Posts::new(server, ""), *format),
            SinkSpec::Otlp(server) => Way::Otlp(Posts::new(server, "/v1/logs")),
        };
        let name = spec.name();
        Self { name, way }
    }

    /// Its kind and address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends when the other side has confirmed all of them; with datagrams that is the kernel of this host.
    pub async fn send(&mut self, items: &[Item]) -> Result<(), SendError> {
        match &mut self.way {
            Way::Journal(unix) => {
                for (number, item) in items.iter().enumerate() {
                    let sent = unix.send_large(&journal::entry(item)).await;
                    sent.map_err(|why| SendError::new(number, why))?;
                }
                Ok(())
            }
            Way::Syslog(syslog) => syslog.send(items, rfc5424::message).await,
            Way::Http(posts, format) => match format {
                HttpFormat::Ocsf => posts.send(ocsf::body(items), "Bearer").await,
                HttpFormat::Json => posts.send(json::body(items), "Bearer").await,
                HttpFormat::Hec => posts.send(hec::body(items), "Splunk").await,
            }
            .map(drop),
            Way::Otlp(posts) => {
                let answer = posts.send(otlp::body(items), "Bearer").await?;
                let rejected = otlp::rejected(&answer);
                // They were taken and thrown away: to send them again changes nothing (OTLP, "Partial Success").
                if let Some(why) = rejected {
                    eprintln!("hushpipe: warning: sink {}: {why}", self.name);
                }
                Ok(())
            }
        }
    }
}
