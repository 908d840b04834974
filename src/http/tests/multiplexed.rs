//! HTTP/2: many requests share a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

use super::certificates::Authority;
use super::*;

/// Counts connections, and on the first answers no request before so many are there at once.
pub(super) struct Multiplexed {
    address: String,
    pub port: u16,
    pub ca: tempfile::NamedTempFile,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Multiplexed {
    /// The first request is answered at once, as a login.
    pub(super) async fn after_a_login(at_once: usize) -> Self {
        Self::start(at_once, true).await
    }

    async fn start(at_once: usize, login: bool) -> Self {
        let authority = Authority::new();
        let mut config = authority.leaf(&["localhost"]).server();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), authority.pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self {
            address: format!("https://localhost:{port}"),
            port,
            ca,
            connections: Arc::default(),
            open: Arc::default(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let barrier = Arc::new(Barrier::new(at_once));
        let (connections, open) = (Arc::clone(&server.connections), Arc::clone(&server.open));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_first = connections.fetch_add(1, Ordering::Relaxed) == 0;
                let (acceptor, barrier, open) =
                    (acceptor.clone(), Arc::clone(&barrier), Arc::clone(&open));
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::Relaxed);
                    serve(acceptor, stream, barrier, login, is_first).await;
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    fn http(&self) -> Http {
        let mut settings = settings(&[&self.address]);
        settings.tls.ca_file = Some(self.ca.path().to_owned());
        Http::new(settings)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    barrier: Arc<Barrier>,
    login: bool,
    is_first: bool,
) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(250);
    let mut connection = builder.handshake::<_, Bytes>(stream).await.expect("HTTP/2");
    let mut is_login = login;
    while let Some(Ok((request, answer))) = connection.accept().await {
        if is_first && request.uri().path() == "/break" {
            return;
        }
        let waits = is_first && !std::mem::take(&mut is_login);
        let barrier = waits.then(|| Arc::clone(&barrier));
        let is_large = request.uri().path() == "/large";
        tokio::spawn(async move {
            if let Some(barrier) = barrier {
                barrier.wait().await;
            }
            respond(answer, if is_large { MAX_ANSWER } else { 4 });
        });
    }
}

fn respond(mut answer: SendResponse<Bytes>, length: usize) {
    let mut stream = answer
        .send_response(http::Response::new(()), false)
        .expect("the client listens");
    stream.reserve_capacity(length);
    stream
        .send_data(Bytes::from("x".repeat(length)), true)
        .expect("the client listens");
}

#[tokio::test]
async fn two_hundred_requests_after_a_login_are_one_round_trip_on_one_connection() {
    let server = Multiplexed::after_a_login(200).await;
    let session = server.http().session().unwrap();
    session.send(&get("/login")).await.unwrap();
    let requests: Vec<_> = (0..200).map(|count| get(&format!("/v1/{count}"))).collect();
    // None is answered before all are there.
    let answers = all(requests.iter().map(|request| session.send(request))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn requests_without_a_login_share_a_connection_too() {
    let server = Multiplexed::start(1, false).await;
    let session = server.http().session().unwrap();
    let requests: Vec<_> = (0..50).map(|count| get(&format!("/v1/{count}"))).collect();
    let answers = all(requests.iter().map(|request| session.send(request))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_first_answer_that_is_slow_does_not_hold_the_others_up_for_long() {
    // It comes only when the others are there.
    let server = Multiplexed::start(20, false).await;
    let session = server.http().session().unwrap();
    let requests: Vec<_> = (0..20).map(|count| get(&format!("/v1/{count}"))).collect();
    let answers = all(requests.iter().map(|request| session.send(request))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_is_replaced_by_one() {
    let server = Multiplexed::after_a_login(100).await;
    let session = server.http().session().unwrap();
    session.send(&get("/login")).await.unwrap();
    // The last of them breaks it, before any is answered.
    let mut requests: Vec<_> = (0..99).map(|count| get(&format!("/v1/{count}"))).collect();
    requests.push(get("/break"));
    let answers = all(requests.iter().map(|request| session.send(request))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn who_fails_late_does_not_take_the_new_connection_away() {
    // The first connection answers nothing but the login.
    let server = Multiplexed::after_a_login(1000).await;
    let deadline = Duration::from_millis(1600);
    let mut settings = within(deadline, &[&server.address]);
    settings.tls.ca_file = Some(server.ca.path().to_owned());
    let session = Http::new(settings).session().unwrap();
    session.send(&get("/login")).await.unwrap();
    let (early, late) = (get("/v1/early"), get("/v1/late"));
    let later = async {
        tokio::time::sleep(deadline / 4).await;
        session.send(&late).await
    };
    let (early, late) = tokio::join!(session.send(&early), later);
    assert!(early.is_ok() && late.is_ok());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn the_largest_answer_comes_through_the_windows() {
    let server = Multiplexed::start(1, false).await;
    let session = server.http().session().unwrap();
    let answer = session.send(&get("/large")).await.unwrap();
    assert_eq!(answer.body.len(), MAX_ANSWER);
}

#[tokio::test]
async fn nothing_is_left_of_a_session() {
    if !alone("multiplexed::nothing_is_left_of_a_session", &[]) {
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let server = Multiplexed::start(1, false).await;
    let http = server.http();
    // What the runtime opens, it keeps.
    http.session().unwrap().send(&get("/v1/a")).await.unwrap();
    all_closed(&server).await;
    let before = descriptors();
    let tasks = alive();
    let session = http.session().unwrap();
    session.send(&get("/v1/a")).await.unwrap();
    assert_eq!(server.open.load(Ordering::Relaxed), 1);
    assert!(descriptors() > before);
    drop(session);
    all_closed(&server).await;
    assert_eq!((descriptors(), alive()), (before, tasks));
}

fn alive() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn all_closed(server: &Multiplexed) {
    while server.open.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
}
