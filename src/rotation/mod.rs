//! Rotation: when a new generation is due, what it is made of, and what happens then. All of it is
//! pure: the composition root feeds the machine in [`state`] and does what it says.

mod budget;
mod draft;
#[cfg(test)]
mod simulation;
mod state;

pub use budget::Budget;
pub use draft::{ByName, Draft, Ledger, Reach};
pub use state::{Action, Found, Input, Machine, Means, Rules, State};
