//! `hushpipe monitor`: takes the audit log to where it is looked at. Records become the words of each sink, and
//! a cursor on the disk says how far each sink is.
//!
//! The log on the disk is the spool: nothing is kept in memory but the batch that is being sent.

mod alerts;
mod cursor;
mod feed;
mod format;
mod item;
mod metrics;
mod notify;
mod send;
#[cfg(test)]
mod speed;

pub use alerts::{Alert, Files, Phase, SinkNow, Watch, read_alerts, rfc3339};
pub use cursor::{Cursor, cursor_name};
pub use feed::{Feed, Heard, News, Progress};
pub use item::Item;
pub use metrics::{
    Dialect, Id, Metrics, number, of_launchers as launcher_metrics, otlp_body as otlp_metrics,
    text as metrics_text,
};
pub use notify::{AGAIN, Receiver};
pub use send::{Posts, SendError, Sender};
