//! Values: transient bytes that wipe themselves, kept bytes in pages that nobody else reads,
//! keyed digests to notice changes, files that are read as trusted, and the allocator that wipes every
//! freed block.
//!
//! No type here that holds bytes of a value has Debug, Display, Clone or Serialize.

mod alloc;
mod buffer;
mod bytes;
mod digest;
mod field;
mod fingerprint;
mod member;
mod pieces;
mod trusted;
mod value;

pub use alloc::{WIPING_ALLOCATOR, WipingAllocator};
pub use buffer::{Buffer, Protection};
pub use bytes::SecretBytes;
pub use digest::{Digest, DigestKey};
pub use field::Field;
pub use fingerprint::FingerprintKey;
pub use pieces::Pieces;
pub use trusted::{FileError, Trusted, read_to_end};
pub use value::{KeptField, KeptValue, Value};
