//! Values in the program's output, and what stands in their place: `run.redact`.
//!
//! Output passes through a [`Stream`] that searches it by [`crate::patterns`]: keyed digests of the delivered
//! values in all their forms, not the values. Nothing here reads or writes a descriptor.

mod stream;
#[cfg(test)]
mod tests;

pub use stream::Stream;

use crate::patterns::Form;

/// All forms of a value, and of its lines: a reader may show one of them alone.
pub fn forms(value: &[u8]) -> Vec<Form> {
    let mut forms = crate::patterns::forms(value);
    if memchr::memchr(b'\n', value).is_some() {
        for line in value.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            forms.extend(crate::patterns::forms(line));
        }
    }
    forms
}
