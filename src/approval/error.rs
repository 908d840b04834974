//! What is wrong with a key, a certificate or a signature.

use super::wire::WireError;
use crate::model::printable::printable;

/// Why a key, a certificate or a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// More bytes than any signature has.
    #[error("it is longer than {0} bytes: this is no signature")]
    TooLong(usize),
    /// Not in the armour of OpenSSH's signatures.
    #[error("it is no OpenSSH signature: {0}")]
    Armour(&'static str),
    /// Its fields.
    #[error("it is malformed: {0}")]
    Wire(#[from] WireError),
    /// It does not start as PROTOCOL.sshsig wants it.
    #[error("it is malformed: it does not start with SSHSIG")]
    Magic,
    /// Of another format.
    #[error("it has version {0} of the format, and hushpipe reads version 1")]
    Version(u32),
    /// Made for another purpose.
    #[error(
        "it was made in namespace {}, not in {wanted}: sign with `ssh-keygen -Y sign -n {wanted}`",
        printable(found)
    )]
    Namespace {
        /// Its own.
        found: String,
        /// That counts.
        wanted: &'static str,
    },
    /// Neither SHA-256 nor SHA-512.
    #[error("it hashes by {}, and only sha256 and sha512 are accepted", printable(.0))]
    Hash(String),
    /// No algorithm that hushpipe has.
    #[error(
        "unknown algorithm {}: use a key of type ssh-ed25519, ecdsa-sha2-nistp256, \
         ecdsa-sha2-nistp384, ssh-rsa (3072 bits or more) or sk-*",
        printable(.0)
    )]
    Algorithm(String),
    /// A known algorithm that hushpipe does not verify.
    #[error("hushpipe cannot verify {0}: use ecdsa-sha2-nistp384 or ssh-ed25519")]
    Unsupported(&'static str),
    /// The algorithm of the signature is not one of the key's.
    #[error("it is signed by {} with a key of type {key}", printable(signature))]
    Mismatch {
        /// The key's.
        key: &'static str,
        /// The signature's.
        signature: String,
    },
    /// An RSA key of less than 3072 bits, or more than are supported.
    #[error("an RSA key of {0} bits is refused: it needs 3072 to 8192")]
    RsaBits(usize),
    /// The fields of a key do not fit its algorithm.
    #[error("the key is malformed: {0}")]
    Key(&'static str),
    /// A hardware key signed without a touch.
    #[error("the hardware key signed without a touch (no user presence)")]
    Presence,
    /// The bytes were not signed by the key.
    #[error(
        "the signature does not match what it is for: that was changed, or something else was signed"
    )]
    Invalid,
    /// A certificate that does not count.
    #[error("the certificate is refused: {0}")]
    Certificate(CertificateError),
}

/// Why a certificate does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Its authority did not sign it.
    #[error("its authority's signature does not match: {0}")]
    Signature(Box<SignatureError>),
    /// A host's.
    #[error("it is not a user's")]
    NotUser,
    /// It restricts itself in a way that does not fit signatures.
    #[error("it has the critical option {}", printable(.0))]
    Critical(String),
    /// It names nobody.
    #[error("it has no principals")]
    NoPrincipals,
    /// Its time has not come.
    #[error("it is not valid yet")]
    NotYet,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// An authority is a plain key.
    #[error("its authority is a certificate itself")]
    Chain,
}
