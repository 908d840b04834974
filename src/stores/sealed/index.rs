//! The index of a sealed store: what the store holds, signed by the one who wrote last.
//!
//! ```text
//! hushpipe-sealed-index 1
//! store 3f0c…                             the store's id: 16 random bytes, given by `init`
//! number 7                                grows with every write
//! recipient 1 SIGNATURE age1… by age1…    who can open the store and write it, since which number,
//!                                         and who let them in, with their signature
//! current 2 db/password                   the current version
//! version 1 bound SHA256 db/password      each version: the digest of its age file, and whether the
//! version 2 bound SHA256 db/password      file has a binding
//! removed old/secret
//! signer age1…                            one of the recipients
//! signature BASE64                        of all that is above
//! ```
//!
//! Lines are in this order, names and recipients sorted: one state has one text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::key::Key;
use super::signing::{self, Signature, Signer};
use crate::model::hex;

const FIRST_LINE: &str = "hushpipe-sealed-index 1";

/// SHA-256.
pub type FileDigest = [u8; 32];

/// The id of a store, random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId(pub [u8; 16]);

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Which store.
    pub store: StoreId,
    /// Grows with every write.
    pub number: u64,
    /// Who can open and write it: by recipient.
    pub members: BTreeMap<String, Member>,
    /// By name.
    pub secrets: BTreeMap<String, Secret>,
}

/// How a recipient came to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// With which number of the index.
    pub since: u64,
    /// Who let them in; the one who made the store: themselves.
    pub by: String,
    /// By that one.
    pub signature: Signature,
}

/// The versions of a secret. None: it was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secret {
    /// The current one.
    pub current: u64,
    /// All of them.
    pub versions: BTreeMap<u64, Entry>,
}

/// One version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of its age file.
    pub digest: FileDigest,
    /// Whether the file says what it is sealed as. Those of before do not.
    pub bound: bool,
}

/// An index as it is on the disk.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What it says.
    pub index: Index,
    /// Who signed.
    pub signer: String,
    signature: Signature,
}

impl Secret {
    /// Whether there is none any more.
    pub fn is_removed(&self) -> bool {
        self.versions.is_empty()
    }

    /// Whether these are the bytes of a version's file.
    pub fn is_version(&self, version: u64, bytes: &[u8]) -> bool {
        let entry = self.versions.get(&version);
        entry.is_some_and(|entry| entry.digest == digest(bytes))
    }

    /// The number of the next version.
    pub fn next(&self) -> u64 {
        self.versions.keys().next_back().unwrap_or(&0) + 1
    }
}

impl Index {
    /// Of a new store.
    pub const fn new(store: StoreId) -> Self {
        Self {
            store,
            number: 0,
            members: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// The secret of this name, if there is one.
    pub fn secret(&self, key: &Key) -> Option<&Secret> {
        let secret = self.secrets.get(key.as_str());
        secret.filter(|secret| !secret.is_removed())
    }

    /// Makes a recipient a member from the next number on.
    pub fn admit(&mut self, recipient: &str, signer: &Signer) -> std::io::Result<()> {
        let since = self.number + 1;
        let by = signer.recipient().to_owned();
        let signature = signer.sign(&endorsement(self.store, since, recipient))?;
        let member = Member {
            since,
            by,
            signature,
        };
        self.members.insert(recipient.to_owned(), member);
        Ok(())
    }

    /// The members that `known` ones vouch for, who were there at `number`, and who those vouch for.
    /// Who was known and is no member any more counts as one who lets others in. A member that is older
    /// than `number` and not known was taken out meanwhile.
    pub fn vouched_for(&self, known: &BTreeSet<String>, number: u64) -> BTreeSet<String> {
        let mut trusted = known.clone();
        loop {
            let before = trusted.len();
            for (recipient, member) in &self.members {
                if !trusted.contains(recipient)
                    && member.since > number
                    && trusted.contains(&member.by)
                    && self.is_endorsed(recipient, member)
                {
                    trusted.insert(recipient.clone());
                }
            }
            if trusted.len() == before {
                return trusted;
            }
        }
    }

    fn is_endorsed(&self, recipient: &str, member: &Member) -> bool {
        let message = endorsement(self.store, member.since, recipient);
        signing::verify(&member.by, &message, &member.signature)
    }

    /// The text of the index with the next number, signed.
    pub fn sign(&mut self, signer: &Signer) -> std::io::Result<String> {
        self.number += 1;
        let mut text = self.text(signer.recipient());
        let signature = STANDARD.encode(signer.sign(text.as_bytes())?);
        writeln!(text, "signature {signature}").expect("a String grows");
        Ok(text)
    }

    /// All that is signed.
    fn text(&self, signer: &str) -> String {
        let mut text = String::new();
        let mut write = |line: fmt::Arguments| {
            writeln!(text, "{line}").expect("a String grows");
        };
        write(format_args!("{FIRST_LINE}"));
        write(format_args!("store {}", self.store));
        write(format_args!("number {}", self.number));
        for (recipient, member) in &self.members {
            let signature = STANDARD.encode(member.signature);
            let (since, by) = (member.since, &member.by);
            write(format_args!(
                "recipient {since} {signature} {recipient} by {by}"
            ));
        }
        for (name, secret) in &self.secrets {
            if secret.is_removed() {
                write(format_args!("removed {name}"));
                continue;
            }
            write(format_args!("current {} {name}", secret.current));
            for (version, entry) in &secret.versions {
                let bound = if entry.bound { "bound" } else { "unbound" };
                let digest = hex(&entry.digest);
                write(format_args!("version {version} {bound} {digest} {name}"));
            }
        }
        write(format_args!("signer {signer}"));
        text
    }
}

impl Signed {
    /// Reads an index; says nothing of the signature yet. `None`: it is none, or not whole.
    pub fn parse(text: &str) -> Option<Self> {
        let (signed, signature) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let signature = signature_of(signature.strip_prefix("signature ")?)?;
        let (content, signer) = signed.rsplit_once('\n')?;
        let signer = signer.strip_prefix("signer ")?.to_owned();
        let index = read(content)?;
        let one = Self {
            index,
            signer,
            signature,
        };
        (one.index.text(&one.signer) == format!("{signed}\n")).then_some(one)
    }

    /// Whether the signer, who is one of the members, signed it.
    pub fn is_genuine(&self) -> bool {
        let text = self.index.text(&self.signer);
        self.index.members.contains_key(&self.signer)
            && signing::verify(&self.signer, text.as_bytes(), &self.signature)
    }
}

fn read(content: &str) -> Option<Index> {
    let mut lines = content.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let store = lines.next()?.strip_prefix("store ")?.parse().ok()?;
    let mut index = Index::new(store);
    index.number = lines.next()?.strip_prefix("number ")?.parse().ok()?;
    for line in lines {
        read_line(&mut index, line)?;
    }
    let whole =
        |secret: &Secret| secret.is_removed() || secret.versions.contains_key(&secret.current);
    index.secrets.values().all(whole).then_some(index)
}

fn read_line(index: &mut Index, line: &str) -> Option<()> {
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "recipient" => {
            let (since, rest) = rest.split_once(' ')?;
            let (signature, rest) = rest.split_once(' ')?;
            let (recipient, by) = rest.split_once(" by ")?;
            let all = [recipient, by];
            let member = Member {
                since: since.parse().ok()?,
                by: by.to_owned(),
                signature: signature_of(signature)?,
            };
            index.members.insert(recipient.to_owned(), member);
            all.iter()
                .all(|one| signing::is_recipient(one))
                .then_some(())
        }
        "removed" => {
            index.secrets.entry(name(rest)?).or_default();
            Some(())
        }
        "current" => {
            let (version, rest) = rest.split_once(' ')?;
            index.secrets.entry(name(rest)?).or_default().current = version.parse().ok()?;
            Some(())
        }
        "version" => {
            let (version, rest) = rest.split_once(' ')?;
            let (bound, rest) = rest.split_once(' ')?;
            let (digest, rest) = rest.split_once(' ')?;
            let entry = Entry {
                digest: unhex(digest)?,
                bound: bound == "bound",
            };
            let secret = index.secrets.entry(name(rest)?).or_default();
            let version = version.parse().ok().filter(|version| *version > 0)?;
            secret.versions.insert(version, entry);
            Some(())
        }
        _ => None,
    }
}

fn name(text: &str) -> Option<String> {
    Key::parse(text).ok().map(|key| key.as_str().to_owned())
}

fn signature_of(text: &str) -> Option<Signature> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn endorsement(store: StoreId, since: u64, recipient: &str) -> Vec<u8> {
    format!("hushpipe-sealed-recipient 1\nstore {store}\nnumber {since}\nrecipient {recipient}\n")
        .into_bytes()
}

/// The digest of a file's bytes.
pub fn digest(bytes: &[u8]) -> FileDigest {
    Sha256::digest(bytes).into()
}

/// The reverse of [`hex`]; `None`: other digits, or another length.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::str::FromStr for StoreId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        unhex(text).map(Self).ok_or(())
    }
}
