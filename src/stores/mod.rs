//! Stores: where secrets live. One trait; each store is a file or a folder of its own.

pub mod check;
pub mod command;
pub mod directory;
mod error;
pub mod format;
pub mod join;
mod links;
mod names;
mod numbered;
pub mod poll;
mod polled;
pub mod sealed;
mod traits;
pub mod vault;

pub use error::{Fault, LastLine, StoreError};
use traits::looked_at;
pub use traits::{Due, Fetched, Leases, Local, Past, Store, Upkeep, Watch, WatchEvent, Watched};
