//! Files that a power cut leaves whole, or not there at all.
//!
//! What a file holds is on the disk (fsync(2)) before it gets its name, and the name before anything
//! is done that counts on it: file systems order the two as they like.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Makes a file. One that is there stays as it is: [`io::ErrorKind::AlreadyExists`].
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    put(path, bytes, mode, rename_without_replacing)
}

/// Makes a file, in the place of one that may be there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    put(path, bytes, mode, |new, path| fs::rename(new, path))
}

fn put(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    name: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = write_new(&new, bytes, mode)?.metadata()?;
    if let Err(error) = name(&new, path) {
        remove_if_there(&new)?;
        return Err(error);
    }
    let named = fs::symlink_metadata(path)?;
    if (named.dev(), named.ino()) != (written.dev(), written.ino()) {
        let text = "another process made it at the same time";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    sync_directory(parent(path))
}

/// Writes a file that has no name of its own yet, anew where a killed writer left it.
pub fn write_new(new: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    remove_if_there(new)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(new)?;
    match file.write_all(bytes).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(file),
        Err(error) => {
            fs::remove_file(new)?;
            Err(error)
        }
    }
}

/// Makes a directory, and those above it that are missing.
pub fn make_directories(path: &Path, mode: u32) -> io::Result<()> {
    make_directories_below(Path::new(""), path, mode)
}

/// Makes a directory, and those above it that are missing, but for `root`.
pub fn make_directories_below(root: &Path, path: &Path, mode: u32) -> io::Result<()> {
    match make_directory(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = path.parent().filter(|above| *above != root);
            make_directories_below(root, above.ok_or(error)?, mode)?;
            // Once more and not again: a removed working directory and a link that leads nowhere are
            // there, and nothing can be made in them.
            make_directory(path, mode)
        }
        made => made,
    }
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => sync_directory(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes what happened in a directory last.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    sync_names(&File::open(path)?)
}

/// The same, of one that is open. Where a file system has no such thing for directories (EINVAL, as of
/// some that are shared with a virtual machine), it is as good as it gets.
pub fn sync_names(directory: &File) -> io::Result<()> {
    match directory.sync_all() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// As rename(2), but a file that is there stays: [`io::ErrorKind::AlreadyExists`].
pub fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not know the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => other.map_err(io::Error::from),
    }
}

/// As unlink(2), but it may be gone already.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
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
        std::os::unix::fs::symlink(&other, place.path().join("file.new")).unwrap();
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
        sync_directory(Path::new("/proc")).unwrap();
    }

    #[test]
    fn a_directory_above_that_takes_nothing_ends_the_making() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let error = make_directories(&link.join("a/b"), 0o700).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn nothing_is_made_in_the_place_of_a_root_that_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("gone");
        let error = make_directories_below(&root, &root.join("a"), 0o700).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(names(place.path()).is_empty());
    }
}
