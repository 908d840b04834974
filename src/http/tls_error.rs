//! Why TLS did not come about, in words.

use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use super::retry::{TryError, Weight};

/// What a fault of TLS is for the one who has to do something about it.
pub(super) fn of(error: &Error) -> TryError {
    let words = match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => alert_words(*alert),
        Error::InvalidMessage(_) => {
            "its response is not TLS: if it speaks plain HTTP, write http://".to_owned()
        }
        Error::PeerIncompatible(_) => {
            "it speaks neither TLS 1.2 nor 1.3 with a cipher that is safe".to_owned()
        }
        Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        _ => "TLS failed".to_owned(),
    };
    let failed = TryError::new(Weight::Answered, words);
    match error {
        Error::AlertReceived(AlertDescription::InternalError | AlertDescription::CloseNotify) => {
            failed
        }
        _ => failed.lasting(),
    }
}

/// HTTP/2 keeps of an error of TLS its text alone. A server of TLS 1.3 refuses a client certificate
/// only after the handshake, so that its alert comes there.
pub(super) fn of_alert_in(text: &str) -> Option<TryError> {
    const REFUSALS: [AlertDescription; 9] = [
        AlertDescription::CertificateRequired,
        AlertDescription::BadCertificate,
        AlertDescription::UnknownCA,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::AccessDenied,
        AlertDescription::DecryptError,
    ];
    REFUSALS
        .into_iter()
        .map(Error::AlertReceived)
        .find(|alert| text.contains(&alert.to_string()))
        .map(|alert| of(&alert))
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(&expected.to_str(), presented),
        CertificateError::NotValidForName => {
            "its certificate is for another name: see `tls_server_name`".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "its certificate, or its authority's, expired at {}",
            written(*not_after)
        ),
        CertificateError::Expired => "its certificate, or its authority's, has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "its certificate, or its authority's, is not valid before {}: is the clock right?",
            written(*not_before)
        ),
        CertificateError::NotValidYet => {
            "its certificate, or its authority's, is not valid yet: is the clock right?".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is from an authority that is not trusted: name it with `ca_file`, if \
             it is yours"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate is not signed by the authority that it names: is `ca_file` an old one?"
                .to_owned()
        }
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers".to_owned()
        }
        other => format!("its certificate cannot be accepted: {other}"),
    }
}

fn wrong_name(expected: &str, presented: &[String]) -> String {
    let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
    if names.is_empty() {
        return format!("its certificate has no names at all, so it is not for {expected}");
    }
    format!(
        "its certificate is for {}, not for {expected}: set `tls_server_name` to the right one, if it \
         is the right server",
        names.join(", ")
    )
}

/// `DnsName("a.example")` is how the library writes the name a.example.
fn plain(name: &str) -> &str {
    name.split_once("(\"")
        .and_then(|(_, rest)| rest.strip_suffix("\")"))
        .or_else(|| {
            name.split_once('(')
                .and_then(|(_, rest)| rest.strip_suffix(')'))
        })
        .unwrap_or(name)
}

fn written(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    humantime::format_rfc3339_seconds(time).to_string()
}

/// What the server did not like, RFC 8446 section 6.2.
fn alert_words(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::NoCertificate => {
            "it requires a trusted client certificate: see `client_cert`"
        }
        AlertDescription::UnknownCA => {
            "it does not know the authority of the client certificate that was shown"
        }
        AlertDescription::CertificateExpired => "the client certificate that was shown has expired",
        AlertDescription::CertificateRevoked => "the client certificate that was shown is revoked",
        AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => {
            "it does not accept the client certificate that was shown"
        }
        AlertDescription::UnrecognisedName => {
            "it knows no server of that name: see `tls_server_name`"
        }
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor 1.3",
        AlertDescription::HandshakeFailure => {
            "it refuses the handshake: it may ask for a client certificate, or for ciphers that \
             are not safe"
        }
        other => return format!("it breaks TLS off: {other:?}"),
    };
    words.to_owned()
}
