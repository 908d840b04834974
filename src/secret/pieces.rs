//! Bytes that arrive in pieces, and wait for the rest.

use std::io;

use super::{Buffer, SecretBytes};

/// A piece that is shorter is joined with the one after it.
const SHORT: usize = 2 << 10;

/// Bytes that another process or a server writes at its own pace: what has arrived waits in
/// [`Buffer`]s.
#[derive(Default)]
pub struct Pieces {
    pieces: Vec<Buffer>,
    length: usize,
}

impl Pieces {
    /// Adds a copy of what has arrived. The error is that of [`Buffer::new`].
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let piece = match self.pieces.last() {
            Some(last) if last.len() < SHORT => {
                let joined = last.with(|last| SecretBytes::new([last, bytes].concat()));
                let joined = Buffer::new(joined.expose())?;
                self.pieces.pop();
                joined
            }
            _ => Buffer::new(bytes)?,
        };
        self.pieces.push(piece);
        self.length += bytes.len();
        Ok(())
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has arrived.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All of it, for use at once.
    pub fn take(&mut self) -> SecretBytes {
        let mut all = Vec::with_capacity(self.length);
        for piece in self.pieces.drain(..) {
            piece.with(|bytes| all.extend_from_slice(bytes));
        }
        self.length = 0;
        SecretBytes::new(all)
    }

    /// Drops what came first, so that at most `most` bytes remain. The error is that of
    /// [`Buffer::new`].
    pub fn keep_last(&mut self, most: usize) -> io::Result<()> {
        if self.length > 2 * most {
            let all = self.take();
            self.push(&all.expose()[all.len() - most..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_given_back_as_they_came() {
        let mut pieces = Pieces::default();
        assert!(pieces.is_empty() && pieces.take().is_empty());
        let mut expected = Vec::new();
        for length in [0, 1, 5, 3000, 1, 70_000, 2047, 1] {
            let piece: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            pieces.push(&piece).unwrap();
            expected.extend(piece);
        }
        assert_eq!(pieces.len(), expected.len());
        assert!(pieces.take().expose() == expected);
        assert!(pieces.is_empty());
    }

    #[test]
    fn the_end_of_what_never_stops_is_kept() {
        let mut pieces = Pieces::default();
        for number in 0..100_u8 {
            pieces.push(&[number; 3]).unwrap();
            pieces.keep_last(10).unwrap();
            assert!(pieces.len() <= 23);
        }
        let kept = pieces.take();
        assert!(kept.expose().ends_with(&[98, 98, 98, 99, 99, 99]) && kept.len() >= 10);
    }
}
