//! Values: transient bytes that wipe themselves, kept bytes in pages that nobody else reads,
//! keyed digests to notice changes, and the allocator that wipes every freed block.
//!
//! No type here has Debug, Display, Clone or Serialize.

mod alloc;
mod value;

pub use alloc::{WIPING_ALLOCATOR, WipingAllocator};
pub use value::{SecretBytes, Value};
