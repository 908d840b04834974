//! Witnesses: c2sp.org/tlog-witness and c2sp.org/tlog-cosignature. A witness remembers the last head of each
//! log, and cosigns a new one only if the log proves that it continues that one. Whoever has a log's key can
//! rewrite the log, but gets no cosignature for that.
//!
//! Pure: who calls remembers, and is the clock.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, decimal, hash};
use super::note::{Note, NoteError, SignerKey, VerifierKey};
use super::tree::{self, Hash};

/// What a log sends: `POST <prefix>/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The size of the head that the proof begins at.
    pub old: u64,
    /// That the new head continues it (RFC 6962, section 2.1.2).
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: String,
}

impl Submission {
    /// More lines than this no proof has.
    const MOST_LINES: usize = 63;
    /// A submission has no more bytes than this.
    pub const LONGEST: usize = 128 << 10;

    /// Parses the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, NoteError> {
        let text = std::str::from_utf8(body).map_err(|_| NoteError("it is not UTF-8"))?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(NoteError("it has no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old
            .and_then(decimal)
            .ok_or(NoteError("it does not begin with the old size"))?;
        let proof: Option<Vec<_>> = lines.map(hash).collect();
        let proof = proof.ok_or(NoteError("a line of the proof is no SHA-256 digest"))?;
        if proof.len() > Self::MOST_LINES {
            return Err(NoteError("its proof has more than 63 lines"));
        }
        let note = note.to_owned();
        Ok(Self { old, proof, note })
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no submission, or its old size is larger than its checkpoint.
    Malformed(NoteError),
    /// The log is none that the witness knows.
    Unknown,
    /// No key that is trusted for the log signed it.
    Unsigned(NoteError),
    /// The last head that was cosigned has another size (this one), or the same and another root.
    Conflict(u64),
    /// The proof does not lead from the last head to this one: the log was rewritten.
    Inconsistent,
}

impl Refusal {
    /// Of HTTP.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Unsigned(_) => 403,
            Self::Unknown => 404,
            Self::Conflict(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "no submission: {error}"),
            Self::Unsigned(error) => write!(f, "not signed by a known key: {error}"),
            Self::Unknown => f.write_str("unknown log"),
            Self::Conflict(size) => write!(f, "the last cosigned checkpoint has {size} records"),
            Self::Inconsistent => f.write_str("the log does not continue the last checkpoint"),
        }
    }
}

/// A witness of some logs.
#[derive(Debug)]
pub struct Witness {
    /// The key that it cosigns with.
    pub key: SignerKey,
    /// The keys of the logs that it knows; the name of a key is its log's.
    pub logs: Vec<VerifierKey>,
}

impl Witness {
    /// Which log a submission is of, if it is one that this witness knows.
    pub fn origin<'a>(&self, submission: &'a Submission) -> Result<&'a str, Refusal> {
        let origin = submission.note.split('\n').next().unwrap_or_default();
        let known = self.logs.iter().any(|key| key.name() == origin);
        known.then_some(origin).ok_or(Refusal::Unknown)
    }

    /// Judges a submission by the last head of its log that was cosigned (`None`: none). What it gives is the
    /// new head, and the whole note: to be kept before the cosignature, its last line, is given away.
    pub fn cosign(
        &self,
        submission: &Submission,
        last: Option<&Checkpoint>,
        time: u64,
    ) -> Result<(Checkpoint, String), Refusal> {
        let origin = self.origin(submission)?;
        let note = Note::parse(submission.note.as_bytes()).map_err(Refusal::Malformed)?;
        let keys = self.logs.iter().filter(|key| key.name() == origin);
        let mut refused = NoteError("it has no signature");
        let mut signed = None;
        for key in keys {
            match note.verify(key) {
                Ok(text) => signed = Some(text),
                Err(error) => refused = error,
            }
        }
        let text = signed.ok_or(Refusal::Unsigned(refused))?;
        let head = Checkpoint::parse(text).map_err(Refusal::Malformed)?;
        if submission.old > head.size {
            let error = NoteError("the old size is larger than the checkpoint's");
            return Err(Refusal::Malformed(error));
        }
        follows(submission, &head, last)?;
        let line = self.key.cosign(text, time);
        Ok((head, format!("{}{line}", submission.note)))
    }
}

/// Whether a head continues the last one.
fn follows(
    submission: &Submission,
    head: &Checkpoint,
    last: Option<&Checkpoint>,
) -> Result<(), Refusal> {
    let size = last.map_or(0, |last| last.size);
    if submission.old != size {
        return Err(Refusal::Conflict(size));
    }
    let Some(last) = last.filter(|last| last.size > 0) else {
        let empty = submission.proof.is_empty();
        return empty.then_some(()).ok_or(Refusal::Inconsistent);
    };
    if head.size == size && head.root != last.root {
        return Err(Refusal::Conflict(size));
    }
    let extends = tree::extends(
        (size, &last.root),
        (head.size, &head.root),
        &submission.proof,
    );
    extends.then_some(()).ok_or(Refusal::Inconsistent)
}

#[cfg(test)]
mod tests {
    use super::super::note::Kind;
    use super::*;

    /// The example of the specification, whose keys are not published.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    /// Trees by their leaves.
    struct Leaves(Vec<Hash>);

    impl tree::Nodes for Leaves {
        type Error = std::convert::Infallible;

        fn node(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
            let range = (index << level) as usize..((index + 1) << level) as usize;
            Ok(tree::perfect(&self.0[range]))
        }
    }

    fn leaves(count: u64, of: &str) -> Leaves {
        let leaf = |number: u64| tree::leaf(format!("{of}{number}").as_bytes());
        Leaves((0..count).map(leaf).collect())
    }

    struct Bench {
        log: SignerKey,
        witness: Witness,
    }

    impl Bench {
        fn new() -> Self {
            let log = SignerKey::generate("web1/hushpipe").unwrap().0;
            let key = SignerKey::generate_of("w1", Kind::Cosignature).unwrap().0;
            let logs = vec![log.verifier().clone()];
            Self {
                log,
                witness: Witness { key, logs },
            }
        }

        fn head(&self, leaves: &Leaves, size: u64) -> Checkpoint {
            Checkpoint {
                origin: self.log.verifier().name().to_owned(),
                size,
                root: tree::root(leaves, size).unwrap(),
            }
        }

        fn submission(&self, leaves: &Leaves, old: u64, size: u64) -> Submission {
            let proof = match old {
                0 => Vec::new(),
                old => tree::consistency(leaves, old, size).unwrap(),
            };
            let note = self.head(leaves, size).sign(&self.log);
            Submission { old, proof, note }
        }
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written_alike() {
        let submission = Submission::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((submission.old, submission.proof.len()), (20_852_014, 4));
        assert_eq!(submission.to_string(), EXAMPLE);
    }

    #[test]
    fn what_is_no_submission_is_refused() {
        let line = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
        for body in [
            String::new(),
            "old 1\n".to_owned(),
            EXAMPLE.replace("old 2", "old 02"),
            EXAMPLE.replace("old ", ""),
            EXAMPLE.replace("PlRN", "PlR"),
            format!("old 1\n{}\nx\n", line.repeat(64)),
        ] {
            assert!(Submission::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Submission::parse(b"old 1\n\xff\n\nx").is_err());
    }

    #[test]
    fn heads_that_continue_the_last_one_are_cosigned() {
        let (bench, leaves) = (Bench::new(), leaves(40, "a"));
        let mut last: Option<Checkpoint> = None;
        for size in [1, 1, 2, 7, 8, 8, 33, 40] {
            let old = last.as_ref().map_or(0, |last| last.size);
            let submission = bench.submission(&leaves, old, size);
            let cosigned = bench
                .witness
                .cosign(&submission, last.as_ref(), 1_700_000_000);
            let (head, note) = cosigned.unwrap();
            assert_eq!(head, bench.head(&leaves, size));
            let note = Note::parse(note.as_bytes()).unwrap();
            let witness = bench.witness.key.verifier();
            assert_eq!(note.cosigned_at(witness).unwrap(), Some(1_700_000_000));
            assert!(note.verify(bench.log.verifier()).is_ok());
            let other = SignerKey::generate_of("w1", Kind::Cosignature).unwrap().0;
            assert_eq!(note.cosigned_at(other.verifier()).unwrap(), None);
            assert!(note.cosigned_at(bench.log.verifier()).is_err());
            last = Some(head);
        }
    }

    #[test]
    fn a_log_that_was_rewritten_is_not_cosigned() {
        let (bench, true_log, forged) = (Bench::new(), leaves(40, "a"), leaves(40, "b"));
        for (cosigned, size) in [(1, 2), (7, 30), (8, 40), (31, 33)] {
            let last = bench.head(&true_log, cosigned);
            let judged = |submission: &Submission| {
                let judged = bench.witness.cosign(submission, Some(&last), 1);
                judged.unwrap_err()
            };
            let submission = bench.submission(&forged, cosigned, size);
            assert_eq!(judged(&submission), Refusal::Inconsistent);
            let submission = bench.submission(&forged, cosigned, cosigned);
            assert_eq!(judged(&submission), Refusal::Conflict(cosigned));
            // Whoever begins at nothing, or at another size, learns the size and nothing else.
            for old in [0, cosigned + 1] {
                let mut submission = bench.submission(&true_log, 0, size);
                submission.old = old;
                assert_eq!(judged(&submission), Refusal::Conflict(cosigned));
            }
            // Cut off.
            let mut submission = bench.submission(&true_log, 0, cosigned.saturating_sub(1));
            submission.old = cosigned;
            assert_eq!(judged(&submission).status(), 400);
        }
    }

    #[test]
    fn strangers_are_refused() {
        let (bench, leaves) = (Bench::new(), leaves(4, "a"));
        let good = bench.submission(&leaves, 0, 4);
        let judge = |submission: &Submission| bench.witness.cosign(submission, None, 1);
        assert!(judge(&good).is_ok());
        let another = SignerKey::generate("web2/hushpipe").unwrap().0;
        let mut head = bench.head(&leaves, 4);
        let note = head.sign(&another);
        let submission = Submission {
            note,
            ..good.clone()
        };
        assert_eq!(judge(&submission).unwrap_err().status(), 403);
        "web2/hushpipe".clone_into(&mut head.origin);
        let note = head.sign(&another);
        let submission = Submission {
            note,
            ..good.clone()
        };
        assert_eq!(judge(&submission).unwrap_err().status(), 404);
        let proof = vec![[0; 32]];
        let submission = Submission { proof, ..good };
        assert_eq!(judge(&submission).unwrap_err().status(), 422);
    }
}
