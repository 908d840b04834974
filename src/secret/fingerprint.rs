//! Fingerprints: by the key of a site, a leaked value is found in the audit log of each of its hosts.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Buffer, SecretBytes, Value};

/// The key of a site's fingerprints.
pub struct FingerprintKey(Buffer);

impl FingerprintKey {
    /// The shortest key: 128 bits as they come.
    pub const SHORTEST: usize = 16;

    /// Of a key file's bytes, without the line end of an editor; `None`: they are too short. The error is
    /// the kernel's word when it has no memory.
    pub fn new(file: &SecretBytes) -> std::io::Result<Option<Self>> {
        let bytes = file.expose();
        let end = bytes
            .iter()
            .rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let key = &bytes[..end.map_or(0, |last| last + 1)];
        let fits = key.len() >= Self::SHORTEST;
        fits.then(|| Buffer::new(key).map(Self)).transpose()
    }

    /// Of bytes that were decoded: all of them are the key.
    pub fn exactly(key: &SecretBytes) -> std::io::Result<Self> {
        Buffer::new(key.expose()).map(Self)
    }

    /// HMAC-SHA256 (RFC 2104) of these bytes.
    pub fn of(&self, bytes: &[u8]) -> [u8; 32] {
        self.0.with(|key| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(bytes);
            mac.finalize().into_bytes().into()
        })
    }

    /// Of all bytes, or of each field's.
    pub fn of_value(&self, value: &Value) -> Vec<[u8; 32]> {
        let parts = value.parts().into_iter();
        parts.map(|part| self.of(part.expose())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &[u8]) -> SecretBytes {
        SecretBytes::new(text.to_vec())
    }

    #[test]
    fn it_is_hmac_sha256_of_the_bytes_alone() {
        // RFC 4231, test case 1.
        let key = FingerprintKey::new(&bytes(&[0x0b; 20])).unwrap().unwrap();
        let wanted = [
            0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b,
            0xf1, 0x2b, 0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c,
            0x2e, 0x32, 0xcf, 0xf7,
        ];
        assert_eq!(key.of(b"Hi There"), wanted);
        assert_eq!(key.of_value(&Value::bytes(bytes(b"Hi There"))), [wanted]);
    }

    #[test]
    fn short_keys_are_refused_and_line_ends_do_not_count() {
        assert!(
            FingerprintKey::new(&bytes(b"0123456789abcde\n"))
                .unwrap()
                .is_none()
        );
        let one = FingerprintKey::new(&bytes(b"0123456789abcdef\n"))
            .unwrap()
            .unwrap();
        let two = FingerprintKey::new(&bytes(b"0123456789abcdef"))
            .unwrap()
            .unwrap();
        assert_eq!(one.of(b"x"), two.of(b"x"));
    }
}
