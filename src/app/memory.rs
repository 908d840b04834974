//! What is left of values in memory after a hand-over, and what the hand-over needed and rest does
//! not: given back.

use crate::model::{Event, Observer, Topic};
use crate::secret::{Buffer, Protection};
use crate::sys::memory;

/// Overwrites the dead part of the stack, gives freed heap back to the system, and drops the pages of
/// code that were needed for it.
pub fn settle() {
    memory::scrub_stack();
    memory::trim();
    memory::release_code();
}

/// Warns where the values that are kept may reach the swap. Locked, masked memory in the place of
/// memfd_secret(2) is no warning at every start; `doctor` tells of it.
pub fn report_protection(observer: &dyn Observer) {
    let message = match Buffer::new(b"-").map(|buffer| buffer.protection()) {
        Ok(Protection::Secret | Protection::Locked) => return,
        Ok(Protection::Unlocked) => {
            "what is kept (for FIFOs, pipes, leases and logins) lies in masked memory that may \
                                     be swapped out: RLIMIT_MEMLOCK is too low (ulimit -l)"
                .to_owned()
        }
        Err(error) => format!("no memory to keep values in: {error}"),
    };
    observer.observe(&Event::Weaker {
        about: Topic::Memory,
        message,
    });
}
