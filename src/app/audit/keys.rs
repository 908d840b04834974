//! A site's log and its keys.

use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::app::failure::{Failure, Failures};
use crate::audit::{Log, LogError, Place};
use crate::model::printable::printable_path;
use crate::model::{AuditError, AuditSpec, Exit, chain};
use crate::secret::{FileError, FingerprintKey, SecretBytes, Trusted, read_to_end};
use crate::sys::{filesystem, host};

/// A key of fingerprints has no more bytes than this.
pub const LONGEST_KEY: usize = 4 << 10;

/// Where a site's log is.
pub fn place(spec: &AuditSpec) -> Place {
    Place {
        directory: spec.directory.clone(),
        key_file: spec.key_file.clone(),
    }
}

/// Opens a site's log to add to it.
pub fn open(spec: &AuditSpec) -> Result<Log, LogError> {
    let log = Log::open(&place(spec), &host::name())?;
    Ok(log.with_retention(spec.retain))
}

/// The key of a site's fingerprints; `None`: it has none.
pub fn fingerprint_key(spec: &AuditSpec) -> Result<Option<Rc<FingerprintKey>>, Failures> {
    let Some(path) = &spec.fingerprint_key_file else {
        return Ok(None);
    };
    let wrong = |text: String| vec![Failure::new(Exit::Manifest, text)];
    let bytes = private(path).map_err(|(why, is_missing)| {
        let path = printable_path(path);
        // To make one in the place of one that is there would lose all that is on record.
        let help = if is_missing {
            format!("\n  help: to make one: (umask 077; head -c 32 /dev/urandom | base64 > {path})")
        } else {
            String::new()
        };
        wrong(format!("the fingerprint key cannot be read: {why}{help}"))
    })?;
    let key = FingerprintKey::new(&bytes)
        .map_err(crate::app::failure::os("no memory to keep a key in"))?;
    let key = key.ok_or_else(|| {
        let (path, least) = (printable_path(path), FingerprintKey::SHORTEST);
        wrong(format!(
            "the fingerprint key in {path} has fewer than {least} bytes"
        ))
    })?;
    Ok(Some(Rc::new(key)))
}

/// Whoever can read the key can try values against the log: only its owner and group may. With the error:
/// whether it is missing.
fn private(path: &Path) -> Result<SecretBytes, (String, bool)> {
    let read = |error: io::Error| (format!("{}: {error}", printable_path(path)), false);
    let file = Trusted::new(&[]).open(path).map_err(|error| {
        let is_missing = matches!(&error, FileError::System { source, .. }
            if source.kind() == io::ErrorKind::NotFound);
        (unread(error), is_missing)
    })?;
    let status = filesystem::status(&file).map_err(read)?;
    if status.mode & 0o007 != 0 {
        let (mode, path) = (status.mode & 0o7777, printable_path(path));
        let why = format!("every user may use {path} ({mode:04o}); restrict it: chmod 600 {path}");
        return Err((why, false));
    }
    read_to_end(&file, LONGEST_KEY).map_err(|errno| read(errno.into()))
}

/// As a recorder says it.
pub fn unrecorded(error: &LogError) -> AuditError {
    AuditError {
        why: chain(error),
        help: error.help(),
    }
}

/// Why a file was not read.
pub fn unread(error: FileError) -> String {
    match error {
        FileError::System { path, source } => format!("{}: {source}", printable_path(&path)),
        FileError::Unfit(text) => text,
        FileError::Untrusted { reason, .. } => reason,
    }
}
