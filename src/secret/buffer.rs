//! Bytes that are kept: for a rollback, for the next reader of a FIFO.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};

use subtle::ConstantTimeEq;

use super::SecretBytes;
use crate::sys::memory::{self, Pages, Region};

/// What keeps others from a [`Buffer`]'s bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// memfd_secret(2): not even the kernel maps the pages; not swapped, not dumped.
    Secret,
    /// Masked, locked against swapping, not dumped, zeros in a forked child.
    Locked,
    /// As `Locked`, but RLIMIT_MEMLOCK refused the lock: the masked bytes and their mask may be
    /// swapped.
    Unlocked,
}

/// Bytes that are kept, in pages of their own: see [`Protection`]. Wiped at drop. Small buffers
/// share a page. Not for use in a forked child.
pub struct Buffer {
    bytes: Region,
    /// Where memfd_secret is not there, `bytes` are XORed with this, so that no scan finds them.
    pad: Option<Region>,
    protection: Protection,
}

impl Buffer {
    /// Copies the bytes. The error is the kernel's word when it has no memory or no randomness.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut buffer = Slab::room(bytes.len())?;
        buffer.bytes.bytes_mut().copy_from_slice(bytes);
        if let Some(pad) = &mut buffer.pad {
            memory::fill_random(pad.bytes_mut())?;
            xor(buffer.bytes.bytes_mut(), pad.bytes());
        }
        Ok(buffer)
    }

    /// Shows the bytes to `look`, and to nobody after it.
    pub fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        let Some(pad) = &self.pad else {
            return look(self.bytes.bytes());
        };
        let mut plain = self.bytes.bytes().to_vec();
        xor(&mut plain, pad.bytes());
        let plain = SecretBytes::new(plain);
        look(plain.expose())
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.bytes().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What protects it on this host.
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// Compares in constant time for equal lengths.
    pub fn same(&self, bytes: &[u8]) -> bool {
        self.with(|own| own.ct_eq(bytes).into())
    }
}

fn xor(bytes: &mut [u8], pad: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(pad) {
        *byte ^= mask;
    }
}

thread_local! {
    /// The slab that has room for the next small buffers.
    static OPEN: RefCell<Slab> = const { RefCell::new(Slab::NONE) };
}

/// Pages, and pages for the pad where they need one. They live as long as a buffer in them.
struct Slab {
    pages: Weak<Pages>,
    pad: Option<Weak<Pages>>,
    protection: Protection,
}

impl Slab {
    const NONE: Self = Self {
        pages: Weak::new(),
        pad: None,
        protection: Protection::Unlocked,
    };

    /// A buffer of zeros: within the open slab, or in pages of its own when it is large.
    fn room(length: usize) -> io::Result<Buffer> {
        if length > memory::page_size() / 2 {
            return Self::fresh(length).map(|(_, buffer)| buffer);
        }
        OPEN.with_borrow_mut(|open| {
            if let Some(buffer) = open.carve(length) {
                return Ok(buffer);
            }
            let (slab, buffer) = Self::fresh(length)?;
            *open = slab;
            Ok(buffer)
        })
    }

    fn carve(&self, length: usize) -> Option<Buffer> {
        let pad = match &self.pad {
            Some(pad) => Some(pad.upgrade()?.carve(length)?),
            None => None,
        };
        Some(Buffer {
            bytes: self.pages.upgrade()?.carve(length)?,
            pad,
            protection: self.protection,
        })
    }

    fn fresh(length: usize) -> io::Result<(Self, Buffer)> {
        // Whatever the reason why memfd_secret is refused: anonymous pages serve everywhere.
        Pages::secret(length).map_or_else(
            |_| Self::masked(length),
            |pages| Ok(Self::first(pages, None, Protection::Secret, length)),
        )
    }

    fn masked(length: usize) -> io::Result<(Self, Buffer)> {
        let (pages, locked) = Pages::anonymous(length)?;
        let (pad, pad_locked) = Pages::anonymous(length)?;
        let protection = if locked && pad_locked {
            Protection::Locked
        } else {
            Protection::Unlocked
        };
        Ok(Self::first(pages, Some(pad), protection, length))
    }

    /// A slab and its first buffer, which keeps it alive.
    fn first(
        pages: Pages,
        pad: Option<Pages>,
        protection: Protection,
        length: usize,
    ) -> (Self, Buffer) {
        let pages = Rc::new(pages);
        let pad = pad.map(Rc::new);
        let slab = Self {
            pages: Rc::downgrade(&pages),
            pad: pad.as_ref().map(Rc::downgrade),
            protection,
        };
        let buffer = slab
            .carve(length)
            .expect("new pages have room for what they were made for");
        (slab, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(bytes: &[u8]) -> Buffer {
        let (_, mut buffer) = Slab::masked(bytes.len()).unwrap();
        buffer.bytes.bytes_mut().copy_from_slice(bytes);
        let pad = buffer.pad.as_mut().unwrap();
        memory::fill_random(pad.bytes_mut()).unwrap();
        xor(buffer.bytes.bytes_mut(), pad.bytes());
        buffer
    }

    #[test]
    fn small_and_large_buffers_give_back_their_bytes() {
        for length in [0, 1, 31, 2048, 2049, 4096, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let (own, other) = (Buffer::new(&bytes).unwrap(), masked(&bytes));
            assert!(own.with(|seen| seen == bytes) && other.with(|seen| seen == bytes));
            assert_eq!(own.len(), length);
            assert!(own.same(&bytes) && !own.same(b"something else"));
        }
    }

    #[test]
    fn small_buffers_share_a_page() {
        let one = Buffer::new(b"one").unwrap();
        let two = Buffer::new(b"two").unwrap();
        let (at, next) = (one.bytes.bytes().as_ptr(), two.bytes.bytes().as_ptr());
        assert_eq!(next as usize - at as usize, 3);
        drop(one);
        assert!(two.same(b"two"));
    }

    #[test]
    fn masked_pages_do_not_hold_the_bytes() {
        let buffer = masked(b"correct horse battery staple");
        assert!(buffer.bytes.bytes() != b"correct horse battery staple");
        assert!(buffer.same(b"correct horse battery staple"));
        assert!(matches!(
            buffer.protection(),
            Protection::Locked | Protection::Unlocked
        ));
    }
}
