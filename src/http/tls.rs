//! How TLS is spoken: rustls on ring, TLS 1.2 and 1.3, HTTP/2 where the server has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client};
use x509_cert::der::Decode;

use super::error::HttpError;
use super::pem;
use super::retry::{AttemptError, TryError, Weight};
use crate::model::{ClientCertificate, Tls};
use crate::secret::{FileError, Trusted};
use crate::sys::{filesystem, walk};

/// Reads what the settings name. The system's authorities are read only where none are named.
pub(super) async fn config(tls: &Tls) -> Result<ClientConfig, AttemptError> {
    let trusted = Trusted::new(&tls.trust);
    let roots = authorities(tls, &trusted).await?;
    let verified = builder()?.with_root_certificates(roots);
    let mut config = match &tls.client {
        Some(client) => shown(verified, client, &trusted).await?,
        None => verified.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For addresses without TLS: no server would be trusted.
pub(super) fn none() -> Result<ClientConfig, HttpError> {
    Ok(builder()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, HttpError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Unusable(format!("cannot set up TLS: {error}")))
}

async fn authorities(tls: &Tls, trusted: &Trusted) -> Result<RootCertStore, AttemptError> {
    let mut files: Vec<PathBuf> = tls.ca_file.iter().cloned().collect();
    if let Some(directory) = &tls.ca_path {
        files.extend(listed(directory, trusted)?);
    }
    if files.is_empty() {
        return system();
    }
    let (mut roots, mut ended) = (RootCertStore::empty(), None);
    for file in files {
        for certificate in pem::certificates(&file, trusted).await? {
            match ended_at(&certificate) {
                Some(at) => ended = Some((file.clone(), at)),
                None => add(&mut roots, certificate, &file)?,
            }
        }
    }
    match ended {
        Some((file, at)) if roots.is_empty() => Err(has_ended(&file, at).into()),
        _ => Ok(roots),
    }
}

/// When an authority's own time was over, if it is. rustls does not look: RFC 5280, 6.1.1 (d), leaves
/// it to who trusts. What cannot be read here is judged by rustls.
fn ended_at(certificate: &CertificateDer) -> Option<SystemTime> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let at = certificate
        .tbs_certificate
        .validity
        .not_after
        .to_system_time();
    (at < SystemTime::now()).then_some(at)
}

fn has_ended(file: &Path, at: SystemTime) -> TryError {
    let words = format!(
        "the CA certificate in {} expired on {}; replace it with the CA that signs the server's certificate",
        file.display(),
        humantime::format_rfc3339_seconds(at)
    );
    TryError::new(Weight::Answered, words).lasting()
}

fn add(
    roots: &mut RootCertStore,
    certificate: CertificateDer,
    file: &Path,
) -> Result<(), HttpError> {
    roots.add(certificate).map_err(|_| {
        HttpError::Unusable(format!(
            "a certificate in {} cannot be read",
            file.display()
        ))
    })
}

/// The files of a directory, in order. c_rehash(1)'s links are followed; what is hidden is not read.
fn listed(directory: &Path, trusted: &Trusted) -> Result<Vec<PathBuf>, HttpError> {
    let unreadable = |source| HttpError::unreadable(directory, source);
    let mut files = Vec::new();
    let opened = walk::directory(directory, &trusted.rule()).map_err(FileError::from)?;
    for name in filesystem::entries(&opened).map_err(unreadable)? {
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        let path = directory.join(name);
        if !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(HttpError::Unusable(format!(
            "no certificates in {}",
            directory.display()
        )));
    }
    Ok(files)
}

/// What the distribution trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
fn system() -> Result<RootCertStore, AttemptError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // As every TLS library: authorities that it cannot read are not trusted.
    roots.add_parsable_certificates(loaded.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let cause = loaded.errors.first().map(|error| format!(" ({error})"));
    let words = format!(
        "this machine knows no certificate authorities{}: install ca-certificates, or name the \
         server's own with `ca_file`",
        cause.unwrap_or_default()
    );
    Err(TryError::new(Weight::Unconnected, words).lasting().into())
}

async fn shown(
    builder: ConfigBuilder<ClientConfig, client::WantsClientCert>,
    client: &ClientCertificate,
    trusted: &Trusted,
) -> Result<ClientConfig, AttemptError> {
    let chain = pem::certificates(&client.certificate, trusted).await?;
    let key = pem::key(&client.key, trusted).await?;
    let refused = |error: rustls::Error| {
        HttpError::Unusable(match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the key in {} does not belong to the certificate in {}",
                client.key.display(),
                client.certificate.display()
            ),
            _ => format!(
                "the key in {} is of no kind that TLS is spoken with here: RSA, ECDSA on P-256 or \
                 P-384, or Ed25519",
                client.key.display()
            ),
        })
    };
    Ok(builder.with_client_auth_cert(chain, key).map_err(refused)?)
}
