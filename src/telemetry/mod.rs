//! What leaves hushpipe about itself: the log on stderr. It sees events, never values.

mod log;

pub use log::{Format, Log, Verbosity};
