//! The variables that a program gets and the kernel's copy of its environment never has.

use std::fmt;
use std::io;
use std::rc::Rc;

use crate::sys::memory::{Pages, Region};

/// `NAME=value` strings, each with a NUL at its end, in protected pages. Wiped at drop; neither printed
/// nor cloned. A forked child does not have them.
pub struct Hidden {
    bytes: Option<Region>,
    /// Where each string ends, its NUL included.
    ends: Vec<usize>,
}

/// Nothing of what is in it.
impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden variables")
    }
}

impl Hidden {
    /// Copies the strings, which are without a NUL. The error is the kernel's when it has no memory.
    pub fn new<'a>(strings: impl Iterator<Item = &'a [u8]> + Clone) -> io::Result<Self> {
        let ends: Vec<usize> = strings
            .clone()
            .scan(0, |end, string| {
                *end += string.len() + 1;
                Some(*end)
            })
            .collect();
        let length = ends.last().copied().unwrap_or_default();
        if length == 0 {
            return Ok(Self { bytes: None, ends });
        }
        let mut bytes = room(length)?;
        let mut at = 0;
        for string in strings {
            bytes.bytes_mut()[at..at + string.len()].copy_from_slice(string);
            at += string.len() + 1;
        }
        Ok(Self {
            bytes: Some(bytes),
            ends,
        })
    }

    /// How many bytes they take, with their NULs.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A variable that reserves as much room in the kernel's environment as the strings take, rounded
    /// up: programs that write their title over their arguments and environment add up the lengths of
    /// all variables that they see, and must not write past the end.
    pub fn pad(&self) -> Vec<u8> {
        /// An argument has at most 128 KiB (`MAX_ARG_STRLEN`, execve(2)).
        const MOST: usize = 100 << 10;
        let spaces = self.len().next_multiple_of(64).min(MOST);
        let mut pad = Vec::with_capacity(PAD.len() + spaces);
        pad.extend_from_slice(PAD);
        pad.resize(PAD.len() + spaces, b' ');
        pad
    }

    /// All strings, each with its NUL.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref().map_or(&[], Region::bytes)
    }

    /// Where each string starts.
    pub(super) fn starts(&self) -> impl ExactSizeIterator<Item = usize> {
        let before = |index: usize| index.checked_sub(1).map_or(0, |before| self.ends[before]);
        (0..self.ends.len()).map(before)
    }

    /// Whether one of them has the name of this `NAME=value`.
    pub(super) fn names(&self, variable: &[u8]) -> bool {
        let end = variable.iter().position(|byte| *byte == b'=');
        end.is_some_and(|end| {
            let name = &variable[..=end];
            self.starts()
                .any(|start| self.bytes()[start..].starts_with(name))
        })
    }
}

/// Starts the variable of [`Hidden::pad`].
pub(super) const PAD: &[u8] = b"HUSHPIPE_PAD=";

fn room(length: usize) -> io::Result<Region> {
    let pages =
        Pages::secret(length).or_else(|_| Pages::anonymous(length).map(|(pages, _)| pages))?;
    Rc::new(pages)
        .carve(length)
        .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_kept_with_their_ends() {
        let hidden = Hidden::new([&b"A=1"[..], b"LONGER=two"].into_iter()).unwrap();
        assert_eq!(hidden.bytes(), b"A=1\0LONGER=two\0");
        assert_eq!(hidden.starts().collect::<Vec<_>>(), [0, 4]);
        assert_eq!((hidden.len(), hidden.is_empty()), (15, false));
        assert!(hidden.names(b"A=other") && hidden.names(b"LONGER="));
        assert!(!hidden.names(b"LONG=x") && !hidden.names(b"A") && !hidden.names(b"AA=1"));
        let none = Hidden::new(std::iter::empty()).unwrap();
        assert_eq!((none.len(), none.is_empty()), (0, true));
    }

    #[test]
    fn the_pad_reserves_the_room_and_does_not_tell_the_exact_length() {
        let short = Hidden::new([&b"A=1"[..]].into_iter()).unwrap();
        let longer = Hidden::new([&b"A=123456789"[..]].into_iter()).unwrap();
        assert_eq!(short.pad(), longer.pad());
        assert!(short.pad().len() >= short.len());
        let large = vec![b'x'; 300 << 10];
        let large = Hidden::new([&large[..]].into_iter()).unwrap();
        assert!(large.pad().len() < 128 << 10);
    }
}
