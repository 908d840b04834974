//! What tests/fuzz throws bytes at. Each function takes any bytes, and panics where what must hold of
//! what hushpipe reads does not. Built for tests and for cargo-fuzz (which sets `cfg(fuzzing)`), never
//! into the program. What looks into a room that hides it is a `fuzzing` of that room.

mod audit;
mod control;
mod dotenv;
mod manifest;
#[cfg(feature = "policy")]
mod policy;
mod request;
#[cfg(test)]
mod seeds;
mod signature;
mod site;
mod template;

pub use audit::audit;
pub use control::control;
pub use dotenv::dotenv;
pub use manifest::manifest;
#[cfg(feature = "policy")]
pub use policy::policy;
pub use request::request;
pub use signature::signature;
pub use site::site;
pub use template::template;

/// Stands in for a value: no message may repeat it.
const CANARY: &str = "c4nary-v4lue";
