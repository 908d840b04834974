//! Certificates of OpenSSH's (PROTOCOL.certkeys).

use super::error::{CertificateError, SignatureError};
use super::key::{Algorithm, PublicKey};
use super::wire::Reader;

/// `SSH2_CERT_TYPE_USER`
const USER: u32 = 1;
/// As sshkey.h.
const MAX_PRINCIPALS: usize = 256;

/// A user's certificate that its authority signed. Whether that authority counts, and whether it is valid
/// now, is the caller's to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The key that is certified.
    pub key: PublicKey,
    /// Whom it names.
    pub principals: Vec<String>,
    /// Who signed it.
    pub authority: PublicKey,
    after: u64,
    before: u64,
}

impl Certificate {
    /// From its encoding, if it is a certificate: its type is known, it is exact, a user's, without
    /// critical options, and its authority signed it.
    pub fn parse(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(blob);
        let name = reader.text()?;
        let algorithm = Algorithm::of_certificate(name)
            .ok_or_else(|| SignatureError::Algorithm(name.to_owned()))?;
        let _nonce = reader.string()?;
        let key = PublicKey::fields(algorithm, &mut reader)?;
        let _serial = reader.u64()?;
        let kind = reader.u32()?;
        let _key_id = reader.string()?;
        let principals = principals(reader.string()?)?;
        let (after, before) = (reader.u64()?, reader.u64()?);
        let critical = first_option(reader.string()?)?;
        first_option(reader.string()?)?;
        let _reserved = reader.string()?;
        let authority = authority(reader.string()?)?;
        let signed = &blob[..blob.len() - reader.rest().len()];
        let signature = reader.string()?;
        reader.end()?;
        authority
            .verify(signed, signature)
            .map_err(|error| refused(CertificateError::Signature(Box::new(error))))?;
        if kind != USER {
            return Err(refused(CertificateError::NotUser));
        }
        if let Some(option) = critical {
            return Err(refused(CertificateError::Critical(option)));
        }
        if principals.is_empty() {
            return Err(refused(CertificateError::NoPrincipals));
        }
        Ok(Self {
            key,
            principals,
            authority,
            after,
            before,
        })
    }

    /// Whether it is valid at that time, in seconds since 1970: `sshkey_cert_check_authority`.
    pub const fn check_time(&self, now: u64) -> Result<(), CertificateError> {
        if now < self.after {
            Err(CertificateError::NotYet)
        } else if now >= self.before {
            Err(CertificateError::Expired)
        } else {
            Ok(())
        }
    }
}

const fn refused(error: CertificateError) -> SignatureError {
    SignatureError::Certificate(error)
}

fn principals(bytes: &[u8]) -> Result<Vec<String>, SignatureError> {
    let mut reader = Reader::new(bytes);
    let mut principals = Vec::new();
    while !reader.rest().is_empty() {
        if principals.len() == MAX_PRINCIPALS {
            return Err(SignatureError::Key(
                "the certificate has too many principals",
            ));
        }
        principals.push(reader.text()?.to_owned());
    }
    Ok(principals)
}

/// The name of the first of them, once all are read.
fn first_option(bytes: &[u8]) -> Result<Option<String>, SignatureError> {
    let mut reader = Reader::new(bytes);
    let mut first = None;
    while !reader.rest().is_empty() {
        let name = reader.text()?;
        reader.string()?;
        first.get_or_insert(name);
    }
    Ok(first.map(str::to_owned))
}

fn authority(blob: &[u8]) -> Result<PublicKey, SignatureError> {
    let name = Reader::new(blob).text()?;
    if Algorithm::of_certificate(name).is_some() {
        return Err(refused(CertificateError::Chain));
    }
    PublicKey::parse(blob)
}
