//! Where directories are in their file systems, whatever they are mounted on: proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A place in a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inside {
    /// `major:minor`
    device: String,
    path: PathBuf,
}

/// A line of mountinfo.
#[derive(Debug)]
struct Mount<'a> {
    id: &'a str,
    /// What of which file system is there.
    root: Inside,
    /// Where.
    point: PathBuf,
}

/// Whether a directory shows what another one has, or a part of it, by a mount elsewhere (mount(8),
/// `--bind`): of the other's file system, or of one that is mounted below it.
pub fn shows_part_of(directory: impl AsFd, above: impl AsFd) -> io::Result<bool> {
    let text = fs::read("/proc/self/mountinfo")?;
    let text = String::from_utf8_lossy(&text);
    let mounts: Vec<Mount<'_>> = text.lines().filter_map(mount).collect();
    let ((id, path), (above_id, above)) = (place_of(directory)?, place_of(above)?);
    Ok(is_part(&mounts, (&id, &path), (&above_id, &above)))
}

fn is_part(mounts: &[Mount<'_>], one: (&str, &Path), above: (&str, &Path)) -> bool {
    let Some(found) = inside(mounts, one) else {
        return false;
    };
    let below = mounts
        .iter()
        .filter(|mount| mount.point.starts_with(above.1));
    let regions = below.map(|mount| mount.root.clone());
    inside(mounts, above)
        .into_iter()
        .chain(regions)
        .any(|region| region.device == found.device && found.path.starts_with(&region.path))
}

fn inside(mounts: &[Mount<'_>], (id, path): (&str, &Path)) -> Option<Inside> {
    let mount = mounts.iter().find(|mount| mount.id == id)?;
    let below = path.strip_prefix(&mount.point).ok()?;
    Some(Inside {
        device: mount.root.device.clone(),
        path: mount.root.path.join(below),
    })
}

/// The mount that a descriptor was opened on, and its path.
fn place_of(fd: impl AsFd) -> io::Result<(String, PathBuf)> {
    let fd = fd.as_fd();
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    Ok((id.unwrap_or_default().trim().to_owned(), path))
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let mut fields = line.split(' ');
    let id = fields.next()?;
    let device = fields.nth(1)?.to_owned();
    let (root, point) = (fields.next()?, fields.next()?);
    Some(Mount {
        id,
        root: Inside {
            device,
            path: unescaped(root),
        },
        point: unescaped(point),
    })
}

/// Blanks, backslashes and ends of lines are written as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"25 1 8:1 / / rw - ext4 /dev/sda1 rw
40 25 8:1 /srv/pay/secrets /mnt/a\040b rw - ext4 /dev/sda1 rw
41 25 8:1 /srv/payments /mnt/other rw - ext4 /dev/sda1 rw
42 25 0:50 / /srv/pay/memory rw - tmpfs tmpfs rw
43 25 0:50 /deep /mnt/memory rw - tmpfs tmpfs rw
44 25 0:51 / /mnt/tmp rw - tmpfs tmpfs rw";

    #[test]
    fn a_part_that_is_mounted_elsewhere_is_one() {
        let mounts: Vec<_> = MOUNTS.lines().filter_map(mount).collect();
        let within = |id: &str, path: &str| {
            is_part(
                &mounts,
                (id, Path::new(path)),
                ("25", Path::new("/srv/pay")),
            )
        };
        assert!(within("40", "/mnt/a b"));
        assert!(within("40", "/mnt/a b/deeper"));
        assert!(within("43", "/mnt/memory"));
        assert!(within("25", "/srv/pay/secrets"));
        for (id, path) in [
            ("41", "/mnt/other"),
            ("44", "/mnt/tmp"),
            ("25", "/srv"),
            ("25", "/srv/payments"),
            ("99", "/srv/pay"),
            ("40", "/elsewhere"),
        ] {
            assert!(!within(id, path), "{path}");
        }
    }

    #[test]
    fn names_are_as_they_are() {
        let plain = [
            ("/a\\040b\\134c", "/a b\\c"),
            ("/a\\", "/a\\"),
            ("/\\9x", "/\\9x"),
        ];
        for (written, name) in plain {
            assert_eq!(unescaped(written), Path::new(name));
        }
        assert!(mount("25 1 8:1").is_none());
    }

    #[test]
    fn the_host_says_where_its_directories_are() {
        let open = |path: &str| fs::File::open(path).unwrap();
        let (sys, proc) = (open("/sys"), open("/proc"));
        assert!(shows_part_of(&sys, open("/sys")).unwrap());
        assert!(!shows_part_of(&sys, &proc).unwrap());
    }
}
