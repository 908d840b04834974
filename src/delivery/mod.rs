//! Deliveries: how values reach the program. `render` makes the payloads; `Layout` knows where
//! files go and whether this host allows it; `prepare_fds` fills pipes and seals memfds; `Files`
//! writes generations and flips between them; `Fifos` serves named pipes.
//!
//! After the hand-over nothing of a payload stays here but what is in a `secret::Buffer`: the rest
//! of a pipe that is still being fed, and what FIFOs give to their next reader.

mod carried;
pub mod dotenv;
mod error;
mod fds;
mod fifo;
mod files;
mod filters;
#[cfg(test)]
mod fixtures;
mod getenv;
mod inspection;
mod items;
mod kept;
mod layout;
mod links;
mod live;
mod made;
mod mount_points;
mod opening;
mod placement;
mod readers;
mod remedies;
mod shared;
mod sweep;
mod template;

pub use carried::{Carried, Owner};
pub use error::{DeliveryError, DeliveryFault, describe};
pub use fds::{Feed, Handover, prepare_fds};
pub use fifo::Fifos;
pub use files::Files;
pub use getenv::{Variables, prepare_variables};
pub use inspection::{Damage, Inspection, PutBack};
pub use layout::{Layout, is_for_others, needs_parent};
pub use links::Links;
pub use live::{Live, Served, Serving};
pub use mount_points::{MountPoints, make_mount_points};
pub use shared::SharedDirectories;
pub use template::{Rendered, render, render_some};
