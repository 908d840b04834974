//! `hushpipe monitor`: takes the audit log to where it is looked at. Records become the words of each sink, and
//! a cursor on the disk says how far each sink is.
//!
//! The log on the disk is the spool: nothing is kept in memory but the batch that is being sent.

mod cursor;
mod feed;
mod format;
mod item;
mod metrics;
mod send;

pub use cursor::Cursor;
pub use feed::{Feed, Heard, News, Progress};
pub use item::Item;
pub use metrics::{Dialect, Id, Metrics, number, otlp_body as otlp_metrics, text as metrics_text};
pub use send::{Posts, SendError, Sender};
