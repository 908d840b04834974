//! The delivery room.
