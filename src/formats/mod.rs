//! Formats of files that several rooms read.

pub mod ignore;
#[cfg(any(feature = "scan", feature = "report"))]
pub mod tar;
