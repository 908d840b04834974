//! Probes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::fake::{Act, Fake, say, whole};
use super::*;

async fn status(fake: &Fake, path: &str) -> Result<u16, String> {
    probe(&format!("{}{path}", fake.address), Method::GET, ENOUGH).await
}

#[tokio::test]
async fn a_probe_gives_the_status_whatever_it_is() {
    for expected in [200, 204, 404, 429, 500, 503] {
        let fake = Fake::always(say(&format!("{expected} Said"), "")).await;
        assert_eq!(status(&fake, "/health?x=1").await, Ok(expected));
        assert_eq!(fake.requests().len(), 1, "nothing is tried again");
        assert!(fake.requests()[0].starts_with("GET /health?x=1 HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_probe_has_the_method_that_is_asked_for() {
    let fake = Fake::always(say("200 OK", "")).await;
    let probed = probe(&fake.address, Method::POST, ENOUGH).await;
    assert_eq!(probed, Ok(200));
    assert!(fake.requests()[0].starts_with("POST / HTTP/1.1"));
}

#[tokio::test]
async fn a_post_without_content_says_that_it_has_none() {
    let fake = Fake::always(say("200 OK", "")).await;
    for (method, says) in [
        (Method::POST, true),
        (Method::PUT, true),
        (Method::GET, false),
    ] {
        let probed = probe(&fake.address, method, ENOUGH).await;
        assert_eq!(probed, Ok(200));
        let request = fake.requests().pop().unwrap().to_ascii_lowercase();
        assert_eq!(
            request.contains("\r\ncontent-length: 0\r\n"),
            says,
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_probe_follows_no_redirect() {
    let act = Act::Say(whole("302 Found", "Location: /elsewhere\r\n", ""));
    let fake = Fake::always(act).await;
    assert_eq!(status(&fake, "/").await, Ok(302));
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn a_probe_reads_no_body() {
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    let fake = Fake::always(Act::Say(endless.to_owned())).await;
    assert_eq!(status(&fake, "/").await, Ok(200));
}

#[tokio::test]
async fn a_probe_that_fails_says_why_without_its_url() {
    let silent = Fake::always(Act::Hang).await;
    let garbage = Fake::always(Act::Cut("garbage\r\n\r\n".to_owned())).await;
    let short = Duration::from_millis(100);
    for (url, limit, expected) in [
        (silent.address.as_str(), short, "no answer within 100ms"),
        (garbage.address.as_str(), ENOUGH, "not HTTP"),
        ("http://127.0.0.1:1", ENOUGH, "connection refused"),
        (
            "http://no-such-name.invalid",
            ENOUGH,
            "cannot resolve no-such-name.invalid",
        ),
        ("not a url", ENOUGH, "not a URL"),
        ("ftp://127.0.0.1", ENOUGH, "neither http:// nor https://"),
    ] {
        let said = probe(&format!("{url}/hidden"), Method::GET, limit).await;
        let said = said.expect_err("it fails");
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("hidden"), "{said}");
    }
}

#[tokio::test]
async fn informational_answers_are_passed_over_up_to_a_bound() {
    let informational =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let some = informational.repeat(20) + "HTTP/1.1 204 No Content\r\n\r\n";
    let fake = Fake::always(Act::Say(some)).await;
    assert_eq!(status(&fake, "/").await, Ok(204));

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let sent = std::thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        assert_ne!(client.read(&mut [0; 1024]).unwrap(), 0);
        let piece = informational.repeat(1_000);
        let mut sent = 0;
        while client.write_all(piece.as_bytes()).is_ok() {
            sent += piece.len();
        }
        sent
    });
    let said = probe(&format!("http://{address}/hidden"), Method::POST, ENOUGH).await;
    let said = said.expect_err("there is no end");
    assert!(said.contains("an answer without an end: 256 KiB"), "{said}");
    // What the kernel had room for is sent.
    assert!(sent.join().unwrap() < 32 << 20);
}
