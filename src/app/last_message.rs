//! The end of what a launcher says.

use std::time::Duration;

use crate::sys::stderr;

/// How long a launcher waits at its end for whoever reads its standard error.
const WITHIN: Duration = Duration::from_secs(1);

/// Writes why a launch failed, as the last thing before the process ends.
pub fn last_message(text: &str) {
    stderr::write(text.as_bytes());
    written();
}

/// Before the process ends or becomes the program: waits for what is pending, but not for ever.
pub(super) fn written() {
    stderr::finish(WITHIN);
}
