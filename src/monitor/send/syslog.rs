//! Syslog messages, by any of its transports.

use super::datagrams::{Udp, Unix};
use super::error::SendError;
use super::stream::Streamed;
use crate::model::{SyslogAddress, Tls};
use crate::monitor::format::rfc5424::counted;

/// A message by datagram has no more bytes than this: what rsyslog and syslog-ng take by default.
const DATAGRAM: usize = 8192;

/// One receiver.
pub enum Syslog {
    /// A socket of this host.
    Unix(Unix),
    /// UDP.
    Udp(Udp),
    /// TCP or TLS.
    Stream(Streamed),
}

impl Syslog {
    /// Nothing is connected yet.
    pub fn new(address: &SyslogAddress, tls: &Tls) -> Self {
        match address {
            SyslogAddress::Unix(path) => Self::Unix(Unix::new(path)),
            SyslogAddress::Udp(host, port) => Self::Udp(Udp::new(host, *port)),
            SyslogAddress::Tcp(host, port) => Self::Stream(Streamed::new(host, *port, None)),
            SyslogAddress::Tls(host, port) => {
                Self::Stream(Streamed::new(host, *port, Some(tls.clone())))
            }
        }
    }

    /// Sends messages, each of at most as many bytes as it is given. They are confirmed by the kernel of this
    /// host, and with a stream by that of the other one: syslog has no other confirmation.
    pub async fn send<T>(
        &mut self,
        items: &[T],
        message: impl Fn(&T, usize) -> Vec<u8>,
    ) -> Result<(), SendError> {
        if let Self::Stream(stream) = self {
            let messages = items.iter().map(|item| message(item, usize::MAX));
            let sent = stream.send(&counted(messages)).await;
            return sent.map_err(|why| SendError::new(0, why));
        }
        for (number, item) in items.iter().enumerate() {
            let bytes = message(item, DATAGRAM);
            let sent = match self {
                Self::Unix(unix) => unix.send(&bytes).await,
                Self::Udp(udp) => udp.send(&bytes).await,
                Self::Stream(stream) => stream.send(&bytes).await,
            };
            sent.map_err(|why| SendError::new(number, why))?;
        }
        Ok(())
    }
}
