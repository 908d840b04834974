//! The encoding of SSH's messages: RFC 4251, section 5.

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends before its fields do.
    #[error("it is cut short")]
    Truncated,
    /// It has bytes after its last field.
    #[error("it has bytes after its end")]
    Trailing,
    /// A name is not UTF-8, or has a NUL in it.
    #[error("a text in it is not UTF-8")]
    NotText,
    /// An `mpint` is negative, zero, or longer than it need be.
    #[error("a number in it is malformed")]
    BadNumber,
}

/// Reads fields from the start of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is not read yet.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// `byte`
    pub fn byte(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// `uint32`
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// `uint64`
    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// `string`
    pub fn string(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.u32()?).map_err(|_| WireError::Truncated)?;
        self.take(length)
    }

    /// `string` that is a text.
    pub fn text(&mut self) -> Result<&'a str, WireError> {
        let text = std::str::from_utf8(self.string()?).map_err(|_| WireError::NotText)?;
        if text.contains('\0') {
            return Err(WireError::NotText);
        }
        Ok(text)
    }

    /// `mpint` above zero, as bytes without leading zeros. Another encoding of the same number is refused.
    pub fn number(&mut self) -> Result<&'a [u8], WireError> {
        let whole = self.string()?;
        match whole {
            [0, second, ..] if second & 0x80 != 0 => Ok(&whole[1..]),
            [1..0x80, ..] => Ok(whole),
            _ => Err(WireError::BadNumber),
        }
    }

    /// Nothing is left.
    pub const fn end(self) -> Result<(), WireError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }
}

/// Adds a `string`. What hushpipe writes is far below 4 GiB.
pub fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend((bytes.len() as u32).to_be_bytes());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_exactly() {
        let bytes = [0, 0, 0, 2, b'a', b'b', 7, 0, 0, 0, 1];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.text(), Ok("ab"));
        assert_eq!(reader.byte(), Ok(7));
        assert_eq!(reader.end(), Err(WireError::Trailing));
        assert_eq!(reader.u32(), Ok(1));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.u64(), Err(WireError::Truncated));
        let far = [0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&far).string(), Err(WireError::Truncated));
        assert_eq!(
            Reader::new(&[0, 0, 0, 1, 0]).text(),
            Err(WireError::NotText)
        );
    }

    #[test]
    fn a_number_has_one_encoding() {
        let number = |bytes: &[u8]| {
            let mut field = Vec::new();
            put_string(&mut field, bytes);
            Reader::new(&field).number().map(<[u8]>::to_vec)
        };
        assert_eq!(number(&[1, 0, 1]), Ok(vec![1, 0, 1]));
        assert_eq!(number(&[0, 0x80]), Ok(vec![0x80]));
        for wrong in [&[][..], &[0], &[0, 1], &[0x80], &[0, 0, 0x80]] {
            assert_eq!(number(wrong), Err(WireError::BadNumber), "{wrong:?}");
        }
    }
}
