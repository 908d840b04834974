//! Finding and reading a manifest: never a hang, never more than a manifest can be.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::fault::{Fault, ManifestError, Span, shown_name};

/// A manifest is at most this long.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The manifest to use: `-m`, else `$HUSHPIPE_MANIFEST`, else `hushpipe.yaml` (or `hushpipe.yml`) here or in a
/// directory above.
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, ManifestError> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os("HUSHPIPE_MANIFEST").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    around(Path::new(""))?.ok_or_else(|| {
        ManifestError::unreadable(
            Path::new(NAMES[0]),
            "no manifest: no hushpipe.yaml in this directory or above",
            "name one with -m FILE or $HUSHPIPE_MANIFEST, or make one with `hushpipe init`",
            None,
        )
    })
}

/// The names of a manifest that nobody named, best first.
const NAMES: [&str; 2] = ["hushpipe.yaml", "hushpipe.yml"];

/// The manifest of this directory, or the nearest one above it that this user or root has made, in a
/// directory of theirs: in /tmp or another user's project, anybody could put one there.
fn around(here: &Path) -> Result<Option<PathBuf>, ManifestError> {
    for name in NAMES {
        let path = here.join(name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            _ => return Ok(Some(path)),
        }
    }
    // A working directory that is gone has nothing above it.
    let Ok(absolute) = std::env::current_dir() else {
        return Ok(None);
    };
    for above in absolute.ancestors().skip(1) {
        for path in NAMES.map(|name| above.join(name)) {
            if path.symlink_metadata().is_err() {
                continue;
            }
            if is_own(above) && is_own(&path) {
                return Ok(Some(path));
            }
            let message = format!("{} belongs to another user", shown_name(&path));
            let help = "if it is the right one, name it: -m FILE";
            return Err(ManifestError::refused(&path, message, help));
        }
    }
    Ok(None)
}

fn is_own(path: &Path) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    path.symlink_metadata()
        .is_ok_and(|found| matches!(found.uid(), uid if uid == 0 || uid == own))
}

/// A manifest that was read.
#[derive(Debug)]
pub struct Text {
    /// All of it.
    pub text: String,
    file: Option<File>,
}

impl Text {
    /// Of a manifest that has no file.
    pub const fn made(text: String) -> Self {
        Self { text, file: None }
    }

    /// Where the file is that was read, without links, by its descriptor; `None`: it is standard input.
    pub fn place(&self) -> Option<PathBuf> {
        let file = self.file.as_ref()?.as_raw_fd();
        std::fs::read_link(format!("/proc/self/fd/{file}")).ok()
    }
}

/// Reads the whole text; `-` is standard input. `trusted` opens what is to be trusted, or gives the reason
/// why it is not; `None`: this user may read what can be read.
pub fn read(
    path: &Path,
    trusted: impl FnOnce(&Path) -> Result<Option<File>, String>,
) -> Result<Text, ManifestError> {
    let (bytes, file) = if path == Path::new("-") {
        (bytes_of(path, std::io::stdin().lock())?, None)
    } else {
        let file = match trusted(path) {
            Ok(Some(file)) => file,
            Ok(None) => open(path)?,
            Err(reason) => return Err(ManifestError::distrusted(path, &reason)),
        };
        (bytes_of(path, &file)?, Some(file))
    };
    let text = text_of(path, bytes)?;
    Ok(Text { text, file })
}

/// The text that bytes are.
pub(super) fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, ManifestError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message = format!("the manifest is not UTF-8: byte {offset} (counted from 0) is wrong");
        let help = "save the file as UTF-8, without a byte order mark of UTF-16 or UTF-32";
        let source = String::from_utf8_lossy(error.as_bytes());
        ManifestError::wrong(
            path,
            &source,
            vec![Fault::new(Span::at(offset), message, help)],
        )
    })?;
    whole(path, &text)?;
    Ok(text)
}

/// Refuses text with a NUL byte.
pub(super) fn whole(path: &Path, text: &str) -> Result<(), ManifestError> {
    let Some(offset) = memchr::memchr(0, text.as_bytes()) else {
        return Ok(());
    };
    let message = format!("the manifest has a NUL byte at {offset} (counted from 0)");
    let help = "a manifest is text: is this the right file?";
    let fault = Fault::new(Span::at(offset), message, help);
    Err(ManifestError::wrong(path, text, vec![fault]))
}

/// Opens without waiting for a writer of a FIFO, and only what can hold a manifest.
fn open(path: &Path) -> Result<File, ManifestError> {
    let name = shown_name(path);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| {
            let help = match error.kind() {
                ErrorKind::NotFound => {
                    "name another one with -m FILE, or make one with `hushpipe init`"
                }
                ErrorKind::PermissionDenied => {
                    "the user that runs hushpipe must be able to read the manifest"
                }
                _ => "name a readable file with -m FILE",
            };
            ManifestError::unreadable(path, format!("cannot read {name}"), help, Some(error))
        })?;
    let kind = file
        .metadata()
        .map_err(|error| {
            let help = "name a readable file with -m FILE";
            ManifestError::unreadable(path, format!("cannot read {name}"), help, Some(error))
        })?
        .file_type();
    let what = if kind.is_file() {
        return Ok(file);
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "no regular file"
    };
    let help = "name a file with -m FILE; `-m -` reads standard input";
    let message = format!("cannot read {name}: it is {what}");
    Err(ManifestError::unreadable(path, message, help, None))
}

fn bytes_of(path: &Path, from: impl Read) -> Result<Vec<u8>, ManifestError> {
    let mut bytes = Vec::with_capacity(8 * 1024);
    let limit = MAX_BYTES as u64 + 1;
    from.take(limit).read_to_end(&mut bytes).map_err(|error| {
        let message = format!("cannot read {}", shown_name(path));
        ManifestError::unreadable(
            path,
            message,
            "name a readable file with -m FILE",
            Some(error),
        )
    })?;
    if bytes.len() > MAX_BYTES {
        let message = format!("{} is larger than 1 MiB", shown_name(path));
        let help = "a manifest names secrets and holds none: is this the right file?";
        return Err(ManifestError::refused(path, message, help));
    }
    Ok(bytes)
}
