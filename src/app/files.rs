//! Files that commands write for people: whole, or not at all, also where the power is cut.

use std::io;
use std::path::Path;

use crate::sys::durable;

/// Makes a file. One that is there stays as it is: [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    durable::create(path, text.as_bytes(), mode)
}

/// Makes a file, in the place of one that may be there.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    durable::replace(path, text.as_bytes(), mode)
}
