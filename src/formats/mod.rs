//! Formats of files that several rooms read.

pub mod ignore;
