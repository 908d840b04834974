//! Notes, checkpoints, proofs, keys and submissions, as another host may send them, and lines of a log.

use crate::audit::{Checkpoint, Note, Proof, Record, SignerKey, Submission, VerifierKey, seq};

/// Bytes are read as each of them, and refused or not; what was read is written alike.
pub fn audit(data: &[u8]) {
    if let Ok(note) = Note::parse(data)
        && let Ok(checkpoint) = Checkpoint::parse(note.text())
    {
        let again = Checkpoint::parse(&checkpoint.to_string());
        assert_eq!(again.as_ref(), Ok(&checkpoint));
    }
    if let Ok(submission) = Submission::parse(data) {
        let again = Submission::parse(submission.to_string().as_bytes());
        assert_eq!(again, Ok(submission));
    }
    if let Ok(record) = Record::parse(data) {
        assert!(seq(data).is_none_or(|seq| seq == record.seq));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(proof) = Proof::parse(text) {
        assert_eq!(Proof::parse(&proof.to_string()), Ok(proof));
    }
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = SignerKey::parse(text) {
        assert!(VerifierKey::parse(&key.verifier().to_string()).is_ok());
    }
}
