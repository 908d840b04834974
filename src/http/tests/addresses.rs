//! Several addresses of one server, and addresses where nobody is.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

use super::fake::{Act, Fake, say};
use super::*;

fn fine() -> Act {
    say("200 OK", "fine")
}

/// An address where nobody listens.
fn nobody() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

/// A host that takes no connections, as if it were not there: the queue of those that wait is full.
struct Unheard {
    address: String,
    _listener: std::os::fd::OwnedFd,
    _waiting: Vec<TcpStream>,
}

impl Unheard {
    fn new() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        bind(&listener, &any).unwrap();
        listen(&listener, 0).unwrap();
        let address: std::net::SocketAddr = getsockname(&listener).unwrap().try_into().unwrap();
        let mut waiting = Vec::new();
        while let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(one);
        }
        Self {
            address: format!("http://{address}"),
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[tokio::test]
async fn a_dead_address_is_passed_over_at_once() {
    let fake = Fake::always(fine()).await;
    let (took, answer) = timed(answer(settings(&[&nobody(), &fake.address]), "/v1/a")).await;
    assert_eq!(answer.0, 200);
    assert!(took < LATE, "{took:?}");
}

#[tokio::test]
async fn a_frozen_address_leaves_time_for_the_next() {
    let frozen = Fake::always(Act::Hang).await;
    let fake = Fake::always(fine()).await;
    let settings = within(Duration::from_secs(2), &[&frozen.address, &fake.address]);
    assert_eq!(answer(settings, "/v1/a").await.0, 200);
}

#[tokio::test]
async fn an_address_that_cannot_serve_is_passed_over_at_once() {
    for status in ["472 no", "473 no", "500 no", "502 no", "503 no"] {
        let standby = Fake::always(say(status, "")).await;
        let fake = Fake::always(fine()).await;
        let addresses = settings(&[&standby.address, &fake.address]);
        let (took, answer) = timed(answer(addresses, "/v1/a")).await;
        assert_eq!(answer.0, 200);
        assert_eq!(standby.requests().len(), 1);
        assert!(took < LATE, "{took:?}");
    }
}

#[tokio::test]
async fn too_many_requests_are_not_taken_to_the_next_address() {
    let busy = Fake::in_turn(vec![say("429 no", ""), fine()]).await;
    let other = Fake::always(fine()).await;
    answer(settings(&[&busy.address, &other.address]), "/v1/a").await;
    assert_eq!((busy.requests().len(), other.requests().len()), (2, 0));
}

#[tokio::test]
async fn the_address_that_answered_last_is_asked_first() {
    let standby = Fake::always(say("473 no", "")).await;
    let fake = Fake::always(fine()).await;
    let http = Http::new(settings(&[&standby.address, &fake.address]));
    for _ in 0..3 {
        // Each its own session: what is remembered outlives it.
        http.session().unwrap().send(&get("/")).await.unwrap();
    }
    assert_eq!((standby.requests().len(), fake.requests().len()), (1, 3));
}

#[tokio::test]
async fn a_server_that_comes_back_is_found() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let settings = settings(&[&format!("http://{address}")]);
    let asked = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Fake::at(&address, fine()).await
    });
    assert_eq!(answer(settings, "/v1/a").await.0, 200);
    assert_eq!(asked.await.unwrap().requests().len(), 1);
}

#[tokio::test]
async fn where_nobody_is_that_is_said() {
    let deadline = Duration::from_millis(300);
    let said = cause(within(deadline, &[&nobody()])).await;
    assert_eq!(said, "connection refused");
    let said = cause(within(deadline, &["unix:///no/such/socket"])).await;
    assert_eq!(said, "no such socket");
}

#[tokio::test]
async fn a_host_that_is_not_there_is_not_taken_for_one_that_is_silent() {
    let unheard = Unheard::new();
    // Long enough for the kernel to send a second SYN.
    let said = cause(within(Duration::from_millis(3600), &[&unheard.address])).await;
    assert_eq!(said, "no host answers there");
}

#[tokio::test]
async fn of_several_faults_the_one_that_says_most_is_told() {
    let deadline = Duration::from_millis(400);
    let frozen = Fake::always(Act::Hang).await;
    let sealed = Fake::always(say("503 no", "")).await;
    let dead = nobody();
    for addresses in [
        [&sealed.address, &frozen.address, &dead],
        [&dead, &frozen.address, &sealed.address],
    ] {
        let addresses: Vec<_> = addresses.iter().map(|one| one.as_str()).collect();
        let end = send(within(deadline, &addresses), &get("/")).await;
        assert!(matches!(
            end,
            Err(HttpError::NoAnswer { address, cause, .. })
                if address == sealed.address && cause.contains("not available")
        ));
    }
    let end = send(within(deadline, &[&frozen.address, &dead]), &get("/")).await;
    assert!(matches!(end, Err(HttpError::Deadline { .. })));
}

#[tokio::test]
async fn an_address_must_be_one() {
    for (address, said) in [
        ("ftp://a", "neither http:// nor https://"),
        ("not a url", "is no URL"),
        ("https://user:pass@a", "must not hold a user name"),
    ] {
        let fault = send(settings(&[address]), &get("/")).await.err().unwrap();
        assert!(format!("{fault:?}").contains(said), "{fault:?}");
        assert!(!format!("{fault:?}").contains("pass@"));
    }
}
