//! The digest of a program: of files that are read once for it, or while they are copied.

use std::io::{self, Write};

use ring::digest::{Context, SHA256};

use crate::model::Sha256;

/// The SHA-256 digest of what is written. By ring, as programs are large: it is two times as fast as sha2
/// where the processor has no instruction for it.
#[derive(Clone)]
pub(super) struct Digesting(Context);

impl Digesting {
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub fn finish(self) -> Sha256 {
        let digest = self.0.finish();
        Sha256(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
