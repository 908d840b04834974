//! Values in the program's output, and what stands in their place: `run.redact`.
//!
//! Output passes through a [`Stream`] that searches it by [`Patterns`]: keyed digests of the delivered values
//! in all their [`mod@forms`], not the values. Nothing here reads or writes a descriptor.

mod forms;
mod patterns;
mod stream;
#[cfg(test)]
mod tests;

pub use forms::{SHORTEST, forms};
pub use patterns::{Hit, Patterns};
pub use stream::Stream;
