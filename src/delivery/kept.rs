//! A payload that is kept to be written later, in pieces, so that no more of it is plain at a time
//! than a pipe takes.

use std::io;

use crate::secret::Buffer;
use crate::sys::pipe::{self, Writer, Written};

/// What a pipe holds by default, pipe(7).
const PIECE: usize = 64 << 10;

/// Bytes of any length; none where there are none.
pub(super) struct Kept(Vec<Buffer>);

impl Kept {
    pub(super) fn new(bytes: &[u8]) -> io::Result<Self> {
        let pieces: io::Result<Vec<_>> = bytes.chunks(PIECE).map(Buffer::new).collect();
        pieces.map(Self)
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Buffer::len).sum()
    }

    /// Shows what follows an offset below the length: as much of it as is in one piece.
    fn with<R>(&self, offset: usize, look: impl FnOnce(&[u8]) -> R) -> R {
        self.0[offset / PIECE].with(|bytes| look(&bytes[offset % PIECE..]))
    }

    /// Writes until all is in or nobody reads; gives how much went in.
    pub(super) async fn feed(&self, end: &Writer) -> io::Result<usize> {
        let mut done = 0;
        while done < self.len() {
            let attempt =
                |end: std::os::fd::BorrowedFd<'_>| self.with(done, |bytes| pipe::write(end, bytes));
            match end.when_room(attempt).await? {
                Written::Some(count) => done += count,
                Written::Full | Written::NoReader => break,
            }
        }
        Ok(done)
    }
}
