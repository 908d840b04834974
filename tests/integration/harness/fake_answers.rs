//! A fake HTTP server in front of the real one, for answers that the real one cannot be made to
//! give. What it is not told to answer itself it passes on. Plain HTTP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

/// An answer that is given instead of the server's.
#[derive(Clone, Debug)]
pub enum Fake {
    /// A whole answer: status, header lines (`Retry-After: 1`), body.
    Whole(u16, Vec<String>, Vec<u8>),
    /// The server's own answer up to its middle; then the connection is closed.
    Truncated,
    /// The server's own answer so much later.
    Late(Duration),
    /// The server's own answer, which it has given at once, when there is another rule or none.
    Held,
    /// The connection is closed without a byte.
    Nothing,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`, `POST`
    pub method: String,
    /// With the leading slash.
    pub path: String,
    /// All of it up to the body, as it came.
    pub head: String,
    /// When.
    pub at: Instant,
}

/// The running fake.
pub struct FakeAnswers {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    server: Option<u16>,
    /// The start of a path, and what its requests get.
    rules: Mutex<Vec<(String, Fake)>>,
    seen: Mutex<Vec<Seen>>,
    ended: AtomicBool,
}

struct Request {
    seen: Seen,
    body: Vec<u8>,
}

impl Fake {
    /// A whole answer without more header lines.
    pub fn status(status: u16, body: &str) -> Self {
        Self::Whole(status, Vec::new(), body.into())
    }
}

impl FakeAnswers {
    /// In front of a server without TLS at this port of 127.0.0.1.
    pub fn before(server: u16) -> Self {
        Self::start(Some(server))
    }

    /// With nothing behind: what has no answer gets 404.
    pub fn alone() -> Self {
        Self::start(None)
    }

    /// As much of Kubernetes' API server as the auth method asks for: every token is that of the
    /// service account `app`. <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>
    pub fn kubernetes() -> Self {
        let fake = Self::alone();
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "status": { "authenticated": true, "user": {
                "username": "system:serviceaccount:default:app", "uid": "1",
                "groups": ["system:serviceaccounts"] } },
        });
        let json = vec!["Content-Type: application/json".to_owned()];
        let answer = Fake::Whole(201, json, review.to_string().into());
        fake.answer("/apis/authentication.k8s.io/v1/tokenreviews", answer);
        fake
    }

    fn start(server: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            server,
            rules: Mutex::default(),
            seen: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let its = Arc::clone(&shared);
        let thread = thread::spawn(move || its.serve(&listener));
        Self {
            port,
            shared,
            thread: Some(thread),
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, requests whose path starts so get this answer; the last rule that fits holds.
    pub fn answer(&self, prefix: &str, fake: Fake) {
        let mut rules = self.shared.rules.lock().expect("no holder panics");
        rules.push((prefix.to_owned(), fake));
    }

    /// From now on, all is passed on.
    pub fn relent(&self) {
        self.shared.rules.lock().expect("no holder panics").clear();
    }

    /// The requests that came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no holder panics").clone()
    }

    /// How many looks they were, at least, at paths that start so: see [`FaultProxy::tries`].
    ///
    /// [`FaultProxy::tries`]: super::FaultProxy::tries
    pub fn tries(&self, prefix: &str, deadline: Duration) -> usize {
        let seen = self.seen();
        let times = seen.iter().filter(|seen| seen.path.starts_with(prefix));
        super::fault_proxy::tries(times.map(|seen| seen.at), deadline)
    }

    /// How many of them had a path that starts so.
    pub fn count(&self, prefix: &str) -> usize {
        let seen = self.seen();
        seen.iter()
            .filter(|seen| seen.path.starts_with(prefix))
            .count()
    }
}

impl Drop for FakeAnswers {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect(("127.0.0.1", self.port)).map(drop).ok();
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; a second one here would hide the test's own.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let its = Arc::clone(self);
            // A client may close at any time: that is the test's to judge.
            thread::spawn(move || its.connection(client).ok());
        }
    }

    /// One request a connection: every answer closes it.
    fn connection(&self, mut client: TcpStream) -> io::Result<()> {
        let request = Request::read(&client)?;
        let seen = request.seen.clone();
        self.seen.lock().expect("no holder panics").push(seen);
        client.write_all(&self.answer_to(&request)?)
    }

    fn answer_to(&self, request: &Request) -> io::Result<Vec<u8>> {
        match self.rule_for(&request.seen.path) {
            Some(Fake::Whole(status, headers, body)) => Ok(whole(status, &headers, &body)),
            Some(Fake::Nothing) => Ok(Vec::new()),
            Some(Fake::Late(by)) => {
                thread::sleep(by);
                self.pass_on(request)
            }
            Some(Fake::Held) => {
                let answer = self.pass_on(request)?;
                let held = || matches!(self.rule_for(&request.seen.path), Some(Fake::Held));
                while held() && !self.ended.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(answer)
            }
            Some(Fake::Truncated) => {
                let mut answer = self.pass_on(request)?;
                let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
                let head = head.map_or(0, |at| at + 4);
                answer.truncate(usize::midpoint(head, answer.len()));
                Ok(answer)
            }
            None => self.pass_on(request),
        }
    }

    fn rule_for(&self, path: &str) -> Option<Fake> {
        let rules = self.rules.lock().expect("no holder panics");
        let rule = rules
            .iter()
            .rev()
            .find(|(prefix, _)| path.starts_with(prefix));
        rule.map(|(_, fake)| fake.clone())
    }

    fn pass_on(&self, request: &Request) -> io::Result<Vec<u8>> {
        let Some(port) = self.server else {
            return Ok(whole(404, &[], b"{}"));
        };
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        let (first, rest) = request.seen.head.split_once("\r\n").unwrap_or_default();
        server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes())?;
        server.write_all(&request.body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn whole(status: u16, headers: &[String], body: &[u8]) -> Vec<u8> {
    let headers = headers.iter().map(|line| format!("{line}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} Fake\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
        body.len(),
        headers.collect::<String>()
    );
    [head.as_bytes(), body].concat()
}

impl Request {
    fn read(client: &TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(client);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let mut words = head.split(' ').map(str::to_owned);
        Ok(Self {
            seen: Seen {
                method: words.next().unwrap_or_default(),
                path: words.next().unwrap_or_default(),
                at: Instant::now(),
                head,
            },
            body,
        })
    }
}
