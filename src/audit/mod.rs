//! The audit log: records of what was released, to whom and why, as leaves of a Merkle tree whose head is
//! signed. [`Log`] adds to it, [`Archive`] reads it, and [`verify()`] says whether it is whole.
//!
//! Rooms that have values are not imported here: a record cannot hold one.

mod archive;
mod checkpoint;
mod directory;
mod error;
mod kept;
mod keyfile;
mod load;
mod log;
mod note;
mod record;
#[cfg(feature = "monitor")]
mod tail;
#[cfg(test)]
mod tests;
pub mod tiles;
pub mod tree;
mod verify;
mod witness;

pub use archive::{Archive, Line};
pub use checkpoint::{Checkpoint, Proof};
pub use error::LogError;
pub use kept::{Cosigned, Kept};
pub use keyfile::{make as make_key, read as read_key};
pub use log::{Hold, Log, Place, SIGN_EVERY};
pub use note::{Kind as KeyKind, Note, NoteError, SignerKey, VerifierKey, is_name};
pub use record::{
    BECOMES, Cut, Delivery, Draft, Entry, Fingerprint, Kind, Peer, Record, Secret, Writer, seq,
};
#[cfg(feature = "monitor")]
pub use tail::{Jump, Tail, Tailed};
pub use verify::{Finding, Seen, Since, Verified, verify};
pub use witness::{Refusal, Submission, Witness};
