//! Values that a text is searched for, without a value being kept: keyed digests of each in all the
//! [`mod@forms`] that it may have in a text. What a program writes is searched (`run.redact`), and what
//! `hushpipe scan --known` reads.

mod forms;
#[expect(clippy::module_inception, reason = "the type has the room's name")]
mod patterns;

pub use forms::{Form, SHORTEST, forms};
pub use patterns::{Hit, Patterns};
