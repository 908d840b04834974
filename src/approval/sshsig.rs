//! Signatures of files, as `ssh-keygen -Y sign` makes them: OpenSSH's PROTOCOL.sshsig.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

use super::certificate::Certificate;
use super::error::SignatureError;
use super::key::{Algorithm, PublicKey};
use super::wire::{Reader, put_string};

/// A signature is at most this long, armour and all: a certificate with many principals, of RSA keys.
pub const MAX_SIGNATURE: usize = 64 * 1024;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// A signature, read and not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    signer: SigningKey,
    namespace: String,
    hash: Hash,
    blob: Vec<u8>,
}

/// The key of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// By itself.
    Plain(PublicKey),
    /// With a certificate.
    Certified(Box<Certificate>),
}

impl SigningKey {
    /// The key that signs.
    pub fn key(&self) -> &PublicKey {
        match self {
            Self::Plain(key) => key,
            Self::Certified(certificate) => &certificate.key,
        }
    }

    fn parse(blob: &[u8]) -> Result<Self, SignatureError> {
        let name = Reader::new(blob).text()?;
        if Algorithm::of_certificate(name).is_some() {
            let certificate = Certificate::parse(blob)?;
            return Ok(Self::Certified(Box::new(certificate)));
        }
        PublicKey::parse(blob).map(Self::Plain)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn parse(name: &str) -> Result<Self, SignatureError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            other => Err(SignatureError::Hash(other.to_owned())),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }
}

impl Signature {
    /// From a `.sig` file. Nothing goes before the armour, and only blank lines after it.
    pub fn parse(file: &[u8]) -> Result<Self, SignatureError> {
        Self::of_blob(&dearmoured(file)?)
    }

    fn of_blob(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(blob);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(SignatureError::Magic);
        }
        let version = reader.u32()?;
        if version != 1 {
            return Err(SignatureError::Version(version));
        }
        let signer = SigningKey::parse(reader.string()?)?;
        let namespace = reader.text()?.to_owned();
        // "Implementations should ignore the reserved field if it is not empty."
        let _reserved = reader.string()?;
        let hash = Hash::parse(reader.text()?)?;
        let blob = reader.string()?.to_vec();
        reader.end()?;
        Ok(Self {
            signer,
            namespace,
            hash,
            blob,
        })
    }

    /// Whether it is of these bytes, in this namespace, by the key that it names: who that is, is
    /// [`super::signers::Signers`]' to say.
    pub fn verify(
        &self,
        message: &[u8],
        namespace: &'static str,
    ) -> Result<&SigningKey, SignatureError> {
        if self.namespace != namespace {
            return Err(SignatureError::Namespace {
                found: self.namespace.clone(),
                wanted: namespace,
            });
        }
        let mut signed = MAGIC.to_vec();
        put_string(&mut signed, namespace.as_bytes());
        put_string(&mut signed, b"");
        put_string(&mut signed, self.hash.name().as_bytes());
        put_string(&mut signed, &self.hash.of(message));
        self.signer.key().verify(&signed, &self.blob)?;
        Ok(&self.signer)
    }
}

fn dearmoured(file: &[u8]) -> Result<Vec<u8>, SignatureError> {
    if file.len() > MAX_SIGNATURE {
        return Err(SignatureError::TooLong(MAX_SIGNATURE));
    }
    let text = std::str::from_utf8(file).map_err(|_| SignatureError::Armour("it is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(BEGIN) {
        return Err(SignatureError::Armour(
            "its first line is not -----BEGIN SSH SIGNATURE-----",
        ));
    }
    let mut encoded = String::with_capacity(text.len());
    loop {
        match lines.next() {
            Some(END) => break,
            Some(line) => encoded.push_str(line),
            None => {
                return Err(SignatureError::Armour(
                    "the line -----END SSH SIGNATURE----- is missing",
                ));
            }
        }
    }
    if lines.any(|line| !line.trim().is_empty()) {
        return Err(SignatureError::Armour("something follows its last line"));
    }
    STANDARD
        .decode(encoded)
        .map_err(|_| SignatureError::Armour("what is between its lines is not base64"))
}
