//! POSIX ACLs as the kernel keeps them (acl(5), linux/posix_acl_xattr.h): whom beside owner, group and
//! others they let write.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::filesystem;

const NAME: &str = "system.posix_acl_access";
const VERSION: u32 = 2;
const WRITE: u16 = 0o2;

const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// Who may write by an ACL, beside its owner and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granted {
    /// The file's own group.
    OwnGroup,
    User(u32),
    Group(u32),
}

/// Who may write to what an O_PATH descriptor stands for; `None`: it has no ACL.
pub(super) fn writers(fd: impl AsFd) -> io::Result<Option<Vec<Granted>>> {
    match read(fd.as_fd()) {
        Ok(bytes) => parse(&bytes)
            .map(Some)
            .ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn read(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 4096];
    loop {
        // O_PATH descriptors have no attributes: by way of /proc, else by opening it.
        let size = match fs::getxattr(filesystem::path_of(fd), NAME, &mut buffer[..]) {
            Err(Errno::NOENT) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = fs::openat(fd, ".", flags, Mode::empty())?;
                fs::fgetxattr(opened, NAME, &mut buffer[..])
            }
            other => other,
        };
        match size {
            Ok(size) => {
                buffer.truncate(size);
                return Ok(buffer);
            }
            // The kernel's own limit of an attribute.
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(1 << 16, 0),
            Err(errno) => return Err(errno),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Vec<Granted>> {
    let (version, entries) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let entries = entries.chunks_exact(8).map(|entry| {
        let short = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        (short(0), short(2), id)
    });
    let mask = entries.clone().find(|(tag, _, _)| *tag == MASK);
    let mask = mask.map_or(u16::MAX, |(_, permissions, _)| permissions);
    let granted = entries.filter(|(_, permissions, _)| permissions & mask & WRITE != 0);
    Some(
        granted
            .filter_map(|(tag, _, id)| match tag {
                USER => Some(Granted::User(id)),
                GROUP_OBJ => Some(Granted::OwnGroup),
                GROUP => Some(Granted::Group(id)),
                _ => None,
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_mask_takes_away_what_an_entry_grants() {
        let entries = [(1, 7, 0), (USER, 7, 1000), (GROUP_OBJ, 7, 0), (GROUP, 5, 9)];
        let with = |mask| acl(&[&entries[..], &[(MASK, mask, 0), (0x20, 7, 0)]].concat());
        let granted = [Granted::User(1000), Granted::OwnGroup];
        assert_eq!(parse(&with(7)).unwrap(), granted);
        assert_eq!(parse(&with(5)).unwrap(), []);
    }

    #[test]
    fn what_is_no_acl_grants_nothing_and_is_no_acl() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[3, 0, 0, 0]), None);
        assert_eq!(parse(&[2, 0, 0, 0, 1]), None);
        assert_eq!(parse(&acl(&[])), Some(Vec::new()));
    }
}
