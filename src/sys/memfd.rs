//! Sealed memory files, memfd_create(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::filesystem;

/// What it is called in /proc: no more than that it is ours.
const NAME: &str = "hushpipe";

/// The permission bits that it is made with.
pub const MODE: u32 = 0o400;

/// A memory file with these bytes that nobody can change, at offset 0; read-only where /proc is
/// mounted. It belongs to its maker, who alone can open it anew by /dev/fd/N. The descriptor closes at
/// exec unless it is passed on.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match fs::memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag.
        Err(Errno::INVAL) => fs::memfd_create(NAME, flags),
        made => made,
    }?;
    filesystem::write_all(&file, bytes)?;
    filesystem::change_mode(&file, MODE)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fs::fcntl_add_seals(&file, seals)?;
    if let Some(readonly) = filesystem::reopen_readonly(file.as_fd())? {
        return Ok(readonly);
    }
    fs::seek(&file, fs::SeekFrom::Start(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn what_is_sealed_is_read_again_and_never_written() {
        for length in [0, 5, 10 << 20] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let mut file = std::fs::File::from(sealed(&bytes).unwrap());
            for _ in 0..2 {
                let mut read = Vec::new();
                file.read_to_end(&mut read).unwrap();
                assert!(read == bytes);
                file.seek(SeekFrom::Start(0)).unwrap();
            }
            assert!(file.write(b"x").is_err());
            assert!(file.set_len(1).is_err());
            let seals = fs::fcntl_get_seals(&file).unwrap();
            let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
            assert!(seals.contains(all));
            let path = filesystem::path_of(file.as_fd());
            let again = std::fs::OpenOptions::new().write(true).open(path);
            assert!(again.is_err() || again.unwrap().write(b"x").is_err());
        }
    }

    #[test]
    fn its_name_tells_nothing() {
        let file = sealed(b"x").unwrap();
        let link = std::fs::read_link(filesystem::path_of(file.as_fd())).unwrap();
        assert_eq!(link.to_str(), Some("/memfd:hushpipe (deleted)"));
    }
}
