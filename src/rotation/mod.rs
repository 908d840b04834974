//! Rotation: when a new generation is due, and what happens then. The machine in [`state`] is pure;
//! the composition root feeds it and does what it says.

mod state;

pub use state::{Action, Input, Machine, Rules, State};
