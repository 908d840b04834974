//! A TCP proxy between hushpipe and a server, that spoils the connection when a test says so. It
//! passes bytes on as they are: TLS goes through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::ports::free_port;

/// What the proxy does, to connections that are there and to new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Passes everything on.
    Good,
    /// Nobody listens: connections are refused, those that are there are cut.
    Refuse,
    /// Connections are taken, and nothing ever comes back.
    BlackHole,
    /// Passes everything on, each direction so much later; a round trip takes twice that.
    Delay(Duration),
    /// Cuts a connection after so many bytes of the server's have gone through it.
    CutAfter(usize),
    /// The server's bytes come one by one, with this pause.
    Trickle(Duration),
}

/// A running proxy.
pub struct FaultProxy {
    port: u16,
    wire: watch::Sender<Wire>,
    server: Arc<AtomicU16>,
    connections: Arc<Mutex<Vec<Instant>>>,
    thread: Option<JoinHandle<()>>,
    end: watch::Sender<bool>,
    /// What the listener has come to: told apart from what it was asked for.
    listening: watch::Receiver<bool>,
}

impl FaultProxy {
    /// Starts one in front of a port of 127.0.0.1.
    pub fn start(server: u16) -> Self {
        let port = free_port();
        let (wire, wires) = watch::channel(Wire::Good);
        let (end, ends) = watch::channel(false);
        let (tell, listening) = watch::channel(false);
        let server = Arc::new(AtomicU16::new(server));
        let connections = Arc::default();
        let front = Front {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            server: Arc::clone(&server),
            wire: wires,
            connections: Arc::clone(&connections),
            listening: tell,
        };
        let thread = thread::spawn(move || run(front, ends));
        let proxy = Self {
            port,
            wire,
            server,
            connections,
            thread: Some(thread),
            end,
            listening,
        };
        proxy.wait_for(true);
        proxy
    }

    /// Its own port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `https://127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// From now on, new connections go to another port.
    pub fn lead_to(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
    }

    /// From now on it does this.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
        self.wait_for(wire != Wire::Refuse);
    }

    fn wait_for(&self, listening: bool) {
        let there = super::wait_until(|| (*self.listening.borrow() == listening).then_some(()));
        assert!(there.is_some(), "the proxy's port {} is taken", self.port);
    }

    /// How many connections were made through it so far.
    pub fn connections(&self) -> usize {
        self.connections.lock().expect("no holder panics").len()
    }

    /// How many requests these connections were for, at least, where each gives up after `deadline`:
    /// no connection is made for one that long after its first.
    pub fn tries(&self, deadline: Duration) -> usize {
        let connections = self.connections.lock().expect("no holder panics");
        tries(connections.iter().map(|at| at.into_std()), deadline)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.end.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; a second one here would hide the test's own.
            thread.join().ok();
        }
    }
}

/// How many groups there are, each no longer than `deadline`.
pub(super) fn tries(times: impl Iterator<Item = std::time::Instant>, deadline: Duration) -> usize {
    let (mut count, mut first) = (0, None);
    for at in times {
        if first.is_none_or(|first| at.duration_since(first) > deadline) {
            count += 1;
            first = Some(at);
        }
    }
    count
}

struct Front {
    address: SocketAddr,
    server: Arc<AtomicU16>,
    wire: watch::Receiver<Wire>,
    connections: Arc<Mutex<Vec<Instant>>>,
    listening: watch::Sender<bool>,
}

fn run(front: Front, mut ends: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        tokio::select! {
            () = front.serve() => {}
            _ = ends.wait_for(|end| *end) => {}
        }
    });
}

impl Front {
    async fn serve(mut self) {
        loop {
            self.wait_while(|wire| wire == Wire::Refuse).await;
            // The port is in use for a moment after it was let go of, under load.
            let Ok(listener) = TcpListener::bind(self.address).await else {
                sleep(Duration::from_millis(1)).await;
                continue;
            };
            self.listening.send_replace(true);
            self.accept(&listener).await;
            drop(listener);
            self.listening.send_replace(false);
        }
    }

    async fn wait_while(&mut self, bad: impl Fn(Wire) -> bool) {
        if self.wire.wait_for(|wire| !bad(*wire)).await.is_err() {
            // The test has ended.
            std::future::pending::<()>().await;
        }
    }

    /// Takes connections until none are to be taken.
    async fn accept(&mut self, listener: &TcpListener) {
        let mut wire = self.wire.clone();
        loop {
            tokio::select! {
                _ = wire.wait_for(|wire| *wire == Wire::Refuse) => return,
                taken = listener.accept() => {
                    if let Ok((client, _)) = taken {
                        self.connections.lock().expect("no holder panics").push(Instant::now());
                        let server = self.server.load(Ordering::Relaxed);
                        let server = SocketAddr::from(([127, 0, 0, 1], server));
                        tokio::spawn(connection(client, server, self.wire.clone()));
                    }
                }
            }
        }
    }
}

async fn connection(client: TcpStream, server: SocketAddr, mut wire: watch::Receiver<Wire>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("the socket is open");
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let upwards = Direction {
        wire: wire.clone(),
        answers: false,
    };
    let downwards = Direction {
        wire: wire.clone(),
        answers: true,
    };
    tokio::select! {
        () = upwards.pump(from_client, to_server) => {}
        () = downwards.pump(from_server, to_client) => {}
        _ = wire.wait_for(|wire| *wire == Wire::Refuse) => {}
    }
}

struct Direction {
    wire: watch::Receiver<Wire>,
    /// Whether it is the server's.
    answers: bool,
}

impl Direction {
    /// Reads on while what was read waits for its time, as a long line would.
    async fn pump(self, mut from: OwnedReadHalf, to: OwnedWriteHalf) {
        let (send, parts) = mpsc::unbounded_channel();
        let wire = self.wire.clone();
        let read = async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut bytes).await {
                let delay = match *wire.borrow() {
                    Wire::Delay(delay) => delay,
                    _ => Duration::ZERO,
                };
                if send
                    .send((Instant::now() + delay, bytes[..count].to_vec()))
                    .is_err()
                {
                    break;
                }
            }
        };
        tokio::join!(read, self.write(parts, to));
    }

    async fn write(
        mut self,
        mut parts: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
        mut to: OwnedWriteHalf,
    ) {
        let mut gone = 0;
        while let Some((at, part)) = parts.recv().await {
            sleep_until(at).await;
            if self
                .wire
                .wait_for(|wire| *wire != Wire::BlackHole)
                .await
                .is_err()
            {
                return;
            }
            let wire = *self.wire.borrow();
            let sent = match wire {
                Wire::Trickle(pause) if self.answers => self.trickle(&part, pause, &mut to).await,
                Wire::CutAfter(limit) if self.answers => {
                    let left = limit.saturating_sub(gone).min(part.len());
                    let sent = to.write_all(&part[..left]).await.is_ok();
                    sent && left == part.len()
                }
                _ => to.write_all(&part).await.is_ok(),
            };
            gone += part.len();
            if !sent {
                return;
            }
        }
    }

    /// One byte at a time, for as long as the wire is so.
    async fn trickle(&mut self, part: &[u8], pause: Duration, to: &mut OwnedWriteHalf) -> bool {
        for (at, byte) in part.iter().enumerate() {
            let changed = self.wire.wait_for(|wire| !matches!(wire, Wire::Trickle(_)));
            if timeout(pause, changed).await.is_ok() {
                return to.write_all(&part[at..]).await.is_ok();
            }
            if to.write_all(&[*byte]).await.is_err() {
                return false;
            }
        }
        true
    }
}
