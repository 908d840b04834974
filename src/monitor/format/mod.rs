//! Records in the words of what reads them: bytes, and nothing else.

pub mod alert;
pub mod hec;
pub mod journal;
pub mod json;
pub mod ocsf;
pub mod otlp;
pub mod rfc5424;

/// hushpipe's version, where a format names its writer.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
