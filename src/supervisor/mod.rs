//! The supervisor room.

pub mod spawn;
