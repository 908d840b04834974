//! What a sealed file is bound to: its store, the secret's name and the version.
//!
//! The binding is a stanza of the age header, beside those of the recipients:
//!
//! ```text
//! -> hushpipe-binding
//! BASE64 OF ChaCha20-Poly1305[key](16 bytes: store id, 8 bytes: version, the name in UTF-8)
//! ```
//!
//! `key` is HKDF-SHA-256 of the file key with the label `hushpipe.sealed/v1/binding`; the nonce is zero,
//! as the key is of one file. So it is sealed as the value is, and the header's MAC covers it. Programs
//! that follow the age specification ignore stanzas that they do not know: what `age -d` gives is the
//! value, byte for byte.

use std::cell::RefCell;
use std::collections::HashSet;

use age::secrecy::ExposeSecret;
use age::{DecryptError, EncryptError};
use age_core::format::{FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt, hkdf};

use super::index::StoreId;

/// The stanza's tag.
pub const TAG: &str = "hushpipe-binding";
const LABEL: &[u8] = b"hushpipe.sealed/v1/binding";
/// Of ChaCha20-Poly1305.
const AUTHENTICATOR: usize = 16;

/// What a file is sealed as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Of which store.
    pub store: StoreId,
    /// The secret's name.
    pub name: String,
    /// Which version.
    pub version: u64,
}

impl Binding {
    fn to_bytes(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        [&self.store.0[..], &version, self.name.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (store, rest) = bytes.split_first_chunk()?;
        let (version, name) = rest.split_first_chunk()?;
        Some(Self {
            store: StoreId(*store),
            version: u64::from_be_bytes(*version),
            name: String::from_utf8(name.to_vec()).ok()?,
        })
    }
}

/// Adds the stanza when a file is sealed.
impl age::Recipient for Binding {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let key = hkdf(&[], LABEL, file_key.expose_secret());
        let stanza = Stanza {
            tag: TAG.to_owned(),
            args: Vec::new(),
            body: aead_encrypt(&key, &self.to_bytes()),
        };
        Ok((vec![stanza], HashSet::new()))
    }
}

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it was sealed by another tool, or by a hushpipe that did not bind yet.
    #[default]
    Nothing,
    /// This.
    Binding(Binding),
    /// Something that cannot be opened.
    Damaged,
}

/// An identity that also opens the binding of the file it opens.
pub struct Opener<'a> {
    identity: &'a dyn age::Identity,
    found: &'a RefCell<Found>,
}

impl<'a> Opener<'a> {
    /// What is found goes there; it counts once the file is opened.
    pub fn new(identity: &'a dyn age::Identity, found: &'a RefCell<Found>) -> Self {
        Self { identity, found }
    }
}

impl age::Identity for Opener<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.identity.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let unwrapped = self.identity.unwrap_stanzas(stanzas);
        if let Some(Ok(file_key)) = &unwrapped {
            self.found.replace(find(stanzas, file_key));
        }
        unwrapped
    }
}

fn find(stanzas: &[Stanza], file_key: &FileKey) -> Found {
    let mut ours = stanzas.iter().filter(|stanza| stanza.tag == TAG);
    let (Some(stanza), None) = (ours.next(), ours.next()) else {
        let some = stanzas.iter().any(|stanza| stanza.tag == TAG);
        return if some { Found::Damaged } else { Found::Nothing };
    };
    let key = hkdf(&[], LABEL, file_key.expose_secret());
    let size = stanza.body.len().checked_sub(AUTHENTICATOR);
    let bytes = size.and_then(|size| aead_decrypt(&key, size, &stanza.body).ok());
    let binding = bytes.and_then(|bytes| Binding::from_bytes(&bytes));
    binding.map_or(Found::Damaged, Found::Binding)
}
