//! `HTTP_PROXY` and the like.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::certificates::Authority;
use super::fake::{Act, Fake, say};
use super::*;

/// An address of this machine that no other test uses.
const PROXY: &str = "127.77.0.1";

/// Takes tunnels (CONNECT) to a port of this machine, whatever host they ask for, and remembers.
struct Tunnel {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    async fn start(at: &str, to: u16) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let remembered = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                remembered.lock().unwrap().push(head);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        Self { asked }
    }
}

fn fine() -> Act {
    say("200 OK", "fine")
}

#[tokio::test]
async fn servers_elsewhere_are_asked_through_a_proxy_and_this_machine_is_not() {
    let test = "proxies::servers_elsewhere_are_asked_through_a_proxy_and_this_machine_is_not";
    let port = 20_000 + std::process::id() % 10_000;
    let address = std::env::var("HTTP_PROXY").unwrap_or(format!("http://{PROXY}:{port}"));
    if !alone(
        test,
        &[("HTTP_PROXY", &address), ("NO_PROXY", "direct.invalid")],
    ) {
        return;
    }
    let proxy = Fake::at(address.strip_prefix("http://").unwrap(), fine()).await;
    assert_eq!(
        answer(settings(&["http://bao.invalid:82"]), "/v1/a")
            .await
            .0,
        200
    );
    assert!(proxy.requests()[0].starts_with("GET http://bao.invalid:82/v1/a HTTP/1.1"));

    let here = Fake::always(fine()).await;
    for host in ["127.0.0.1", "localhost"] {
        answer(
            settings(&[&format!("http://{host}:{}", here.port)]),
            "/v1/a",
        )
        .await;
    }
    assert_eq!((proxy.requests().len(), here.requests().len()), (1, 2));

    let deadline = Duration::from_millis(300);
    let said = cause(within(deadline, &["http://direct.invalid:82"])).await;
    assert!(said.contains("direct.invalid"), "{said}");
    assert_eq!(proxy.requests().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_is_at_fault_is_named() {
    let test = "proxies::a_proxy_that_is_at_fault_is_named";
    let port = 40_000 + std::process::id() % 10_000;
    let refusing = std::env::var("HTTPS_PROXY").unwrap_or(format!("http://{PROXY}:{port}"));
    let dead = format!("http://user:pass@{PROXY}:1");
    let socks = "socks5://127.0.0.1:1";
    if !alone(
        test,
        &[
            ("HTTP_PROXY", &dead),
            ("HTTPS_PROXY", &refusing),
            ("NO_PROXY", ""),
        ],
    ) {
        alone(test, &[("ALL_PROXY", socks)]);
        return;
    }
    let deadline = Duration::from_millis(300);
    if std::env::var("ALL_PROXY").is_ok() {
        let end = send(within(deadline, &["http://bao.invalid"]), &get("/")).await;
        assert!(matches!(end, Err(HttpError::Unusable(reason)) if reason.contains("socks5")));
        return;
    }
    let said = cause(within(deadline, &["http://bao.invalid"])).await;
    assert_eq!(
        said,
        format!("connection refused, through the proxy {PROXY}:1")
    );
    let address = refusing.strip_prefix("http://").unwrap();
    let _proxy = Fake::at(address, say("407 Proxy Authentication Required", "")).await;
    let mut settings = within(deadline, &["https://bao.invalid"]);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), Authority::new().pem()).unwrap();
    settings.tls.ca_file = Some(ca.path().to_owned());
    let said = cause(settings).await;
    assert!(said.contains("proxy authorization required"), "{said}");
    assert!(
        said.contains(&format!("through the proxy {address}")),
        "{said}"
    );
}

#[tokio::test]
async fn tls_goes_through_a_proxy_from_end_to_end() {
    let test = "proxies::tls_goes_through_a_proxy_from_end_to_end";
    let port = 30_000 + std::process::id() % 10_000;
    let address = std::env::var("HTTPS_PROXY").unwrap_or(format!("http://{PROXY}:{port}"));
    if !alone(test, &[("HTTPS_PROXY", &address)]) {
        return;
    }
    let authority = Authority::new();
    let fake = Fake::tls(authority.leaf(&["bao.invalid"]).server(), fine()).await;
    let tunnel = Tunnel::start(address.strip_prefix("http://").unwrap(), fake.port).await;
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), authority.pem()).unwrap();
    let mut settings = settings(&["https://bao.invalid:8200"]);
    settings.tls.ca_file = Some(ca.path().to_owned());
    assert_eq!(answer(settings, "/v1/a").await.0, 200);
    let asked = tunnel.asked.lock().unwrap().clone();
    assert!(
        asked[0].starts_with("CONNECT bao.invalid:8200 HTTP/1.1"),
        "{asked:?}"
    );
    assert!(!asked[0].contains("/v1/a"));
}
