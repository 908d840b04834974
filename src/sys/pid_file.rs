//! Pid files: what a daemon writes about itself, and anybody may have replaced since.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

/// The longest pid file. A process id has at most 10 digits.
const LONGEST: usize = 64;

/// The process id that a pid file names; `None` if its text is no process id. Follows no link at the
/// path's end, opens no device and waits for no FIFO: only a regular file of at most 64 bytes is read.
pub fn read(path: &Path) -> io::Result<Option<i32>> {
    let flags =
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP => io::Error::other("it is a symbolic link"),
        error => error.into(),
    })?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = [0; LONGEST + 1];
    let mut length = 0;
    while length < text.len() {
        match rustix::io::read(&file, &mut text[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if length > LONGEST {
        return Err(io::Error::other("it is longer than 64 bytes"));
    }
    let text = str::from_utf8(&text[..length]).unwrap_or_default();
    Ok(text.trim().parse().ok().filter(|pid: &i32| *pid > 0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_pid_file_is_a_short_regular_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pid");
        for (text, pid) in [
            ("12\n", Some(12)),
            (" 7", Some(7)),
            ("", None),
            ("0", None),
            ("-3", None),
            ("x", None),
            ("99999999999", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap(), pid, "{text:?}");
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(read(&path).unwrap(), None);
        let refusal = |path: &Path| read(path).unwrap_err().to_string();
        fs::write(&path, [b' '; LONGEST + 1]).unwrap();
        assert_eq!(refusal(&path), "it is longer than 64 bytes");
        fs::write(&path, "12\n").unwrap();
        let link = place.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(refusal(&link), "it is a symbolic link");
        let fifo = place.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for other in [&fifo, place.path(), Path::new("/dev/zero")] {
            assert_eq!(refusal(other), "it is not a regular file", "{other:?}");
        }
        let missing = read(&place.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
