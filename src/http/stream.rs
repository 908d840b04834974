//! A connection that is no HTTP: TCP, and TLS over it, with the names, trust and words of this room.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::retry::AttemptError;
use super::{causes, resolve, tls};
use crate::model::Tls;

/// A connection to write to.
pub enum Connection {
    /// As it is.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Writes all of it, as far as the kernel.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }
}

/// The addresses of a host, with port 0. The error is for a person.
pub async fn look_up(host: &str) -> Result<Vec<std::net::SocketAddr>, String> {
    let found = resolve::look_up(host).await;
    found.map_err(|error| error.to_string())
}

/// Connects; over TLS where there are settings for it. The error is for a person.
pub async fn connect(host: &str, port: u16, tls: Option<&Tls>) -> Result<Connection, String> {
    let mut addresses = look_up(host).await?;
    for address in &mut addresses {
        address.set_port(port);
    }
    let words = |error: io::Error| {
        causes::in_words(&error).unwrap_or_else(|| format!("the connection failed: {error}"))
    };
    let stream = TcpStream::connect(&addresses[..]).await.map_err(words)?;
    stream.set_nodelay(true).map_err(words)?;
    let Some(settings) = tls else {
        return Ok(Connection::Plain(stream));
    };
    let config = tls::config(settings).await.map_err(|error| match error {
        AttemptError::Try(error) => error.words,
        AttemptError::Request(error) => error.to_string(),
    })?;
    let name = settings.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|_| format!("{host} is no name of TLS"))?;
    let mut config = config;
    config.alpn_protocols.clear();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let connected = connected.await.map_err(words)?;
    Ok(Connection::Tls(Box::new(connected)))
}
