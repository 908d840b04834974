//! PEM files, and unix sockets that give a PEM file's content to whoever connects.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::error::HttpError;
use crate::secret::{SecretBytes, Trusted};
use crate::sys::socket;

/// No bundle of certificates is larger.
const LARGEST: u64 = 8 << 20;

/// How long a socket may take to give its content.
const PATIENCE: Duration = Duration::from_secs(10);

/// All certificates in a file, at least one.
pub(super) async fn certificates(
    path: &Path,
    trusted: &Trusted,
) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bytes = read(path, trusted).await?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes.expose()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(malformed(path, "no PEM certificate in")),
        Err(_) => Err(malformed(path, "damaged PEM in")),
    }
}

/// The first private key in a file: PKCS#8, PKCS#1 or SEC1.
pub(super) async fn key(
    path: &Path,
    trusted: &Trusted,
) -> Result<PrivateKeyDer<'static>, HttpError> {
    let bytes = read(path, trusted).await?;
    let is_encrypted = memchr::memmem::find(bytes.expose(), b"ENCRYPTED").is_some();
    PrivateKeyDer::from_pem_slice(bytes.expose()).map_err(|error| match error {
        _ if is_encrypted => malformed(path, "a key without a passphrase is needed in"),
        pem::Error::NoItemsFound => malformed(path, "no PEM private key in"),
        _ => malformed(path, "damaged PEM in"),
    })
}

fn malformed(path: &Path, what: &str) -> HttpError {
    HttpError::Unusable(format!("{what} {}", path.display()))
}

async fn read(path: &Path, trusted: &Trusted) -> Result<SecretBytes, HttpError> {
    match trusted.socket(path)? {
        Some(socket) => from_socket(&socket)
            .await
            .map_err(|source| HttpError::unreadable(path, source)),
        None => Ok(trusted.read(path, LARGEST as usize)?),
    }
}

/// As systemd's `LoadCredential=` reads one, systemd.exec(5).
async fn from_socket((directory, name): &(OwnedFd, OsString)) -> io::Result<SecretBytes> {
    let received = async {
        let mut bytes = Vec::new();
        let stream = socket::connect_at(directory, name)?;
        let mut stream = UnixStream::from_std(stream)?.take(LARGEST);
        stream.read_to_end(&mut bytes).await?;
        Ok(SecretBytes::new(bytes))
    };
    timeout(PATIENCE, received)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
