//! What leaves hushpipe about itself: the log on stderr, and its state, by the control socket. It sees
//! events, never values.

pub mod control;
mod log;
mod stamp;
mod status;
mod tally;

pub use log::{Format, Log};
pub use stamp::{Sink, Stamp};
pub use status::Standing;
