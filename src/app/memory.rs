//! What is left of values in memory after a hand-over, and what start-up needed and nothing else
//! does: given back.

use crate::sys::memory;

/// Overwrites the dead part of the stack and gives freed heap back to the system.
pub fn settle() {
    memory::scrub_stack();
    memory::trim();
}

/// [`settle`], and drops the pages of code that only start-up needed.
pub fn settle_after_launch() {
    settle();
    memory::release_startup_pages();
}
