//! The promise about memory: after the hand-over, hushpipe holds no copy of any value.

mod canary;
mod control;
mod deliveries;
mod leased;
mod logins;
mod rotations;
mod scan;
mod selftest;
mod vault;

pub use canary::Canary;
pub use scan::Scan;
