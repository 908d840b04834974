//! HTTP/1.1 servers that do as they are told.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

/// What a server does with a request.
#[derive(Clone)]
pub(super) enum Act {
    /// Sends these bytes, and keeps the connection.
    Say(String),
    /// Sends these bytes, and closes it.
    Cut(String),
    /// Sends these bytes, each after a pause.
    Slowly(String, Duration),
    /// Sends nothing more, for ever.
    Hang,
}

/// A whole answer.
pub(super) fn say(status: &str, body: &str) -> Act {
    Act::Say(whole(status, "", body))
}

/// A whole answer's bytes; `headers` each with its end of line.
pub(super) fn whole(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

type Script = Arc<dyn Fn(usize, &str) -> Act + Send + Sync>;

/// A server that runs until the test's runtime ends.
#[derive(Clone)]
pub(super) struct Fake {
    pub address: String,
    pub port: u16,
    accepted: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    script: Script,
}

impl Fake {
    fn new(port: u16, script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self {
            address: format!("http://127.0.0.1:{port}"),
            port,
            accepted: Arc::default(),
            closed: Arc::default(),
            requests: Arc::default(),
            script: Arc::new(script),
        }
    }

    /// Plain HTTP. `script` gets the number of requests before, and the request's head and body.
    pub(super) async fn start(script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self::listening("127.0.0.1:0", script).await
    }

    /// At this address and port.
    pub(super) async fn at(address: &str, act: Act) -> Self {
        Self::listening(address, move |_, _| act.clone()).await
    }

    async fn listening(
        address: &str,
        script: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let fake = Self::new(port, script);
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(server.clone().serve(stream));
            }
        });
        fake
    }

    /// Always the same.
    pub(super) async fn always(act: Act) -> Self {
        Self::start(move |_, _| act.clone()).await
    }

    /// The first of these to the first request, the last of them to all that come later.
    pub(super) async fn in_turn(acts: Vec<Act>) -> Self {
        Self::start(move |before, _| acts[before.min(acts.len() - 1)].clone()).await
    }

    /// Answers whatever comes first with these bytes, and closes.
    pub(super) async fn blunt(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let fake = Self::new(port, |_, _| Act::Hang);
        let accepted = Arc::clone(&fake.accepted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                stream.read_u8().await.expect("something comes");
                stream.write_all(bytes).await.expect("it is read");
            }
        });
        fake
    }

    /// HTTP/1.1 over TLS.
    pub(super) async fn tls(config: rustls::ServerConfig, act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let mut fake = Self::new(port, move |_, _| act.clone());
        fake.address = format!("https://localhost:{port}");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.accepted.fetch_add(1, Ordering::Relaxed);
                let (server, acceptor) = (server.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        server.serve(stream).await;
                    }
                });
            }
        });
        fake
    }

    pub(super) fn unix(path: &Path, act: Act) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let mut fake = Self::new(0, move |_, _| act.clone());
        fake.address = format!("unix://{}", path.display());
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                server.accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(server.clone().serve(stream));
            }
        });
        fake
    }

    /// How many connections were made.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Ends when all connections that were made are closed.
    pub(super) async fn all_closed(&self) {
        while self.closed.load(Ordering::Relaxed) < self.accepted() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Heads and bodies, as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panicked").clone()
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        while let Some(request) = receive(&mut stream).await {
            let before = {
                let mut requests = self.requests.lock().expect("no test panicked");
                requests.push(request.clone());
                requests.len() - 1
            };
            if !act(&mut stream, (self.script)(before, &request)).await {
                break;
            }
        }
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the connection goes on.
async fn act(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), act: Act) -> bool {
    match act {
        Act::Say(bytes) => stream.write_all(bytes.as_bytes()).await.is_ok(),
        Act::Cut(bytes) => {
            stream
                .write_all(bytes.as_bytes())
                .await
                .expect("it is read");
            stream.shutdown().await.expect("it is closed");
            false
        }
        Act::Slowly(bytes, pause) => {
            for byte in bytes.bytes() {
                tokio::time::sleep(pause).await;
                if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                    return false;
                }
            }
            true
        }
        Act::Hang => {
            // Until the client closes.
            let mut rest = [0];
            !matches!(stream.read(&mut rest).await, Ok(0) | Err(_))
        }
    }
}

/// One request, with its body. `None`: the client closed.
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse().expect("a number"));
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
}
