//! The rotation room.
