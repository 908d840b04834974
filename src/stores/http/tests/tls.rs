//! Servers and clients that know each other, or not.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::certificates::{Authority, Pair};
use super::fake::{Act, Fake, say};
use super::*;
use crate::model::ClientCertificate;

/// A directory with an authority's certificate in `ca.pem`.
struct Known {
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Known {
    fn new() -> Self {
        let known = Self {
            authority: Authority::new(),
            directory: tempfile::tempdir().expect("a directory"),
        };
        known.write("ca.pem", known.authority.pem());
        known
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).expect("it is written");
        path
    }

    /// That trust the authority.
    fn settings(&self, address: &str) -> Settings {
        let mut settings = settings(&[address]);
        settings.tls.ca_file = Some(self.directory.path().join("ca.pem"));
        settings
    }

    /// That show this certificate.
    fn showing(&self, address: &str, pair: &Pair) -> Settings {
        let mut settings = self.settings(address);
        settings.tls.client = Some(ClientCertificate {
            certificate: self.write("client.pem", &pair.certificate),
            key: self.write("client.key", &pair.key),
        });
        settings
    }

    async fn serving(&self, names: &[&str]) -> Fake {
        Fake::tls(self.authority.leaf(names).server(), fine()).await
    }
}

fn fine() -> Act {
    say("200 OK", "fine")
}

async fn is_fine(settings: Settings) {
    assert_eq!(answer(settings, "/v1/a").await, (200, "fine".to_owned()));
}

#[tokio::test]
async fn a_server_of_a_known_authority_is_asked() {
    let known = Known::new();
    let fake = known.serving(&["localhost"]).await;
    is_fine(known.settings(&fake.address)).await;
}

#[tokio::test]
async fn a_server_may_be_known_by_its_address() {
    let known = Known::new();
    let fake = known.serving(&["127.0.0.1"]).await;
    is_fine(known.settings(&format!("https://127.0.0.1:{}", fake.port))).await;
}

#[tokio::test]
async fn authorities_may_be_a_directory_of_files() {
    let known = Known::new();
    let fake = known.serving(&["localhost"]).await;
    known.write("a-other.pem", Authority::new().pem());
    known.write(".hidden", "not read");
    let mut settings = settings(&[&fake.address]);
    settings.tls.ca_path = Some(known.directory.path().to_owned());
    is_fine(settings).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let known = Known::new();
    let pair = known.authority.leaf(&["client"]);
    let empty = tempfile::tempdir().unwrap();
    let odd = known.write(
        "odd.pem",
        "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
    );
    let other = known.authority.leaf(&["client"]);
    let encrypted = known.write(
        "locked.key",
        &pair.key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    );
    let change = |change: &dyn Fn(&mut Tls)| {
        let mut settings = known.showing("https://localhost:1", &pair);
        change(&mut settings.tls);
        settings
    };
    let client = |certificate: &str, key: &str| {
        Some(ClientCertificate {
            certificate: known.directory.path().join(certificate),
            key: known.directory.path().join(key),
        })
    };
    known.write("other.key", &other.key);
    for (settings, said) in [
        (
            change(&|tls| tls.ca_file = Some("/no/such/ca.pem".into())),
            "/no/such/ca.pem",
        ),
        (
            change(&|tls| tls.ca_file = Some("/dev/null".into())),
            "no PEM certificate in /dev/null",
        ),
        (change(&|tls| tls.ca_file = Some(odd.clone())), "odd.pem"),
        (
            change(&|tls| tls.ca_path = Some(empty.path().into())),
            "there are no certificates in",
        ),
        (
            change(&|tls| tls.ca_path = Some("/no/such/dir".into())),
            "/no/such/dir",
        ),
        (
            change(&|tls| tls.client = client("client.pem", "no.key")),
            "no.key",
        ),
        (
            change(&|tls| tls.client = client("client.pem", "ca.pem")),
            "no PEM private key in",
        ),
        (
            change(&|tls| tls.client = client("client.pem", "other.key")),
            "does not belong to",
        ),
        (
            change(&|tls| tls.client = client("client.pem", "locked.key")),
            "without a passphrase",
        ),
        (
            change(&|tls| tls.server_name = Some("127.0.0.1".into())),
            "not a DNS name",
        ),
    ] {
        let fault = send(settings, &get("/")).await.err().expect("a fault");
        assert!(format!("{fault:?}").contains(said), "{fault:?}: {said}");
    }
    assert!(encrypted.exists());
}

#[tokio::test]
async fn a_wrong_name_is_said_with_the_right_ones() {
    let known = Known::new();
    let fake = known
        .serving(&["bao.internal", "*.bao.internal", "10.0.0.7"])
        .await;
    let cause = cause(known.settings(&fake.address)).await;
    assert!(
        cause.starts_with(
            "its certificate is for bao.internal, *.bao.internal, 10.0.0.7, not for localhost: set \
             `server_name`"
        ),
        "{cause}"
    );
    assert_eq!(fake.accepted(), 1, "it is not tried again");
}

#[tokio::test]
async fn a_name_may_be_set_for_the_certificate() {
    let known = Known::new();
    let fake = known.serving(&["bao.internal"]).await;
    for host in ["localhost", "127.0.0.1"] {
        let mut settings = known.settings(&format!("https://{host}:{}", fake.port));
        settings.tls.server_name = Some("bao.internal".to_owned());
        is_fine(settings).await;
    }
}

#[tokio::test]
async fn an_unknown_authority_is_said() {
    let known = Known::new();
    let fake = Known::new().serving(&["localhost"]).await;
    let cause = cause(known.settings(&fake.address)).await;
    assert!(
        cause.contains("an authority that is not trusted"),
        "{cause}"
    );
    assert!(cause.contains("`ca_file`"), "{cause}");
}

#[tokio::test]
async fn certificates_out_of_their_time_are_said() {
    let known = Known::new();
    let (now, day) = (SystemTime::now(), Duration::from_hours(24));
    let old = known
        .authority
        .valid(&["localhost"], now - day * 2, now - day);
    let new = known
        .authority
        .valid(&["localhost"], now + day, now + day * 2);
    for (pair, said) in [(old, "expired at 20"), (new, "is not valid before 20")] {
        let fake = Fake::tls(pair.server(), fine()).await;
        let cause = cause(known.settings(&fake.address)).await;
        assert!(cause.contains(said), "{cause}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let known = Known::new();
    let server = known
        .authority
        .leaf(&["localhost"])
        .server_for(&known.authority);
    let fake = Fake::tls(server, fine()).await;
    let client = known.authority.leaf(&["client"]);
    is_fine(known.showing(&fake.address, &client)).await;
}

#[tokio::test]
async fn one_file_may_hold_the_certificate_and_the_key() {
    let known = Known::new();
    let server = known
        .authority
        .leaf(&["localhost"])
        .server_for(&known.authority);
    let fake = Fake::tls(server, fine()).await;
    let client = known.authority.leaf(&["client"]);
    let both = known.write("both.pem", &format!("{}{}", client.key, client.certificate));
    let mut settings = known.settings(&fake.address);
    settings.tls.client = Some(ClientCertificate {
        certificate: both.clone(),
        key: both,
    });
    is_fine(settings).await;
}

#[tokio::test]
async fn a_client_certificate_may_come_from_sockets() {
    let known = Known::new();
    let server = known
        .authority
        .leaf(&["localhost"])
        .server_for(&known.authority);
    let fake = Fake::tls(server, fine()).await;
    let client = known.authority.leaf(&["client"]);
    let giving = |name: &str, content: String| {
        let path = known.directory.path().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(content.as_bytes()).await.unwrap();
            }
        });
        path
    };
    let mut settings = known.settings(&fake.address);
    settings.tls.client = Some(ClientCertificate {
        certificate: giving("certificate", client.certificate),
        key: giving("key", client.key),
    });
    is_fine(settings).await;
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_says_so() {
    let known = Known::new();
    let server = known
        .authority
        .leaf(&["localhost"])
        .server_for(&known.authority);
    let fake = Fake::tls(server, fine()).await;
    let said = cause(known.settings(&fake.address)).await;
    assert!(said.contains("asks for a client certificate"), "{said}");
    let foreign = Authority::new().leaf(&["client"]);
    let said = cause(known.showing(&fake.address, &foreign)).await;
    assert!(
        said.contains("the client certificate that was shown"),
        "{said}"
    );
}

#[tokio::test]
async fn plain_http_on_a_port_for_tls_is_said() {
    let known = Known::new();
    let plain = Fake::blunt(b"HTTP/1.0 400 Bad Request\r\n\r\n").await;
    let said = cause(known.settings(&format!("https://localhost:{}", plain.port))).await;
    assert!(said.contains("write http://"), "{said}");
    let tls = known.serving(&["localhost"]).await;
    let said = cause(settings(&[&format!("http://localhost:{}", tls.port)])).await;
    assert!(said.contains("write https://"), "{said}");
}

#[tokio::test]
async fn an_authority_that_was_made_anew_is_said() {
    let old = Authority::named("OpenBao");
    let new = Authority::named("OpenBao");
    let known = Known::new();
    known.write("ca.pem", old.pem());
    let fake = Fake::tls(new.leaf(&["localhost"]).server(), fine()).await;
    let cause = cause(known.settings(&fake.address)).await;
    assert!(cause.contains("is `ca_file` an old one?"), "{cause}");
}

#[tokio::test]
async fn the_systems_authorities_are_trusted_where_none_are_named() {
    const PAIR: &str = "HUSHPIPE_TEST_PAIR";
    let test = "tls::the_systems_authorities_are_trusted_where_none_are_named";
    let known = Known::new();
    let pair = known.authority.leaf(&["localhost"]);
    let system = known.write("system.pem", known.authority.pem());
    known.write("client.pem", &pair.certificate);
    known.write("client.key", &pair.key);
    let directory = known.directory.path().to_str().unwrap();
    if alone(
        test,
        &[
            ("SSL_CERT_FILE", system.to_str().unwrap()),
            (PAIR, directory),
        ],
    ) {
        let read = |name: &str| {
            let directory = PathBuf::from(std::env::var(PAIR).unwrap());
            fs::read_to_string(directory.join(name)).unwrap()
        };
        let pair = Pair {
            certificate: read("client.pem"),
            key: read("client.key"),
        };
        let fake = Fake::tls(pair.server(), fine()).await;
        is_fine(settings(&[&fake.address])).await;
    }
}

#[tokio::test]
async fn a_machine_without_authorities_is_told_what_to_do() {
    let test = "tls::a_machine_without_authorities_is_told_what_to_do";
    if alone(
        test,
        &[
            ("SSL_CERT_FILE", "/dev/null"),
            ("SSL_CERT_DIR", "/proc/self/net"),
        ],
    ) {
        let cause = cause(settings(&["https://localhost:1"])).await;
        assert!(
            cause.contains("knows no certificate authorities"),
            "{cause}"
        );
        assert!(cause.contains("`ca_file`"), "{cause}");
    }
}
