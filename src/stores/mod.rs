//! Stores: where secrets live. One trait; each store is a folder of its own, and a line of the
//! registry.

pub mod check;
#[cfg(feature = "command")]
pub mod command;
#[cfg(feature = "directory")]
pub mod directory;
mod error;
mod family;
pub mod format;
pub mod join;
mod names;
mod numbered;
mod path_watch;
pub mod poll;
mod polled;
pub mod registry;
pub mod sealed;
#[cfg(test)]
#[path = "../../tests/stores/shelf.rs"]
mod shelf;
mod trail;
mod traits;
#[cfg(feature = "vault")]
pub mod vault;

pub use error::{Fault, LastLine, StoreError};
pub use family::{Family, OpenError, Setting};
use traits::looked_at;
pub use traits::{Due, Fetched, Leases, Local, Past, Store, Upkeep, Watch, WatchEvent, Watched};
