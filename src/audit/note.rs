//! Signed notes: c2sp.org/signed-note. Text, an empty line, and one line a signature.
//!
//! A log signs by Ed25519 (type 0x01); a witness signs by a timestamped Ed25519 cosignature (type 0x04,
//! c2sp.org/tlog-cosignature).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::sys::memory::fill_random;

/// A note has no more signatures than this; the specification wants 16 at least.
const MOST_SIGNATURES: usize = 64;

/// What begins a line with a signature.
const DASH: &str = "\u{2014} ";

/// Why a key or a note is not one, or is not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoteError(pub &'static str);

/// What a signature is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0x01: the note's text.
    Ed25519,
    /// 0x04: the text of a checkpoint, and a time.
    Cosignature,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Ed25519),
            4 => Some(Self::Cosignature),
            _ => None,
        }
    }
}

/// A public key with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: Kind,
    public: [u8; 32],
}

impl VerifierKey {
    /// Of this name, which [`is_name`] accepts.
    pub fn new(name: &str, kind: Kind, public: [u8; 32]) -> Self {
        let name = name.to_owned();
        Self { name, kind, public }
    }

    /// Parses a vkey: `<key name>+hex(32-bit key ID)+base64(signature type || public key)`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const WRONG: NoteError = NoteError(
            "it is no verifier key: NAME+8 hex digits+base64, as `hushpipe audit key` prints",
        );
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(WRONG);
        };
        let material = STANDARD.decode(key).map_err(|_| WRONG)?;
        let (kind, public) = material.split_first().ok_or(WRONG)?;
        let kind = Kind::of(*kind).ok_or(NoteError("its signature type is not Ed25519"))?;
        let public = public.try_into().map_err(|_| WRONG)?;
        let key = Self::new(name, kind, public);
        if !is_name(name) || id != format!("{:08x}", key.id()) {
            return Err(NoteError("its key ID does not belong to its name and key"));
        }
        Ok(key)
    }

    /// Whether it is a witness's.
    pub fn is_witness(&self) -> bool {
        self.kind == Kind::Cosignature
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `SHA-256(key name || 0x0A || signature type || public key)[:4]`.
    pub fn id(&self) -> u32 {
        let mut text = self.name.as_bytes().to_vec();
        text.extend([b'\n', self.kind.byte()]);
        text.extend(self.public);
        let id = digest(&SHA256, &text).as_ref()[..4].try_into();
        u32::from_be_bytes(id.expect("four bytes"))
    }

    /// Whether it signed that text. `None`: there is no signature of this key.
    fn verify(&self, text: &str, signature: &Signature) -> Option<bool> {
        if signature.name != self.name || signature.id != self.id() {
            return None;
        }
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        Some(match self.kind {
            Kind::Ed25519 => key.verify(text.as_bytes(), &signature.bytes).is_ok(),
            Kind::Cosignature => {
                signature
                    .bytes
                    .split_first_chunk::<8>()
                    .is_some_and(|(time, signature)| {
                        let message = cosigned(u64::from_be_bytes(*time), text);
                        key.verify(message.as_bytes(), signature).is_ok()
                    })
            }
        })
    }
}

/// What a witness signs (c2sp.org/tlog-cosignature, Ed25519 signed message).
fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend(self.public);
        let key = STANDARD.encode(key);
        write!(f, "{}+{:08x}+{key}", self.name, self.id())
    }
}

/// Whether that can be the name of a key: not empty, no spaces of Unicode, no plus; and none of ASCII's
/// control characters, which no note may have.
pub fn is_name(text: &str) -> bool {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !text.is_empty() && !text.contains(bad)
}

/// A private key with its name.
pub struct SignerKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignerKey").field(&self.verifier).finish()
    }
}

impl SignerKey {
    /// What a key file begins with: the format of golang.org/x/mod/sumdb/note,
    /// `PRIVATE+KEY+<name>+<key ID>+<base64(signature type || seed)>`.
    const LEAD: &str = "PRIVATE+KEY+";

    fn of_seed(name: &str, kind: Kind, seed: &[u8]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        let pair = pair.map_err(|_| NoteError("its key has another length than 32 bytes"))?;
        let public = pair.public_key().as_ref().try_into();
        let public = public.expect("Ed25519 keys have 32 bytes");
        let verifier = VerifierKey::new(name, kind, public);
        Ok(Self { verifier, pair })
    }

    /// Makes a key of a log; gives the text of its file as well. The error is the kernel's word when it has
    /// no randomness.
    pub fn generate(name: &str) -> std::io::Result<(Self, Zeroizing<String>)> {
        Self::generate_of(name, Kind::Ed25519)
    }

    /// Makes a key of this kind.
    pub fn generate_of(name: &str, kind: Kind) -> std::io::Result<(Self, Zeroizing<String>)> {
        let mut material = Zeroizing::new([0; 33]);
        material[0] = kind.byte();
        fill_random(&mut material[1..])?;
        let key = Self::of_seed(name, kind, &material[1..]).map_err(std::io::Error::other)?;
        let secret = Zeroizing::new(STANDARD.encode(*material));
        let id = key.verifier.id();
        let text = format!("{}{name}+{id:08x}+{}\n", Self::LEAD, *secret);
        Ok((key, Zeroizing::new(text)))
    }

    /// Parses the text of a key file.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const WRONG: NoteError = NoteError("it is no key file of an audit log");
        let text = text.strip_suffix('\n').unwrap_or(text);
        let rest = text.strip_prefix(Self::LEAD).ok_or(WRONG)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(WRONG);
        };
        let mut material = STANDARD.decode(key).map_err(|_| WRONG)?;
        let parsed = match material.split_first() {
            Some((kind, seed)) if is_name(name) => Kind::of(*kind)
                .ok_or(WRONG)
                .and_then(|kind| Self::of_seed(name, kind, seed)),
            _ => Err(WRONG),
        };
        material.zeroize();
        parsed.and_then(|parsed| {
            let fits = id == format!("{:08x}", parsed.verifier.id());
            fits.then_some(parsed)
                .ok_or(NoteError("its key ID does not belong to its key"))
        })
    }

    /// The public half.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Makes a note of a text, which ends in a newline.
    pub fn sign(&self, text: &str) -> String {
        let signature = Signature {
            name: self.verifier.name.clone(),
            id: self.verifier.id(),
            bytes: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}\n{signature}")
    }

    /// The line by which a witness cosigns the text of a checkpoint, with its end. `time`: seconds since 1970.
    pub fn cosign(&self, text: &str, time: u64) -> String {
        let mut bytes = time.to_be_bytes().to_vec();
        bytes.extend(self.pair.sign(cosigned(time, text).as_bytes()).as_ref());
        let signature = Signature {
            name: self.verifier.name.clone(),
            id: self.verifier.id(),
            bytes,
        };
        signature.to_string()
    }
}

/// One line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

impl Signature {
    /// What a cosignature begins with.
    fn time(&self) -> Option<u64> {
        let (time, _) = self.bytes.split_first_chunk::<8>()?;
        Some(u64::from_be_bytes(*time))
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = STANDARD.decode(signature).ok()?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: u32::from_be_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend(&self.bytes);
        writeln!(f, "{DASH}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A note whose signatures are still to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// Parses a note, all of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError("it is not UTF-8"))?;
        if whole.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(NoteError("it has control characters"));
        }
        let end = whole
            .rfind("\n\n")
            .ok_or(NoteError("it has no empty line before signatures"))?;
        let (text, lines) = (&whole[..=end], &whole[end + 2..]);
        let lines = lines.strip_suffix('\n');
        let lines = lines.ok_or(NoteError("its last line does not end"))?;
        let signatures: Option<Vec<_>> = lines.split('\n').map(Signature::parse).collect();
        let signatures = signatures.ok_or(NoteError("a line of a signature is malformed"))?;
        if signatures.len() > MOST_SIGNATURES {
            return Err(NoteError("it has too many signatures"));
        }
        let text = text.to_owned();
        Ok(Self { text, signatures })
    }

    /// The text, whoever signed it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When this witness cosigned it: seconds since 1970. `None`: it did not. It is an error if a line says so
    /// and does not verify.
    pub fn cosigned_at(&self, witness: &VerifierKey) -> Result<Option<u64>, NoteError> {
        if witness.kind != Kind::Cosignature {
            return Err(NoteError("the key is no witness's"));
        }
        let mut latest = None;
        for signature in &self.signatures {
            match witness.verify(&self.text, signature) {
                Some(true) => latest = latest.max(signature.time()),
                Some(false) => return Err(NoteError("the cosignature is wrong")),
                None => {}
            }
        }
        Ok(latest)
    }

    /// The text, if this key signed it. Signatures of other keys are ignored; one of this key that does
    /// not verify is an error.
    pub fn verify(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let mut signed = false;
        for signature in &self.signatures {
            match key.verify(&self.text, signature) {
                Some(true) => signed = true,
                Some(false) => return Err(NoteError("the signature is wrong")),
                None => {}
            }
        }
        let text = signed.then_some(self.text.as_str());
        text.ok_or(NoteError("it is signed by another key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_example_of_the_specification_verifies() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(&key).unwrap(), "This is an example message.\n");
    }

    #[test]
    fn each_changed_byte_is_found() {
        let key = VerifierKey::parse(KEY).unwrap();
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let verified = Note::parse(&bytes).and_then(|note| note.verify(&key).map(drop));
            assert!(verified.is_err(), "byte {at}");
        }
    }

    #[test]
    fn signatures_of_other_keys_are_ignored_and_do_not_suffice() {
        let (ours, file) = SignerKey::generate("host.example/hushpipe").unwrap();
        let (theirs, _) = SignerKey::generate("host.example/hushpipe").unwrap();
        let note = ours.sign("one\n\ntwo\n");
        let second = theirs.sign("one\n\ntwo\n");
        let both = format!("{note}{}", second.rsplit("\n\n").next().unwrap());
        let note = Note::parse(both.as_bytes()).unwrap();
        assert_eq!(note.verify(ours.verifier()).unwrap(), "one\n\ntwo\n");
        assert_eq!(note.verify(theirs.verifier()).unwrap(), "one\n\ntwo\n");
        let (other, _) = SignerKey::generate("other").unwrap();
        let error = note.verify(other.verifier()).unwrap_err();
        assert_eq!(error.to_string(), "it is signed by another key");
        let again = SignerKey::parse(&file).unwrap();
        assert_eq!(again.verifier(), ours.verifier());
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let bad: &[&str] = &[
            "",
            "text\n",
            "text\n\n",
            "text\n\n\u{2014} name AAAAAAA=",
            "text\n\n- name AAAAAAAA\n",
            "text\n\n\u{2014} na+me AAAAAAAA\n",
            "text\n\n\u{2014} name AAAAAA==\n",
            "te\txt\n\n\u{2014} name AAAAAAAA\n",
        ];
        for note in bad {
            assert!(Note::parse(note.as_bytes()).is_err(), "{note:?}");
        }
    }

    #[test]
    fn a_key_of_another_name_is_none() {
        for text in [
            "",
            "a+b",
            "a+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        ] {
            assert!(VerifierKey::parse(text).is_err(), "{text:?}");
        }
        let (_, file) = SignerKey::generate("name").unwrap();
        assert!(SignerKey::parse(&file.replace("+name+", "+eman+")).is_err());
        assert!(SignerKey::parse("PRIVATE+KEY+name").is_err());
    }

    #[test]
    fn a_cosignature_covers_its_time() {
        // The public key and the cosignature of the example in tlog-cosignature are not published
        // together: a pair of our own, by the text of the specification.
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let key = VerifierKey::new("witness.example.com/w1", Kind::Cosignature, public);
        let text =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let message = format!("cosignature/v1\ntime 1679315147\n{text}");
        let mut bytes = 1_679_315_147_u64.to_be_bytes().to_vec();
        bytes.extend(pair.sign(message.as_bytes()).as_ref());
        let line = |bytes: &[u8]| Signature {
            name: key.name.clone(),
            id: key.id(),
            bytes: bytes.to_vec(),
        };
        let note =
            |bytes: &[u8]| Note::parse(format!("{text}\n{}", line(bytes)).as_bytes()).unwrap();
        assert_eq!(note(&bytes).verify(&key).unwrap(), text);
        bytes[7] ^= 1;
        assert!(note(&bytes).verify(&key).is_err());
    }
}
