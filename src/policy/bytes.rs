//! The bytes of [`super::compiled`]: numbers in little-endian, texts and blocks after their length.

use std::ops::Range;

/// Appends.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn flag(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    pub fn long(&mut self, value: i64) {
        self.0.extend(value.to_le_bytes());
    }

    /// A length or a number of things: files of policies are bounded far below.
    pub fn count(&mut self, value: usize) {
        let value = u32::try_from(value).expect("policies are bounded");
        self.0.extend(value.to_le_bytes());
    }

    pub fn block(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.block(text.as_bytes());
    }
}

/// Reads on from a place. `None`: these are not bytes of a [`Writer`].
#[derive(Clone, Copy)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn range(&mut self, length: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(length)?;
        self.bytes.get(range.clone())?;
        self.at = range.end;
        Some(range)
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let range = self.range(length)?;
        Some(&self.bytes[range])
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub fn long(&mut self) -> Option<i64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(i64::from_le_bytes(bytes))
    }

    pub fn count(&mut self) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    pub fn block(&mut self) -> Option<&'b [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    pub fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.block()?).ok()
    }

    /// So many blocks, one after the other: where each is.
    pub fn blocks(&mut self) -> Option<Vec<Range<usize>>> {
        let count = self.count()?;
        let block = |_| {
            let length = self.count()?;
            self.range(length)
        };
        (0..count).map(block).collect()
    }

    /// Whether all was read.
    pub const fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}
