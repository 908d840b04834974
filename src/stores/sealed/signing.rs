//! Signatures by the keys that open a store: whoever can read it can write it, and a reader needs the
//! recipients alone to check who wrote it.
//!
//! An OpenSSH key signs by Ed25519 (RFC 8032). An age identity is an X25519 key, which signs by XEdDSA
//! (Signal's specification, revision 1): the signature is one of Ed25519, by the point of the Edwards
//! curve that the recipient's `u` stands for, the one of the two whose sign bit is 0.

use age_core::primitives::bech32_decode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::recipients;
use crate::sys::memory::fill_random;

/// An Ed25519 signature: R and s.
pub type Signature = [u8; 64];

/// A key that can sign, and the recipient that it signs as.
pub struct Signer {
    recipient: String,
    key: Key,
}

enum Key {
    /// The X25519 secret of an age identity.
    Native(Zeroizing<[u8; 32]>),
    Ssh(Box<Ed25519KeyPair>),
}

impl Signer {
    /// Of an age identity; its recipient is in the text of recipients.txt.
    pub fn native(recipient: String, secret: &[u8; 32]) -> Self {
        let key = Key::Native(Zeroizing::new(*secret));
        Self { recipient, key }
    }

    /// Of an OpenSSH private key without passphrase (PROTOCOL.key). `None`: it is no ed25519 key.
    pub fn ssh(recipient: String, private_key: &[u8]) -> Option<Self> {
        let key = Key::Ssh(Box::new(ssh_key(private_key)?));
        Some(Self { recipient, key })
    }

    /// Who signs.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> std::io::Result<Signature> {
        match &self.key {
            Key::Native(secret) => xeddsa(secret, message),
            Key::Ssh(pair) => {
                let signature = pair.sign(message);
                Ok(signature.as_ref().try_into().expect("it has 64 bytes"))
            }
        }
    }
}

/// Whether a recipient, in the text of recipients.txt, signed this message.
pub fn verify(recipient: &str, message: &[u8], signature: &Signature) -> bool {
    let public = public_key(recipient);
    public.is_some_and(|public| {
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(message, signature).is_ok()
    })
}

/// The Ed25519 key of a recipient.
fn public_key(recipient: &str) -> Option<[u8; 32]> {
    if let Some(blob) = recipient.strip_prefix("ssh-ed25519 ") {
        let blob = STANDARD.decode(blob).ok()?;
        let mut fields = Fields(&blob);
        return (fields.next()? == b"ssh-ed25519")
            .then(|| fields.next()?.try_into().ok())
            .flatten();
    }
    let u = decode("age", recipient)?;
    let point = MontgomeryPoint(*u).to_edwards(0)?;
    Some(point.compress().to_bytes())
}

/// The 32 bytes of a recipient (`age`) or an identity (`age-secret-key-`).
pub fn decode(kind: &str, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let decoded = bech32_decode(
        text,
        |_| (),
        |found| (found.to_lowercase() == kind).then_some(()).ok_or(()),
        |_, bytes| {
            let mut key = Zeroizing::new([0; 32]);
            let mut bytes = bytes;
            for byte in key.iter_mut() {
                *byte = bytes.next().ok_or(())?;
            }
            bytes.next().is_none().then_some(key).ok_or(())
        },
    );
    decoded.ok()
}

/// A public key as a recipient, `age1…`.
pub fn encode(public: &[u8; 32]) -> String {
    let age = bech32::Hrp::parse_unchecked("age");
    bech32::encode::<bech32::Bech32>(age, public).expect("32 bytes are few enough")
}

fn xeddsa(secret: &[u8; 32], message: &[u8]) -> std::io::Result<Signature> {
    let mut scalar = Scalar::from_bytes_mod_order(clamp_integer(*secret));
    let mut public = EdwardsPoint::mul_base(&scalar).compress().to_bytes();
    if public[31] & 0x80 != 0 {
        scalar = -scalar;
        public[31] &= 0x7f;
    }
    let mut random = Zeroizing::new([0; 64]);
    fill_random(&mut *random)?;
    // hash_1: 2^256 - 1 - 1, little endian, goes first.
    let mut apart = [0xff; 32];
    apart[0] = 0xfe;
    let mut nonce = wide(&[&apart, scalar.as_bytes(), message, &*random]);
    let point = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
    let challenge = wide(&[&point, &public, message]);
    let answer = nonce + challenge * scalar;
    nonce.zeroize();
    scalar.zeroize();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&point);
    signature[32..].copy_from_slice(answer.as_bytes());
    Ok(signature)
}

fn wide(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    let mut bytes: [u8; 64] = hash.finalize().into();
    let scalar = Scalar::from_bytes_mod_order_wide(&bytes);
    bytes.zeroize();
    scalar
}

/// What OpenSSH's formats are made of: a length of 32 bits, and so many bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.0 = rest;
        Some(field)
    }
}

fn ssh_key(text: &[u8]) -> Option<Ed25519KeyPair> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let body = lines.filter(|line| !line.starts_with(b"-----"));
    let body = Zeroizing::new(body.collect::<Vec<_>>().concat());
    let blob = Zeroizing::new(STANDARD.decode(&*body).ok()?);
    let mut fields = Fields(blob.strip_prefix(b"openssh-key-v1\0")?);
    let (cipher, _, _) = (fields.next()?, fields.next()?, fields.next()?);
    if cipher != b"none" {
        return None;
    }
    // How many keys: one.
    fields.0 = fields.0.get(4..)?;
    fields.next()?;
    // Two check numbers come before the private key: type, public key, seed and public key.
    let mut fields = Fields(fields.next()?.get(8..)?);
    if fields.next()? != b"ssh-ed25519" {
        return None;
    }
    let public = fields.next()?;
    let seed = fields.next()?.get(..32)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    (pair.public_key().as_ref() == public).then_some(pair)
}

/// Whether text is a recipient as an index names it.
pub fn is_recipient(text: &str) -> bool {
    recipients::normal(text).is_ok_and(|normal| normal == text)
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;

    use super::*;

    fn signer() -> Signer {
        let identity = age::x25519::Identity::generate();
        let secret = decode("age-secret-key-", identity.to_string().expose_secret()).unwrap();
        Signer::native(identity.to_public().to_string(), &secret)
    }

    #[test]
    fn an_age_identity_signs_and_its_recipient_verifies() {
        for _ in 0..32 {
            let (one, other) = (signer(), signer());
            let signature = one.sign(b"a message").unwrap();
            assert!(verify(one.recipient(), b"a message", &signature));
            assert!(!verify(one.recipient(), b"another", &signature));
            assert!(!verify(other.recipient(), b"a message", &signature));
            let mut damaged = signature;
            damaged[40] ^= 1;
            assert!(!verify(one.recipient(), b"a message", &damaged));
        }
    }

    #[test]
    fn what_is_no_key_verifies_nothing() {
        for text in ["", "age1qqq", "ssh-ed25519 AAAA", "ssh-rsa AAAA"] {
            assert!(!verify(text, b"", &[0; 64]), "{text}");
        }
    }
}
