//! Archives of tar(5) as streams: ustar, the long names of GNU and of pax. Nothing is written anywhere, and
//! no header makes this take more memory: a name is cut, and a file is read by whoever asks for it.

use std::io::{self, Read};

const BLOCK: usize = 512;

/// A longer name, or a longer header of pax, is cut.
const NAME: u64 = 8 << 10;

/// An archive, read once.
pub struct Archive<R> {
    from: R,
    /// What is left of the current file, and of its last block.
    left: u64,
    padding: u64,
}

/// A file in an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, as the archive has it.
    pub path: Vec<u8>,
    /// How long it is.
    pub size: u64,
    /// A regular file: no link, directory or device.
    pub is_file: bool,
    /// Its permissions.
    pub mode: u32,
}

impl<R: Read> Archive<R> {
    /// Over a stream that starts with a header.
    pub const fn new(from: R) -> Self {
        Self {
            from,
            left: 0,
            padding: 0,
        }
    }

    /// The next file, directory or link; `None` at the end. What was not read of the one before is passed
    /// over.
    pub fn entry(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_name, mut long_size) = (None, None);
        loop {
            self.pass()?;
            let mut header = [0; BLOCK];
            if !self.header(&mut header)? {
                return Ok(None);
            }
            let size = long_size.unwrap_or(number(&header[124..136])?);
            self.left = size;
            self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            match header[156] {
                b'L' => long_name = Some(text(&self.short()?).to_vec()),
                b'x' => {
                    let records = self.short()?;
                    if let Some(name) = pax(&records, b"path") {
                        long_name = Some(name.to_vec());
                    }
                    if let Some(size) = pax(&records, b"size") {
                        long_size = str::from_utf8(size).ok().and_then(|size| size.parse().ok());
                    }
                }
                // Of all files that follow, and the long target of a link.
                b'g' | b'K' => {}
                kind => {
                    let is_file = matches!(kind, b'0' | 0 | b'7');
                    if !is_file {
                        // Links and directories have no bytes, whatever their header says.
                        (self.left, self.padding) = if matches!(kind, b'1'..=b'6') {
                            (0, 0)
                        } else {
                            (self.left, self.padding)
                        };
                    }
                    let path = long_name.take().unwrap_or_else(|| short_name(&header));
                    let mode = number(&header[100..108]).unwrap_or(0) as u32;
                    return Ok(Some(Entry {
                        path,
                        size: self.left,
                        is_file,
                        mode,
                    }));
                }
            }
        }
    }

    /// A whole header; false where the archive ends, with zeros or without.
    fn header(&mut self, header: &mut [u8; BLOCK]) -> io::Result<bool> {
        let mut had = 0;
        while had < BLOCK {
            match self.from.read(&mut header[had..])? {
                0 if had == 0 => return Ok(false),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => had += read,
            }
        }
        if header.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(*byte)
                }
            })
            .sum();
        if number(&header[148..156])? == sum {
            Ok(true)
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is no tar archive, or damaged",
            ))
        }
    }

    fn short(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(NAME).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over what is left of the current file.
    fn pass(&mut self) -> io::Result<()> {
        let rest = self.left + self.padding;
        let passed = io::copy(&mut (&mut self.from).take(rest), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if passed < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// The bytes of the current file.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Up to a NUL.
fn text(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

fn short_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = text(&header[..100]);
    let prefix = text(&header[345..500]);
    // GNU has other fields there.
    if prefix.is_empty() || &header[257..263] != b"ustar\0" {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// Octal digits, or GNU's binary form.
fn number(field: &[u8]) -> io::Result<u64> {
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no tar archive, or damaged",
        )
    };
    if field[0] & 0x80 != 0 {
        let tail = &field[field.len() - 8..];
        let number = tail
            .iter()
            .fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        // More than any file has, and a sum with its padding must not overflow.
        return if number < 1 << 60 {
            Ok(number)
        } else {
            Err(bad())
        };
    }
    let digits = str::from_utf8(text(field)).map_err(|_| bad())?.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| bad())
}

/// A record of pax: `LENGTH key=value\n`.
fn pax<'a>(records: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = records;
    let mut found = None;
    while let Some(space) = memchr::memchr(b' ', rest) {
        let length: usize = str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length.max(space + 2) - 1)?;
        if let Some(value) = record
            .strip_prefix(key)
            .and_then(|value| value.strip_prefix(b"="))
        {
            found = Some(value);
        }
        rest = rest.get(length.max(1)..)?;
    }
    found
}

#[cfg(test)]
#[allow(missing_docs, reason = "archives for the tests of other rooms")]
pub mod tests {
    use super::*;

    /// A header and the bytes of a file.
    pub fn file(path: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut header = [0_u8; BLOCK];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut all = header.to_vec();
        all.extend_from_slice(bytes);
        all.resize(all.len().next_multiple_of(BLOCK), 0);
        all
    }

    fn names(bytes: &[u8]) -> io::Result<Vec<String>> {
        let mut archive = Archive::new(bytes);
        let mut names = Vec::new();
        while let Some(entry) = archive.entry()? {
            let mut content = String::new();
            if entry.is_file {
                archive.read_to_string(&mut content)?;
            }
            names.push(format!(
                "{}={content}",
                String::from_utf8_lossy(&entry.path)
            ));
        }
        Ok(names)
    }

    #[test]
    fn files_have_their_names_and_bytes() {
        let long = "d/".repeat(100) + "x";
        let record = format!(" path={long}\n");
        let length = record.len() + 3;
        let all = [
            file("a", b'0', b"one"),
            file("link", b'2', b""),
            file("././@LongLink", b'L', format!("{long}\0").as_bytes()),
            file("short", b'0', b"two"),
            file("pax", b'x', format!("{length}{record}").as_bytes()),
            file("short", b'0', b"three"),
            vec![0; 1024],
        ]
        .concat();
        let wanted = [
            "a=one".to_owned(),
            "link=".to_owned(),
            format!("{long}=two"),
            format!("{long}=three"),
        ];
        assert_eq!(names(&all).unwrap(), wanted);
    }

    #[test]
    fn what_is_damaged_is_an_error_and_never_a_panic() {
        let good = file("a", b'0', &[7; 700]);
        for cut in [1, 511, 513, 900] {
            assert!(names(&good[..cut]).is_err(), "{cut}");
        }
        // The last byte of the sum itself is not read.
        for at in (0..BLOCK).filter(|at| *at != 155) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            assert!(names(&bad).is_err(), "{at}");
        }
        assert!(names(&[0x1f; 600]).is_err());
        for records in [
            "1 path=",
            "9999 path=a\n",
            "0 a=b\n",
            " ",
            "x path=a\n",
            "5 ",
        ] {
            let all = [file("p", b'x', records.as_bytes()), file("b", b'0', b"c")].concat();
            assert_eq!(names(&all).unwrap().len(), 1, "{records}");
        }
    }
}
