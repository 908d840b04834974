//! Files that commands read and write for people. What is made is whole or not there, also where the
//! power is cut. What is read or appended to may lie in the directory of somebody else: no link is
//! followed, and no FIFO is waited for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::Path;

use crate::sys::filesystem::{self, Kind};
use crate::sys::{beneath, durable};

/// Makes a file. One that is there stays as it is: [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    durable::create(path, text.as_bytes(), mode)
}

/// Makes a file, in the place of one that may be there.
pub fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    durable::replace(path, text.as_bytes(), mode)
}

/// Holds the directory of a file until what is returned is dropped: who reads and replaces the file does so
/// one after the other (flock(2)).
pub fn held(path: &Path) -> io::Result<File> {
    let directory = File::open(durable::parent(path))?;
    directory.lock()?;
    Ok(directory)
}

/// As [`replace`], of a path that a person names: a link, a device or a FIFO that is there stays as it is.
pub fn replace_named(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    match filesystem::status_of_path(path)? {
        Some(there) if there.kind != Kind::File => Err(io::Error::other(
            "it is there, and no regular file: name another one",
        )),
        _ => replace(path, text, mode),
    }
}

/// A file of more bytes is not read.
const MAX_FILE: u64 = 256 << 20;

/// Reads a regular file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MAX_FILE)
}

/// Whether there is a regular file that can be read.
pub fn is_there(path: &Path) -> bool {
    open(path, File::options().read(true)).is_ok()
}

/// The uid of a directory's owner.
pub fn owner(directory: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(directory)?.uid())
}

/// As [`read`], of no more than `most` bytes.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    beneath::read_whole(open(path, File::options().read(true))?, most)
}

/// The same; `-` is standard input.
pub fn read_input(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        beneath::read_whole(io::stdin().lock(), most)
    } else {
        read_at_most(path, most)
    }
}

/// Appends to a regular file, which is made if it is not there.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open(path, File::options().append(true).create(true))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = options.custom_flags(flags).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a link"),
        _ => error,
    })?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no regular file"))
}
