//! Checkpoints (c2sp.org/tlog-checkpoint) and proofs that stand for themselves (c2sp.org/tlog-proof).

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{Note, NoteError, SignerKey, VerifierKey};
use super::tree::{self, Hash};

/// A checkpoint has no more bytes than this.
pub const LONGEST: u64 = 64 << 10;

/// What a log says of itself: so many records, under this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many leaves its tree has.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

impl Checkpoint {
    /// Parses the text of a note.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let body = text.strip_suffix('\n').unwrap_or_default();
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError("it has fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(NoteError("a line of it is empty"));
        }
        let size = decimal(size).ok_or(NoteError("its size is no number"))?;
        let root = hash(root).ok_or(NoteError("its root is no SHA-256 digest"))?;
        let origin = origin.to_owned();
        Ok(Self { origin, size, root })
    }

    /// Reads a note that this key signed.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse(note.verify(key)?)?;
        if checkpoint.origin != key.name() {
            return Err(NoteError("it is of another log"));
        }
        Ok(checkpoint)
    }

    /// Signs it.
    pub fn sign(&self, key: &SignerKey) -> String {
        key.sign(&self.to_string())
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)
    }
}

/// A number without leading zeroes.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

pub(super) fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// That a record is in a log, for whoever has the log's verifier key and nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The record's number.
    pub index: u64,
    /// From its sibling up.
    pub path: Vec<Hash>,
    /// The signed checkpoint, as the log wrote it.
    pub checkpoint: String,
}

impl Proof {
    const LEAD: &str = "c2sp.org/tlog-proof@v1\n";

    /// Parses a `.tlog-proof`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const WRONG: NoteError = NoteError("it is no tlog-proof");
        let rest = text.strip_prefix(Self::LEAD).ok_or(WRONG)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(WRONG)?;
        let mut lines = head.split('\n').peekable();
        if let Some(extra) = lines.next_if(|line| line.starts_with("extra ")) {
            STANDARD
                .decode(&extra["extra ".len()..])
                .map_err(|_| WRONG)?;
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal).ok_or(WRONG)?;
        let path: Option<Vec<_>> = lines.map(hash).collect();
        Ok(Self {
            index,
            path: path.ok_or(WRONG)?,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// Whether this record is in the log of this key.
    pub fn verify(&self, record: &[u8], key: &VerifierKey) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), key)?;
        let tree = (checkpoint.size, &checkpoint.root);
        if tree::includes(&tree::leaf(record), self.index, tree, &self.path) {
            return Ok(checkpoint);
        }
        Err(NoteError(
            "the record is not in the log under that checkpoint",
        ))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}index {}", Self::LEAD, self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        f.write_char('\n')?;
        f.write_str(&self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_alike() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_string(), TEXT);
        let longer = Checkpoint::parse(&format!("{TEXT}extension\n")).unwrap();
        assert_eq!(longer, checkpoint);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        let bad = [
            String::new(),
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            format!("a\n\n{root}\n"),
            "a\n1\nCsUY\n".to_owned(),
            format!("a\n1\n{root}"),
            format!("a\n1\n{root}\n\n"),
            format!("a\n1\n{}\n", root.replace('=', "")),
        ];
        for text in bad {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
        assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_ok());
    }

    #[test]
    fn a_checkpoint_of_another_log_by_the_same_key_is_refused() {
        let (key, _) = SignerKey::generate("a").unwrap();
        let mut checkpoint = Checkpoint {
            origin: "a".to_owned(),
            size: 0,
            root: tree::empty(),
        };
        let open = |note: String| Checkpoint::open(note.as_bytes(), key.verifier());
        assert_eq!(open(checkpoint.sign(&key)).unwrap(), checkpoint);
        checkpoint.origin = "b".to_owned();
        assert!(open(checkpoint.sign(&key)).is_err());
    }
}
