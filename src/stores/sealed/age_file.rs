//! One age file (age-encryption.org/v1): sealing and opening.

use std::cell::RefCell;
use std::io::{BufRead, Read, Write};
use std::path::Path;

use age::DecryptError;
use age::armor::ArmoredReader;

use super::binding::{self, Binding, Found, Opener};
use super::identity::Parsed;
use super::recipients::Recipients;
use crate::secret::SecretBytes;
use crate::stores::Fault;
use crate::stores::format::MAX_VALUE;

/// Room for a header with a few recipients, for the nonce and for the tags of a small value.
const OVERHEAD: usize = 1024;

/// More than an age file of the largest value has: sealing adds less than this.
pub const MAX_SEALED: u64 = (MAX_VALUE + MAX_VALUE / 8) as u64;

/// Seals bytes for the recipients, as what the binding says.
pub fn seal(recipients: &Recipients, binding: &Binding, plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let bound = std::iter::once(binding as &dyn age::Recipient);
    let encryptor =
        age::Encryptor::with_recipients(recipients.iter().chain(bound)).map_err(|_| {
            Fault::Malformed {
                reason: "the recipients cannot be used together".to_owned(),
            }
        })?;
    let mut sealed = Vec::with_capacity(plain.len() + plain.len() / 4096 + OVERHEAD);
    let mut writer = encryptor
        .wrap_output(&mut sealed)
        .expect("writing to a Vec does not fail");
    writer
        .write_all(plain)
        .and_then(|()| writer.finish())
        .expect("writing to a Vec does not fail");
    Ok(sealed)
}

/// Opens what was read from `path`, and gives what it says of itself. Armored files are opened as well.
pub fn open(
    path: &Path,
    sealed: &[u8],
    identities: &Parsed,
    identity_file: &Path,
) -> Result<(SecretBytes, Found), Fault> {
    let armored = sealed.starts_with(b"-----BEGIN AGE");
    let opened = if armored {
        open_stream(ArmoredReader::new(sealed), sealed.len(), identities)
    } else {
        open_stream(sealed, sealed.len(), identities)
    };
    opened.map_err(|fault| explain(&fault, path, sealed, identity_file))
}

enum OpenFault {
    Passphrase,
    Decrypt(DecryptError),
}

/// The plain bytes are fewer than the sealed ones, so that one allocation holds them all.
fn open_stream(
    input: impl BufRead,
    at_most: usize,
    identities: &Parsed,
) -> Result<(SecretBytes, Found), OpenFault> {
    let decryptor = age::Decryptor::new_buffered(input).map_err(OpenFault::Decrypt)?;
    if decryptor.is_scrypt() {
        return Err(OpenFault::Passphrase);
    }
    let found = RefCell::new(Found::Nothing);
    let openers: Vec<_> = identities
        .iter()
        .map(|identity| Opener::new(&**identity, &found))
        .collect();
    let mut reader = decryptor
        .decrypt(openers.iter().map(|opener| opener as &dyn age::Identity))
        .map_err(OpenFault::Decrypt)?;
    let mut plain = vec![0; at_most];
    let mut length = 0;
    let ended = loop {
        match reader.read(&mut plain[length..]) {
            Ok(0) => break Ok(()),
            Ok(read) => length += read,
            Err(error) => break Err(OpenFault::Decrypt(DecryptError::Io(error))),
        }
    };
    plain.truncate(length);
    let plain = SecretBytes::new(plain);
    ended.map(|()| (plain, found.take()))
}

fn explain(fault: &OpenFault, path: &Path, sealed: &[u8], identity_file: &Path) -> Fault {
    let (shown, identity) = (path.display(), identity_file.display());
    match fault {
        OpenFault::Passphrase => Fault::Denied {
            reason: format!(
                "{shown} is sealed with a passphrase, which hushpipe cannot enter: seal it for a \
                 recipient"
            ),
        },
        OpenFault::Decrypt(DecryptError::NoMatchingKeys) => Fault::Denied {
            reason: format!(
                "identity file {identity} does not open it, as it is sealed for {}: use another one, or let \
                 a colleague run what `hushpipe identity` prints",
                stanzas(sealed)
            ),
        },
        OpenFault::Decrypt(_) => Fault::Malformed {
            reason: format!(
                "{shown} is damaged or not an age file: restore it from a backup, or set the secret again"
            ),
        },
    }
}

/// How many recipients a file has, by kind. Their keys are not in it.
fn stanzas(sealed: &[u8]) -> String {
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    for line in sealed.split(|byte| *byte == b'\n') {
        if line.starts_with(b"--- ") {
            break;
        }
        let kind = line
            .strip_prefix(b"-> ")
            .and_then(|stanza| stanza.split(|byte| *byte == b' ').next());
        match kind {
            Some(b"X25519") => *kinds.entry("age (X25519)").or_default() += 1,
            Some(b"ssh-ed25519") => *kinds.entry("ssh-ed25519").or_default() += 1,
            Some(kind) if kind == binding::TAG.as_bytes() => {}
            Some(kind) if !kind.ends_with(b"-grease") => {
                *kinds.entry("other").or_default() += 1;
            }
            _ => {}
        }
    }
    if kinds.is_empty() {
        return "other recipients".to_owned();
    }
    let counted: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let total: usize = kinds.values().sum();
    let noun = if total == 1 {
        "recipient"
    } else {
        "recipients"
    };
    format!("{} {noun}", counted.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::super::index::StoreId;
    use super::*;

    fn pair() -> (Recipients, Parsed) {
        let identity = age::x25519::Identity::generate();
        let text = identity.to_public().to_string();
        let recipients = Recipients::parse(Path::new("r"), &text).ok().unwrap();
        (recipients, vec![Box::new(identity)])
    }

    fn binding() -> Binding {
        Binding {
            store: StoreId([7; 16]),
            name: "a/name".to_owned(),
            version: 3,
        }
    }

    fn opened(sealed: &[u8], identities: &Parsed) -> Result<(SecretBytes, Found), Fault> {
        open(Path::new("1.age"), sealed, identities, Path::new("me"))
    }

    #[test]
    fn bytes_of_every_length_come_back() {
        let (recipients, identities) = pair();
        for length in [0, 1, 100, 65_535, 65_536, 65_537, 10_000_000] {
            let plain: Vec<u8> = (0..length).map(|index| (index % 253) as u8).collect();
            let sealed = seal(&recipients, &binding(), &plain).ok().unwrap();
            assert!(sealed.capacity() < plain.len() + plain.len() / 1000 + 3000);
            let (back, found) = opened(&sealed, &identities).ok().unwrap();
            assert_eq!(found, Found::Binding(binding()));
            assert!(back.expose() == plain, "{length}");
        }
    }

    #[test]
    fn a_file_cut_at_any_length_or_with_any_byte_changed_is_refused() {
        let (recipients, identities) = pair();
        let sealed = seal(&recipients, &binding(), b"a value that matters")
            .ok()
            .unwrap();
        for cut in 0..sealed.len() {
            let fault = opened(&sealed[..cut], &identities).err();
            assert!(
                matches!(fault, Some(Fault::Malformed { .. })),
                "cut at {cut}"
            );
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(opened(&damaged, &identities).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_wrong_identity_is_told_how_many_recipients_there_are() {
        let (recipients, _) = pair();
        let (_, stranger) = pair();
        let sealed = seal(&recipients, &binding(), b"x").ok().unwrap();
        let Some(Fault::Denied { reason }) = opened(&sealed, &stranger).err() else {
            panic!("opened, or another fault");
        };
        assert!(reason.contains("identity file me does not open"));
        assert!(
            reason.contains("sealed for 1 age (X25519) recipient:"),
            "{reason}"
        );
    }
}
