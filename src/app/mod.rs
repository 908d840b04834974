//! The app room.

pub mod sealed;
