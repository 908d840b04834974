//! The only unsafe code: thin, typed calls. Each unsafe block says why it is sound.

pub mod beneath;
pub mod filesystem;
pub mod host;
pub mod inotify;
pub mod memfd;
pub mod memory;
pub mod pipe;
