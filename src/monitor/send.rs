//! Carries batches to the other side of a sink, and says what that has confirmed.

mod datagrams;
mod error;
mod http;
mod stream;

use super::format::{hec, journal, json, ocsf, otlp, rfc5424};
use super::item::Item;
use crate::model::{HttpFormat, SinkSpec, SyslogAddress};
use datagrams::{Udp, Unix};
pub use error::SendError;
pub use http::Posts;
use stream::Streamed;

/// A message by datagram has no more bytes than this: what rsyslog and syslog-ng take by default.
const DATAGRAM: usize = 8192;

/// One sink.
pub struct Sender {
    name: String,
    way: Way,
}

enum Way {
    Journal(Unix),
    SyslogUnix(Unix),
    SyslogUdp(Udp),
    SyslogStream(Streamed),
    Http(Posts, HttpFormat),
    Otlp(Posts),
}

impl Sender {
    /// Nothing is connected yet.
    pub fn new(spec: &SinkSpec) -> Self {
        let way = match spec {
            SinkSpec::Journald { socket } => Way::Journal(Unix::new(socket)),
            SinkSpec::Syslog { address, tls } => match address {
                SyslogAddress::Unix(path) => Way::SyslogUnix(Unix::new(path)),
                SyslogAddress::Udp(host, port) => Way::SyslogUdp(Udp::new(host, *port)),
                SyslogAddress::Tcp(host, port) => {
                    Way::SyslogStream(Streamed::new(host, *port, None))
                }
                SyslogAddress::Tls(host, port) => {
                    Way::SyslogStream(Streamed::new(host, *port, Some(tls.clone())))
                }
            },
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

    /// Ends when the other side has confirmed all of them. With datagrams that is the kernel of this host, and
    /// with a stream of syslog that of the other one: those protocols have no other confirmation.
    pub async fn send(&mut self, items: &[Item]) -> Result<(), SendError> {
        match &mut self.way {
            Way::Journal(unix) => {
                for (number, item) in items.iter().enumerate() {
                    let sent = unix.send_large(&journal::entry(item)).await;
                    sent.map_err(|why| SendError::new(number, why))?;
                }
                Ok(())
            }
            Way::SyslogUnix(unix) => {
                for (number, item) in items.iter().enumerate() {
                    let sent = unix.send(&rfc5424::message(item, DATAGRAM)).await;
                    sent.map_err(|why| SendError::new(number, why))?;
                }
                Ok(())
            }
            Way::SyslogUdp(udp) => {
                for (number, item) in items.iter().enumerate() {
                    let sent = udp.send(&rfc5424::message(item, DATAGRAM)).await;
                    sent.map_err(|why| SendError::new(number, why))?;
                }
                Ok(())
            }
            Way::SyslogStream(stream) => {
                let messages = items.iter().map(|item| rfc5424::message(item, usize::MAX));
                let sent = stream.send(&rfc5424::counted(messages)).await;
                sent.map_err(|why| SendError::new(0, why))
            }
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
