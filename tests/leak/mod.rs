//! The promise about memory: after the hand-over, hushpipe holds no copy of any value.

mod commands;
mod control;
mod control_groups;
mod deliveries;
mod dumps;
mod events;
mod exec;
mod fault;
mod getenv;
mod in_use;
mod leased;
mod logins;
mod matrix;
mod others;
mod rotations;
mod scan;
mod selftest;
mod site;
mod stocked;
mod vault;
mod written;

use crate::harness::canary;

pub use canary::Canary;
pub use scan::Scan;

/// What the probe writes of a value.
fn digest(value: &str) -> String {
    use sha2::Digest as _;
    format!("digest {:x}", sha2::Sha256::digest(value.as_bytes()))
}
