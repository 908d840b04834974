//! A stream of syslog messages, by TCP or TLS (RFC 6587, RFC 5425).

use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::http::{Connection, connect};
use crate::model::Tls;
use crate::sys::socket;

/// How long a connection, and a batch on it, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at whether the other host has taken what was sent.
const BETWEEN: Duration = Duration::from_millis(1);

/// A connection that is made when there is something to send.
pub struct Streamed {
    host: String,
    port: u16,
    tls: Option<Tls>,
    connection: Option<Connection>,
}

impl Streamed {
    /// Nothing is connected yet.
    pub fn new(host: &str, port: u16, tls: Option<Tls>) -> Self {
        Self {
            host: host.to_owned(),
            port,
            tls,
            connection: None,
        }
    }

    /// Ends when the other host's kernel has acknowledged all of it. The error is for a person.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = match timeout(PATIENCE, self.try_send(bytes)).await {
            Ok(sent) => sent,
            Err(_) => Err("it does not read, or its host is gone".to_owned()),
        };
        if sent.is_err() {
            // What was sent on it may have arrived in part: a new one begins at a message's start.
            self.connection = None;
        }
        sent
    }

    async fn try_send(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.connection.as_ref().is_some_and(is_closed) {
            self.connection = None;
        }
        let connection = if let Some(connection) = &mut self.connection {
            connection
        } else {
            let made = connect(&self.host, self.port, self.tls.as_ref()).await?;
            self.connection.insert(made)
        };
        let lost = |error: io::Error| format!("the connection was lost: {error}");
        connection.write(bytes).await.map_err(lost)?;
        while socket::unacknowledged(connection.socket()).map_err(lost)? > 0 {
            sleep(BETWEEN).await;
        }
        if is_closed(connection) {
            return Err("it closed the connection".to_owned());
        }
        Ok(())
    }
}

/// A receiver of syslog says nothing but TLS's own messages: an end is an end.
fn is_closed(connection: &Connection) -> bool {
    socket::is_closed(connection.socket())
}
