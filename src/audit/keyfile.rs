//! The files of signing keys: their owner's alone, made at first use.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::LogError;
use super::note::{Kind, SignerKey};
use crate::sys::walk::{self, Rule};
use crate::sys::{durable, filesystem, held};

/// Reads a key. `None`: there is no such file.
pub fn read(path: &Path) -> Result<Option<SignerKey>, LogError> {
    let file = match walk::file(path, &Rule::STRICT) {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let path = path.to_owned();
    let wrong = |why: String| LogError::Key {
        path: path.clone(),
        why,
    };
    let status = filesystem::status(&file).map_err(LogError::system("look at", &path))?;
    if status.mode & 0o077 != 0 {
        let command = format!("chmod 600 {}", path.display());
        return Err(wrong(format!(
            "others may read it ({:04o}): {command}",
            status.mode & 0o7777
        )));
    }
    let text = text(file.into()).map_err(LogError::system("read", &path))?;
    let key = SignerKey::parse(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(key))
}

fn text(file: File) -> io::Result<Zeroizing<String>> {
    const LONGEST: usize = 1 << 10;
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    file.take(LONGEST as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// Makes a key (0600) and the directories on the way to it. Several processes may begin at once: the first
/// key counts, and is what this gives.
pub fn make(path: &Path, name: &str, kind: Kind) -> Result<SignerKey, LogError> {
    let (_, text) = SignerKey::generate_of(name, kind).map_err(LogError::system("make", path))?;
    let (directory, file) = held_parent(path)?;
    match durable::create_at(directory, &file, text.as_bytes(), 0o600) {
        Err(error) if !held::is_taken(&error) => return Err(LogError::system("make", path)(error)),
        _ => {}
    }
    let missing = || LogError::system("read", path)(io::ErrorKind::NotFound.into());
    read(path)?.ok_or_else(missing)
}

fn held_parent(path: &Path) -> Result<(OwnedFd, OsString), LogError> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        let source = io::ErrorKind::InvalidInput.into();
        return Err(LogError::system("make", path)(source));
    };
    Ok((
        held::make_directories(above, &Rule::STRICT)?,
        name.to_owned(),
    ))
}
