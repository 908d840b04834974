//! nginx, whose certificate and key are replaced many times while clients connect.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use x509_cert::der::Decode;

use super::{bring_login, read, rotations, with_example};
use crate::harness::ports::free_port;
use crate::harness::{Bao, Hushpipe, Running};

/// What clients met.
#[derive(Default)]
struct Met {
    /// Handshakes that were done: each proves that the server has the key of what it shows.
    handshakes: usize,
    /// The serial numbers of what was shown.
    serials: BTreeSet<Vec<u8>>,
}

/// Who trusts this root alone, and takes no session up again.
fn client(root: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(root.as_bytes()).expect("it is PEM");
    roots.add(root).expect("it is a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// A new connection, a handshake, a request; gives the serial number that was shown.
fn visit(config: &Arc<ClientConfig>, port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let name = ServerName::try_from("localhost").expect("it is a name");
    let session = ClientConnection::new(Arc::clone(config), name);
    let mut session = session.map_err(std::io::Error::other)?;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    tls.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::other(answer));
    }
    let shown = session.peer_certificates().expect("the handshake is done");
    let shown = x509_cert::Certificate::from_der(&shown[0]).expect("rustls took it");
    Ok(shown.tbs_certificate.serial_number.as_bytes().to_vec())
}

/// Connects until it is told to stop; the first fault ends it.
fn load(config: &Arc<ClientConfig>, port: u16, stop: &AtomicBool) -> Result<Met, String> {
    let mut met = Met::default();
    while !stop.load(Ordering::Relaxed) {
        let serial = visit(config, port)
            .map_err(|error| format!("after {} handshakes: {error}", met.handshakes))?;
        met.handshakes += 1;
        met.serials.insert(serial);
    }
    Ok(met)
}

/// Lets the clients end also when the test fails meanwhile.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn start(bao: &Bao, port: u16) -> Running {
    let hushpipe = Hushpipe::new();
    let place = hushpipe.place();
    bao.application(place);
    bring_login(place, &bao.ca_file());
    let pid = place.join("nginx.pid").display().to_string();
    let conf = read("nginx", "nginx.conf")
        .replace("127.0.0.1:8443", &format!("127.0.0.1:{port}"))
        .replace("/run/nginx-hushpipe.pid", &pid);
    place.write("etc/nginx.conf", conf);
    with_example(hushpipe, "nginx", "served")
        .env("VAULT_ADDR", bao.address())
        .env("NGINX_ADDRESS", format!("127.0.0.1:{port}"))
        .spawn()
}

#[test]
fn certificates_come_and_go_and_no_handshake_fails() {
    let bao = Bao::start();
    let root = bao.pki("1h");
    let port = free_port();
    let running = start(&bao, port);
    let config = client(&root);
    let first = running.until("nginx answers", || visit(&config, port).ok());
    let stop = AtomicBool::new(false);
    let met: Vec<Result<Met, String>> = thread::scope(|scope| {
        let clients = [0, 1].map(|_| scope.spawn(|| load(&config, port, &stop)));
        let stopped = Stopped(&stop);
        for _ in 0..rotations() {
            if clients.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            running.rotate("tls");
        }
        drop(stopped);
        clients
            .into_iter()
            .map(|client| client.join().expect("it does not panic"))
            .collect()
    });
    assert_eq!(running.status()["generation"], rotations() + 1);
    let mut serials = BTreeSet::new();
    for met in met {
        let met = met.unwrap_or_else(|fault| panic!("{fault}\n{}", running.stderr()));
        assert!(met.handshakes >= rotations(), "only {}", met.handshakes);
        serials.extend(met.serials);
    }
    // hushpipe has seen each of them served; the clients, as many as they were quick enough for.
    assert!(
        serials.len() >= rotations() / 2,
        "only {} certificates were shown",
        serials.len()
    );
    assert_ne!(visit(&config, port).expect("nginx answers"), first);
    running.stop().success();
}
