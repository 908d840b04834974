//! Alerts: rules on the record stream, with a learnt baseline. All of it is pure but for the file that keeps it;
//! time is given.

mod alert;
mod baseline;
mod file;
mod rules;
mod watch;

#[cfg(test)]
pub use alert::tests;
pub use alert::{Alert, Phase, rfc3339};
pub use file::{Files, read as read_alerts};
pub use watch::{SinkNow, Watch};
