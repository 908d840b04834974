//! Keys in software, hardware keys among them, and what they sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest, Sha256, Sha512};

use crate::approval::wire::put_string;

/// An Ed25519 key from a seed.
pub struct Key {
    pair: Ed25519KeyPair,
    /// Simulates a hardware key: what it is for, and the flags of its signatures.
    hardware: Option<(&'static str, u8)>,
}

impl Key {
    pub fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Self {
            pair,
            hardware: None,
        }
    }

    pub fn hardware(seed: u8, flags: u8) -> Self {
        Self {
            hardware: Some(("ssh:", flags)),
            ..Self::new(seed)
        }
    }

    pub fn name(&self) -> &'static str {
        match self.hardware {
            Some(_) => "sk-ssh-ed25519@openssh.com",
            None => "ssh-ed25519",
        }
    }

    pub fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put_string(&mut blob, self.name().as_bytes());
        put_string(&mut blob, self.pair.public_key().as_ref());
        if let Some((application, _)) = self.hardware {
            put_string(&mut blob, application.as_bytes());
        }
        blob
    }

    /// As a line of authorized keys.
    pub fn line(&self) -> String {
        format!("{} {}", self.name(), STANDARD.encode(self.blob()))
    }

    /// A signature as SSH encodes it.
    pub fn raw(&self, message: &[u8]) -> Vec<u8> {
        let mut blob = Vec::new();
        put_string(&mut blob, self.name().as_bytes());
        let Some((application, flags)) = self.hardware else {
            put_string(&mut blob, self.pair.sign(message).as_ref());
            return blob;
        };
        let counter = 7_u32.to_be_bytes();
        let mut signed = Sha256::digest(application).to_vec();
        signed.push(flags);
        signed.extend(counter);
        signed.extend(Sha256::digest(message));
        put_string(&mut blob, self.pair.sign(&signed).as_ref());
        blob.push(flags);
        blob.extend(counter);
        blob
    }

    /// A signature file.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Vec<u8> {
        self.sign_as(&self.blob(), namespace, message)
    }

    /// The same with a certificate in the key's place.
    pub fn sign_as(&self, key: &[u8], namespace: &str, message: &[u8]) -> Vec<u8> {
        let mut signed = b"SSHSIG".to_vec();
        put_string(&mut signed, namespace.as_bytes());
        put_string(&mut signed, b"");
        put_string(&mut signed, b"sha512");
        put_string(&mut signed, &Sha512::digest(message));
        let mut blob = b"SSHSIG".to_vec();
        blob.extend(1_u32.to_be_bytes());
        put_string(&mut blob, key);
        put_string(&mut blob, namespace.as_bytes());
        put_string(&mut blob, b"");
        put_string(&mut blob, b"sha512");
        put_string(&mut blob, &self.raw(&signed));
        armoured(&blob)
    }
}

pub fn armoured(blob: &[u8]) -> Vec<u8> {
    let mut text = String::from("-----BEGIN SSH SIGNATURE-----\n");
    let encoded = STANDARD.encode(blob);
    for line in encoded.as_bytes().chunks(70) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text.push_str("-----END SSH SIGNATURE-----\n");
    text.into_bytes()
}

/// What a certificate says.
pub struct Certified<'a> {
    pub principals: &'a [&'a str],
    pub kind: u32,
    pub after: u64,
    pub before: u64,
    pub critical: Option<&'a str>,
}

impl Certified<'_> {
    pub const USER: Certified<'static> = Certified {
        principals: &["alice@example.com"],
        kind: 1,
        after: 0,
        before: u64::MAX,
        critical: None,
    };

    /// For an Ed25519 key, signed by an authority: PROTOCOL.certkeys.
    pub fn blob(&self, key: &Key, authority: &Key) -> Vec<u8> {
        let mut blob = Vec::new();
        put_string(&mut blob, b"ssh-ed25519-cert-v01@openssh.com");
        put_string(&mut blob, b"nonce");
        put_string(&mut blob, key.pair.public_key().as_ref());
        blob.extend(1_u64.to_be_bytes());
        blob.extend(self.kind.to_be_bytes());
        put_string(&mut blob, b"key id");
        let mut principals = Vec::new();
        for one in self.principals {
            put_string(&mut principals, one.as_bytes());
        }
        put_string(&mut blob, &principals);
        blob.extend(self.after.to_be_bytes());
        blob.extend(self.before.to_be_bytes());
        let mut critical = Vec::new();
        if let Some(option) = self.critical {
            put_string(&mut critical, option.as_bytes());
            put_string(&mut critical, b"");
        }
        put_string(&mut blob, &critical);
        put_string(&mut blob, b"");
        put_string(&mut blob, b"");
        put_string(&mut blob, &authority.blob());
        let signature = authority.raw(&blob);
        put_string(&mut blob, &signature);
        blob
    }
}
