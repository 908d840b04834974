//! The only unsafe code: thin, typed calls. Each unsafe block says why it is sound.

pub mod beneath;
pub mod child;
pub mod clock;
pub mod command;
pub mod container;
pub mod datagram;
pub mod durable;
pub mod environment;
pub mod fd;
pub mod filesystem;
pub mod host;
pub mod inotify;
pub mod limits;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod pidfd;
pub mod pipe;
pub mod process;
pub mod prompt;
pub mod reaper;
pub mod seccomp;
pub mod signals;
pub mod socket;
pub mod terminal;
pub mod users;
