//! Sends alerts to one receiver.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::alerts::Alert;
use super::format::alert;
use super::send::{Posts, SendError, Syslog, Unix};
use crate::http::HttpError;
use crate::model::{ReceiverSpec, hex};
use crate::secret::{FingerprintKey, SecretBytes, Trusted};

use ring::digest::{SHA256, digest};

/// A file with a key has no more bytes than this.
const LONGEST_KEY: usize = 4 << 10;

/// One that goes on is sent to Alertmanager as often as this, as Prometheus does.
pub const AGAIN: Duration = Duration::from_mins(1);
/// Without that, it counts as over after this.
const UNTIL: Duration = Duration::from_mins(4);

/// Where alerts go.
pub struct Receiver {
    name: String,
    way: Way,
}

enum Way {
    Webhook(Posts, Option<PathBuf>),
    Alertmanager(Posts),
    Syslog(Syslog),
    Journal(Unix),
}

impl Receiver {
    /// Nothing is connected yet.
    pub fn new(spec: &ReceiverSpec) -> Self {
        let way = match spec {
            ReceiverSpec::Webhook { server, key_file } => {
                Way::Webhook(Posts::new(server, ""), key_file.clone())
            }
            ReceiverSpec::Alertmanager(server) => {
                Way::Alertmanager(Posts::new(server, "/api/v2/alerts"))
            }
            ReceiverSpec::Syslog { address, tls } => Way::Syslog(Syslog::new(address, tls)),
            ReceiverSpec::Journald { socket } => Way::Journal(Unix::new(socket)),
        };
        let name = spec.name();
        Self { name, way }
    }

    /// Its kind and address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is to have alerts that go on again and again.
    pub const fn wants_all(&self) -> bool {
        matches!(self.way, Way::Alertmanager(_))
    }

    /// Ends when the other side has confirmed all of them, at `now` in milliseconds since 1970.
    pub async fn send(&mut self, alerts: &[Alert], host: &str, now: u64) -> Result<(), SendError> {
        match &mut self.way {
            Way::Alertmanager(posts) => {
                let until = now + UNTIL.as_millis() as u64;
                let body = alert::alertmanager(alerts, host, until);
                posts.send(body, "Bearer").await.map(drop)
            }
            Way::Syslog(syslog) => {
                let message = |one: &Alert, most| alert::syslog(one, host, most);
                syslog.send(alerts, message).await
            }
            Way::Journal(unix) => {
                for (number, one) in alerts.iter().enumerate() {
                    let sent = unix.send_large(&alert::journal(one, host)).await;
                    sent.map_err(|why| SendError::new(number, why))?;
                }
                Ok(())
            }
            Way::Webhook(posts, key) => {
                for (number, one) in alerts.iter().enumerate() {
                    let body = alert::webhook(one, host);
                    let id = id(one, host);
                    let headers = signed(key.as_ref(), &id, now / 1000, &body);
                    let headers = headers.map_err(|why| SendError::new(number, why))?;
                    let sent = posts.send_with(body, "Bearer", &headers).await;
                    sent.map_err(|error| SendError {
                        confirmed: number,
                        ..error
                    })?;
                }
                Ok(())
            }
        }
    }
}

/// The same for each copy of this message, and for no other one.
fn id(one: &Alert, host: &str) -> String {
    let key = Alert::key(&one.rule, &one.labels);
    let text = format!("{host}\n{key}\n{}\n{}", one.fired, one.revision);
    format!(
        "msg_{}",
        hex(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
    )
}

/// The headers of Standard Webhooks (standardwebhooks.com, "Webhook Headers"): the signature is HMAC-SHA256 of
/// `ID.TIMESTAMP.BODY`, in base64.
fn signed(
    key_file: Option<&PathBuf>,
    id: &str,
    seconds: u64,
    body: &[u8],
) -> Result<Vec<(&'static str, String)>, String> {
    let mut headers = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
    ];
    if let Some(path) = key_file {
        let key = key(path)?;
        let text = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        let signature = STANDARD.encode(key.of(&text));
        headers.push(("webhook-signature", format!("v1,{signature}")));
    }
    Ok(headers)
}

/// Read anew each time: a key that was replaced counts at once.
fn key(path: &Path) -> Result<FingerprintKey, String> {
    let wrong = |why: &str| format!("the key in key_file is unusable: {why}");
    let read = Trusted::new(&[]).read(path, LONGEST_KEY);
    let read = read.map_err(|error| wrong(&HttpError::File(error).to_string()))?;
    let text = read.expose().trim_ascii();
    let help = "it is not whsec_ and 24 to 64 bytes in base64: (umask 077; echo whsec_$(head -c 32 /dev/urandom | \
                base64) > FILE)";
    let text = text.strip_prefix(b"whsec_").ok_or_else(|| wrong(help))?;
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| wrong(help))?);
    if !(24..=64).contains(&bytes.len()) {
        return Err(wrong(help));
    }
    let key = FingerprintKey::exactly(&SecretBytes::new(bytes.to_vec()));
    key.map_err(|error| wrong(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::alerts::tests::sample;

    /// The example of the specification's own libraries: standard-webhooks, libraries/python/tests.
    #[test]
    fn a_signature_is_as_standard_webhooks_have_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        std::fs::write(&path, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let headers = signed(
            Some(&path),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            body,
        )
        .unwrap();
        let wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(headers[2], ("webhook-signature", wanted.to_owned()));
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ",
            "whsec_*",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = signed(Some(&path), "i", 1, b"").unwrap_err();
            assert!(
                error.contains("whsec_ and 24 to 64 bytes"),
                "{text}: {error}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(
            signed(Some(&path), "i", 1, b"")
                .unwrap_err()
                .contains("key")
        );
    }

    #[test]
    fn a_message_has_an_id_of_its_own() {
        let alert = sample();
        assert_eq!(id(&alert, "a"), id(&alert, "a"));
        assert_ne!(id(&alert, "a"), id(&alert, "b"));
        let mut later = sample();
        later.revision += 1;
        assert_ne!(id(&alert, "a"), id(&later, "a"));
    }
}
