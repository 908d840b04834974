//! An age identity, X25519, as the age specification has it; its public key is computed once, when it is
//! needed first, and not once a file, and it can sign.

use std::cell::OnceCell;

use age::DecryptError;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::{aead_decrypt, hkdf};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use curve25519_dalek::montgomery::MontgomeryPoint;
use zeroize::{Zeroize, Zeroizing};

use super::signing::{Signer, decode, encode};

const TAG: &str = "X25519";
const LABEL: &[u8] = b"age-encryption.org/v1/X25519";
/// A file key, and the tag of what seals it.
const FILE_KEY: usize = 16;
const WRAPPED: usize = FILE_KEY + 16;

/// `AGE-SECRET-KEY-1…`
pub struct Native {
    secret: Zeroizing<[u8; 32]>,
    public: OnceCell<[u8; 32]>,
}

impl Native {
    /// Reads a line of an identity file.
    pub fn parse(line: &str) -> Option<Self> {
        let is_upper = !line.bytes().any(|byte| byte.is_ascii_lowercase());
        let secret = decode("age-secret-key-", line).filter(|_| is_upper)?;
        let public = OnceCell::new();
        Some(Self { secret, public })
    }

    fn public(&self) -> &[u8; 32] {
        let make = || MontgomeryPoint::mul_base_clamped(*self.secret).to_bytes();
        self.public.get_or_init(make)
    }

    /// Its recipient, `age1…`.
    pub fn recipient(&self) -> String {
        encode(self.public())
    }

    /// What signs for it.
    pub fn signer(&self, recipient: String) -> Signer {
        Signer::native(recipient, &self.secret)
    }
}

impl age::Identity for Native {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != TAG {
            return None;
        }
        let share = match stanza.args.as_slice() {
            [share] => STANDARD_NO_PAD.decode(share).ok(),
            _ => None,
        };
        let share: Option<[u8; 32]> = share.and_then(|share| share.try_into().ok());
        let (Some(share), WRAPPED) = (share, stanza.body.len()) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        let mut shared = MontgomeryPoint(share).mul_clamped(*self.secret).to_bytes();
        // A share of low order, which no sealer makes.
        if shared.iter().fold(0, |all, byte| all | byte) == 0 {
            return Some(Err(DecryptError::InvalidHeader));
        }
        let salt = [share, *self.public()].concat();
        let key = Zeroizing::new(hkdf(&salt, LABEL, &shared));
        shared.zeroize();
        // Where it fails, the stanza is another identity's.
        let opened = Zeroizing::new(aead_decrypt(&key, FILE_KEY, &stanza.body).ok()?);
        Some(Ok(FileKey::init_with_mut(|file_key| {
            file_key.copy_from_slice(&opened);
        })))
    }
}

#[cfg(test)]
mod tests {
    use age::Recipient;
    use age::secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn it_is_the_identity_that_the_age_crate_makes_and_opens_the_same() {
        for _ in 0..16 {
            let theirs = age::x25519::Identity::generate();
            let ours = Native::parse(theirs.to_string().expose_secret()).unwrap();
            assert_eq!(ours.recipient(), theirs.to_public().to_string());
            let file_key = FileKey::new(Box::new([9; 16]));
            let (stanzas, _) = theirs.to_public().wrap_file_key(&file_key).ok().unwrap();
            let opened = age::Identity::unwrap_stanzas(&ours, &stanzas);
            let opened = opened.unwrap().ok().unwrap();
            assert_eq!(opened.expose_secret(), file_key.expose_secret());
            let other = age::x25519::Identity::generate();
            let other = Native::parse(other.to_string().expose_secret()).unwrap();
            assert!(age::Identity::unwrap_stanzas(&other, &stanzas).is_none());
        }
    }

    #[test]
    fn stanzas_that_are_none_are_refused_and_those_of_others_passed_over() {
        let ours = age::x25519::Identity::generate();
        let ours = Native::parse(ours.to_string().expose_secret()).unwrap();
        let stanza = |tag: &str, args: &[&str], body: usize| Stanza {
            tag: tag.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            body: vec![0; body],
        };
        let share = STANDARD_NO_PAD.encode([9; 32]);
        let low = STANDARD_NO_PAD.encode([0; 32]);
        for (stanza, is_refused) in [
            (stanza("scrypt", &[&share], 32), false),
            (stanza("X25519", &[&share], 32), false),
            (stanza("X25519", &[&share], 31), true),
            (stanza("X25519", &[], 32), true),
            (stanza("X25519", &[&share, &share], 32), true),
            (stanza("X25519", &["AAAA"], 32), true),
            (stanza("X25519", &[&low], 32), true),
        ] {
            let opened = age::Identity::unwrap_stanza(&ours, &stanza);
            assert_eq!(matches!(opened, Some(Err(_))), is_refused);
        }
    }
}
