//! Public keys as SSH encodes them (RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4, OpenSSH's PROTOCOL.u2f), and
//! what they signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256};

use super::error::SignatureError;
use super::wire::{Reader, put_string};

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 8709.
    Ed25519,
    /// RFC 5656, curve P-256.
    P256,
    /// RFC 5656, curve P-384.
    P384,
    /// RFC 5656, curve P-521; ring does not have it.
    P521,
    /// RFC 8332: with SHA-256 or SHA-512, never with SHA-1.
    Rsa,
    /// PROTOCOL.u2f: Ed25519 in a hardware key.
    SkEd25519,
    /// PROTOCOL.u2f: P-256 in a hardware key.
    SkP256,
}

impl Algorithm {
    /// Each with the name of its keys, and of its certificates.
    const TABLE: [(Self, &'static str, &'static str); 7] = [
        (
            Self::Ed25519,
            "ssh-ed25519",
            "ssh-ed25519-cert-v01@openssh.com",
        ),
        (
            Self::P256,
            "ecdsa-sha2-nistp256",
            "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        ),
        (
            Self::P384,
            "ecdsa-sha2-nistp384",
            "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        ),
        (
            Self::P521,
            "ecdsa-sha2-nistp521",
            "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        ),
        (Self::Rsa, "ssh-rsa", "ssh-rsa-cert-v01@openssh.com"),
        (
            Self::SkEd25519,
            "sk-ssh-ed25519@openssh.com",
            "sk-ssh-ed25519-cert-v01@openssh.com",
        ),
        (
            Self::SkP256,
            "sk-ecdsa-sha2-nistp256@openssh.com",
            "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        ),
    ];

    /// Of a key's type.
    pub fn of_key(name: &str) -> Option<Self> {
        let mut table = Self::TABLE.iter();
        table.find(|(_, key, _)| *key == name).map(|(it, ..)| *it)
    }

    /// Of a certificate's type.
    pub fn of_certificate(name: &str) -> Option<Self> {
        let mut table = Self::TABLE.iter();
        table.find(|(_, _, cert)| *cert == name).map(|(it, ..)| *it)
    }

    /// The name of its keys.
    pub fn name(self) -> &'static str {
        let mut table = Self::TABLE.iter();
        let found = table.find(|(it, ..)| *it == self);
        found.map_or("", |(_, name, _)| name)
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    material: Material,
    /// As it is encoded.
    blob: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    /// The bytes of the key, or of the uncompressed point.
    Curve(Vec<u8>),
    Rsa {
        exponent: Vec<u8>,
        modulus: Vec<u8>,
    },
    /// What the key is for, such as `ssh:`, is signed as well.
    Hardware {
        key: Vec<u8>,
        application: String,
    },
}

impl PublicKey {
    /// From its encoding, which is exact.
    pub fn parse(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(blob);
        let name = reader.text()?;
        let algorithm =
            Algorithm::of_key(name).ok_or_else(|| SignatureError::Algorithm(name.to_owned()))?;
        let key = Self::fields(algorithm, &mut reader)?;
        reader.end()?;
        Ok(key)
    }

    /// From the fields that follow its name, which certificates have as well.
    pub(super) fn fields(
        algorithm: Algorithm,
        reader: &mut Reader<'_>,
    ) -> Result<Self, SignatureError> {
        let before = reader.rest();
        let material = match algorithm {
            Algorithm::Ed25519 => Material::Curve(ed25519(reader)?),
            Algorithm::P256 => Material::Curve(point(reader, "nistp256", 32)?),
            Algorithm::P384 => Material::Curve(point(reader, "nistp384", 48)?),
            Algorithm::P521 => Material::Curve(point(reader, "nistp521", 66)?),
            Algorithm::Rsa => Material::Rsa {
                exponent: reader.number()?.to_vec(),
                modulus: reader.number()?.to_vec(),
            },
            Algorithm::SkEd25519 => Material::Hardware {
                key: ed25519(reader)?,
                application: reader.text()?.to_owned(),
            },
            Algorithm::SkP256 => Material::Hardware {
                key: point(reader, "nistp256", 32)?,
                application: reader.text()?.to_owned(),
            },
        };
        let mut blob = Vec::new();
        put_string(&mut blob, algorithm.name().as_bytes());
        blob.extend(&before[..before.len() - reader.rest().len()]);
        Ok(Self {
            algorithm,
            material,
            blob,
        })
    }

    /// The name of its type.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// As `ssh-keygen -l` shows it: `SHA256:` and the digest in base64.
    pub fn fingerprint(&self) -> String {
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(&self.blob));
        format!("SHA256:{digest}")
    }

    /// Whether it signed these bytes: `signature` is encoded as RFC 4253 6.6 says.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let mut reader = Reader::new(signature);
        let name = reader.text()?;
        match (&self.material, self.algorithm) {
            (Material::Rsa { exponent, modulus }, _) => {
                rsa(exponent, modulus, name, reader, message)
            }
            _ if name != self.algorithm() => Err(SignatureError::Mismatch {
                key: self.algorithm(),
                signature: name.to_owned(),
            }),
            (Material::Hardware { key, application }, algorithm) => {
                hardware(algorithm, key, application, reader, message)
            }
            (Material::Curve(_), Algorithm::P521) => {
                Err(SignatureError::Unsupported("ecdsa-sha2-nistp521"))
            }
            (Material::Curve(key), algorithm) => {
                let raw = raw(algorithm, reader.string()?)?;
                reader.end()?;
                check(of_curve(algorithm), key, message, &raw)
            }
        }
    }
}

fn ed25519(reader: &mut Reader<'_>) -> Result<Vec<u8>, SignatureError> {
    let key = reader.string()?;
    if key.len() != 32 {
        return Err(SignatureError::Key("an Ed25519 key has 32 bytes"));
    }
    Ok(key.to_vec())
}

/// A point of a curve whose name goes before it, uncompressed: two coordinates of this size.
fn point(reader: &mut Reader<'_>, curve: &str, size: usize) -> Result<Vec<u8>, SignatureError> {
    if reader.text()? != curve {
        return Err(SignatureError::Key(
            "its curve is another one than its type says",
        ));
    }
    match reader.string()? {
        point @ [4, rest @ ..] if rest.len() == 2 * size => Ok(point.to_vec()),
        _ => Err(SignatureError::Key(
            "it is no uncompressed point of its curve",
        )),
    }
}

/// The least bits of an RSA key.
const LEAST_BITS: usize = 3072;
/// The most that ring takes.
const MOST_BITS: usize = 8192;

fn rsa(
    exponent: &[u8],
    modulus: &[u8],
    name: &str,
    mut signature: Reader<'_>,
    message: &[u8],
) -> Result<(), SignatureError> {
    let algorithm = match name {
        "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
        "rsa-sha2-512" => &RSA_PKCS1_2048_8192_SHA512,
        other => {
            return Err(SignatureError::Mismatch {
                key: Algorithm::Rsa.name(),
                signature: other.to_owned(),
            });
        }
    };
    let bits =
        modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros()) as usize;
    if !(LEAST_BITS..=MOST_BITS).contains(&bits) {
        return Err(SignatureError::RsaBits(bits));
    }
    let bytes = signature.string()?;
    signature.end()?;
    // As ssh-rsa.c: a signature with leading zeros may be written without them.
    let missing = modulus.len().checked_sub(bytes.len());
    let mut padded = vec![0; missing.ok_or(SignatureError::Invalid)?];
    padded.extend(bytes);
    let key = RsaPublicKeyComponents {
        n: modulus,
        e: exponent,
    };
    key.verify(algorithm, message, &padded)
        .map_err(|_| SignatureError::Invalid)
}

/// PROTOCOL.u2f, "SSH U2F Signatures": flags and a counter follow the signature, and are signed with the
/// digests of the application and of the message.
fn hardware(
    algorithm: Algorithm,
    key: &[u8],
    application: &str,
    mut signature: Reader<'_>,
    message: &[u8],
) -> Result<(), SignatureError> {
    const USER_PRESENCE: u8 = 1;
    let inner = match algorithm {
        Algorithm::SkP256 => Algorithm::P256,
        _ => Algorithm::Ed25519,
    };
    let raw = raw(inner, signature.string()?)?;
    let flags = signature.byte()?;
    let counter = signature.u32()?;
    signature.end()?;
    let mut signed = Sha256::digest(application).to_vec();
    signed.push(flags);
    signed.extend(counter.to_be_bytes());
    signed.extend(Sha256::digest(message));
    check(of_curve(inner), key, &signed, &raw)?;
    if flags & USER_PRESENCE == 0 {
        return Err(SignatureError::Presence);
    }
    Ok(())
}

fn of_curve(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::P256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::P384 => &ECDSA_P384_SHA384_FIXED,
        _ => &ED25519,
    }
}

/// A signature of a curve as ring takes it: ECDSA's two numbers side by side.
fn raw(algorithm: Algorithm, bytes: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let size = match algorithm {
        Algorithm::P256 => 32,
        Algorithm::P384 => 48,
        _ => return Ok(bytes.to_vec()),
    };
    let mut reader = Reader::new(bytes);
    let mut both = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = reader.number()?;
        let missing = size.checked_sub(number.len());
        both.resize(both.len() + missing.ok_or(SignatureError::Invalid)?, 0);
        both.extend(number);
    }
    reader.end()?;
    Ok(both)
}

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    UnparsedPublicKey::new(algorithm, key)
        .verify(message, signature)
        .map_err(|_| SignatureError::Invalid)
}
