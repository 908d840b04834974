//! Rotation: when a new generation is due, what it is made of, and what happens then. The machine in
//! [`state`] and the drafts are pure; the [`engine`] does what they say through its effects.

mod budget;
mod draft;
pub mod engine;
#[cfg(test)]
mod simulation;
mod state;

pub use budget::Budget;
pub use draft::{Draft, Fetch, Ledger, Reach};
pub use engine::Engine;
pub use state::{Action, Found, Input, Machine, Means, Rules, State};
