//! The log as a whole.

mod log;
mod tamper;
mod tree;
