//! Client certificates, and the files of TLS.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::certificates::Authority;
use super::fake::Fake;
use super::known::{Known, fine, is_fine};
use super::*;
use crate::model::ClientCertificate;

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
            "/dev/null is a device, not a regular file",
        ),
        (
            change(&|tls| tls.ca_file = Some(known.write("none.pem", ""))),
            "no PEM certificate in",
        ),
        (change(&|tls| tls.ca_file = Some(odd.clone())), "odd.pem"),
        (
            change(&|tls| tls.ca_path = Some(empty.path().into())),
            "no certificates in",
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
async fn a_client_certificate_is_shown() {
    let known = Known::new();
    let fake = Fake::tls(known.asking(), fine()).await;
    let client = known.authority.leaf(&["client"]);
    is_fine(known.showing(&fake.address, &client)).await;
}

#[tokio::test]
async fn one_file_may_hold_the_certificate_and_the_key() {
    let known = Known::new();
    let fake = Fake::tls(known.asking(), fine()).await;
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
    let fake = Fake::tls(known.asking(), fine()).await;
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
    let server = known.asking();
    let mut multiplexed = server.clone();
    multiplexed.alpn_protocols = vec![b"h2".to_vec()];
    let fake = Fake::tls(multiplexed, fine()).await;
    let said = cause(known.settings(&fake.address)).await;
    assert!(
        said.contains("requires a trusted client certificate"),
        "{said}"
    );
    let fake = Fake::tls(server, fine()).await;
    let said = cause(known.settings(&fake.address)).await;
    assert!(
        said.contains("requires a trusted client certificate"),
        "{said}"
    );
    let foreign = Authority::new().leaf(&["client"]);
    let said = cause(known.showing(&fake.address, &foreign)).await;
    assert!(
        said.contains("the client certificate that was shown"),
        "{said}"
    );
}
