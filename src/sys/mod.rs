//! The only unsafe code: thin, typed calls. Each unsafe block says why it is sound.

pub mod beneath;
pub mod inotify;
pub mod memory;
