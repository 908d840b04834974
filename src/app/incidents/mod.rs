//! Incidents: who has a leaked secret, what replaces it there, and what is refused until it is over.

#[cfg(feature = "monitor")]
mod contain;
#[cfg(feature = "monitor")]
mod desk;
mod place;
#[cfg(feature = "monitor")]
mod suspects;

#[cfg(feature = "monitor")]
pub use desk::{Opened, Opening, Progress, close, list, open, value};
pub use place::Place;
#[cfg(feature = "monitor")]
pub use suspects::{Found, Wanted};
