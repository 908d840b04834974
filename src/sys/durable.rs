//! Files that a power cut leaves whole, or not there at all.
//!
//! What a file holds is on the disk (fsync(2)) before it gets its name, and the name before anything
//! is done that counts on it: file systems order the two as they like.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::filesystem;

/// Makes a file. One that is there stays as it is: [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (directory, name) = place(path)?;
    create_at(&directory, name, bytes, mode)
}

/// As [`create`], in a directory that is open.
pub fn create_at(directory: impl AsFd, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
    put(directory.as_fd(), name, bytes, (mode, None), |new| {
        filesystem::rename_new_at(&directory, new, name)
    })
}

/// Makes a file, in the place of one that may be there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (directory, name) = place(path)?;
    replace_at(&directory, name, bytes, mode)
}

/// As [`replace`], in a directory that is open.
pub fn replace_at(directory: impl AsFd, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_for(directory, name, bytes, (mode, None))
}

/// The same, for a group; `None`: that which files of this process have.
pub fn replace_for(
    directory: impl AsFd,
    name: &OsStr,
    bytes: &[u8],
    (mode, group): (u32, Option<u32>),
) -> io::Result<()> {
    put(directory.as_fd(), name, bytes, (mode, group), |new| {
        filesystem::rename_at(&directory, new, name)
    })
}

/// The directory of a path, open, and the name in it.
fn place(path: &Path) -> io::Result<(File, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((File::open(parent(path))?, name))
}

fn put(
    directory: impl AsFd,
    name: &OsStr,
    bytes: &[u8],
    (mode, group): (u32, Option<u32>),
    rename: impl FnOnce(&OsStr) -> io::Result<()>,
) -> io::Result<()> {
    let mut new = name.to_owned();
    new.push(".new");
    let file = write_new_at(&directory, &new, bytes, mode)?;
    let written = filesystem::status(&file)?;
    let given = filesystem::give_to_group(&file, group);
    if let Err(error) = given.and_then(|()| rename(&new)) {
        filesystem::unlink_at(&directory, &new)?;
        return Err(error);
    }
    let named = filesystem::status_at(&directory, name)?;
    let identity = |status: filesystem::Status| (status.device, status.inode);
    if named.map(identity) != Some(identity(written)) {
        let text = "another process made it at the same time";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    sync_names(directory)
}

/// Writes a file that has no name of its own yet, anew where a killed writer left it. The umask is taken
/// from `mode`.
pub fn write_new_at(
    directory: impl AsFd,
    new: &OsStr,
    bytes: &[u8],
    mode: u32,
) -> io::Result<OwnedFd> {
    filesystem::unlink_at(&directory, new)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, new, flags, Mode::from_raw_mode(mode))?;
    let written = filesystem::write_all(&file, bytes).and_then(|()| Ok(rustix::fs::fsync(&file)?));
    if let Err(error) = written {
        filesystem::unlink_at(&directory, new)?;
        return Err(error);
    }
    Ok(file)
}

/// Makes a directory, and those above it that are missing. A link that leads to nothing is an error.
pub fn make_directories(path: &Path, mode: u32) -> io::Result<()> {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        match fs::metadata(above) {
            Ok(found) if found.is_dir() => break,
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if above.as_os_str().is_empty() => break,
            Err(_) => missing.push(above),
        }
    }
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(mode).create(path) {
            Ok(()) => sync_names(File::open(parent(path))?)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::metadata(path).is_ok_and(|found| found.is_dir()) {
                    let text = format!("{} is a link that leads to nothing", path.display());
                    return Err(io::Error::other(text));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes what happened in a directory last. Where a file system has no such thing for directories (EINVAL,
/// as of some that are shared with a virtual machine), it is as good as it gets.
pub fn sync_names(directory: impl AsFd) -> io::Result<()> {
    match rustix::fs::fsync(directory) {
        Err(Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}

/// The directory that a path's last name is in.
pub fn parent(path: &Path) -> &Path {
    let parent = path.parent();
    parent
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_there_stays_or_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b/file");
        make_directories(path.parent().unwrap(), 0o700).unwrap();
        create(&path, b"first", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let error = create(&path, b"second", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        replace(&path, b"third", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(names(path.parent().unwrap()), ["file"]);
    }

    #[test]
    fn what_a_killed_writer_left_is_neither_followed_nor_kept() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("file"), place.path().join("other"));
        fs::write(&other, "of somebody else").unwrap();
        symlink(&other, place.path().join("file.new")).unwrap();
        create(&path, b"ours", 0o600).unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"of somebody else");
        assert_eq!(names(place.path()), ["file", "other"]);
    }

    #[test]
    fn directories_that_cannot_be_synced_do_no_harm() {
        let proc = File::open("/proc").unwrap();
        assert_eq!(
            proc.sync_all().unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
        sync_names(proc).unwrap();
    }

    #[test]
    fn a_link_that_leads_to_nothing_is_an_error_and_no_loop() {
        let place = tempfile::tempdir().unwrap();
        symlink("nowhere", place.path().join("link")).unwrap();
        for path in ["link", "link/x", "link/x/y"] {
            let error = make_directories(&place.path().join(path), 0o700).unwrap_err();
            assert!(error.to_string().contains("link that leads to nothing"));
        }
        assert_eq!(names(place.path()), ["link"]);
    }
}
