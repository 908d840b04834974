//! Datagrams: to a socket of this host, or by UDP (RFC 5426).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::http::look_up;
use crate::model::printable::printable_path;
use crate::sys::datagram;
use crate::sys::memfd;

/// How long the other side may take to read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A unix socket, unix(7).
pub struct Unix {
    path: PathBuf,
    sender: Option<datagram::Sender>,
}

impl Unix {
    /// Nothing is connected yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            sender: None,
        }
    }

    /// Sends one; the error is for a person.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.put(bytes, false).await
    }

    /// The same; one that is too long for a datagram goes as a sealed memory file, as journald takes it.
    pub async fn send_large(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.put(bytes, true).await
    }

    async fn put(&mut self, bytes: &[u8], by_file: bool) -> Result<(), String> {
        let sent = match timeout(PATIENCE, self.try_put(bytes, by_file)).await {
            Ok(sent) => sent,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        sent.map_err(|error| {
            // Whoever listens there later has another socket.
            self.sender = None;
            format!("{}: {}", printable_path(&self.path), words(&error))
        })
    }

    async fn try_put(&mut self, bytes: &[u8], by_file: bool) -> io::Result<()> {
        let sender = match &self.sender {
            Some(sender) => sender,
            None => self
                .sender
                .insert(datagram::Sender::connect(self.path.as_os_str())?),
        };
        let mut file = None;
        loop {
            let sent = match &file {
                Some(file) => sender.send(&[], std::slice::from_ref(file)),
                None => sender.send(bytes, &[]),
            };
            match sent {
                Ok(true) => return Ok(()),
                Ok(false) => poll_fn(|context| sender.poll_room(context)).await?,
                Err(error) if is_long(&error) && by_file && file.is_none() => {
                    file = Some(memfd::sealed(bytes)?);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_long(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS))
}

/// UDP to one host.
pub struct Udp {
    host: String,
    port: u16,
    socket: Option<UdpSocket>,
}

impl Udp {
    /// Nothing is looked up yet.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            socket: None,
        }
    }

    /// Sends one; the error is for a person.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = match timeout(PATIENCE, self.try_send(bytes)).await {
            Ok(sent) => sent,
            Err(_) => Err("it was not sent in time".to_owned()),
        };
        if sent.is_err() {
            self.socket = None;
        }
        sent
    }

    async fn try_send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(connected(&self.host, self.port).await?),
        };
        // A port that nobody listens at answers the datagram before: ECONNREFUSED.
        socket
            .send(bytes)
            .await
            .map(drop)
            .map_err(|error| words(&error))
    }
}

async fn connected(host: &str, port: u16) -> Result<UdpSocket, String> {
    let mut refused = format!("{host} has no address");
    for mut address in look_up(host).await? {
        address.set_port(port);
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let connected = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            Ok::<_, io::Error>(socket)
        };
        match connected.await {
            Ok(socket) => return Ok(socket),
            Err(error) => refused = words(&error),
        }
    }
    Err(refused)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "it does not read".to_owned(),
        _ => error.to_string(),
    }
}
