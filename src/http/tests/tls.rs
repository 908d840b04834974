//! Servers that are known, or not.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::certificates::{Authority, Pair};
use super::fake::Fake;
use super::known::{Known, fine, is_fine};
use super::*;

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
async fn a_wrong_name_is_said_with_the_right_ones() {
    let known = Known::new();
    let fake = known
        .serving(&["bao.internal", "*.bao.internal", "10.0.0.7"])
        .await;
    let cause = cause(known.settings(&fake.address)).await;
    assert!(
        cause.starts_with(
            "its certificate is for bao.internal, *.bao.internal, 10.0.0.7, not for localhost: set \
             `tls_server_name`"
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
