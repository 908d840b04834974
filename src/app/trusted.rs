//! The manifest, when root runs it or signs it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use super::files;
use crate::model::Exit;
use crate::model::printable::printable_path;
use crate::sys::filesystem::effective_uid;
use crate::sys::walk::{self, Links, Rule, WalkError, WalkFault};
use crate::sys::{durable, held};

/// Opens the manifest that root is to run, or says who else can change it. `None`: this is not root, or
/// it cannot be opened at all, which opening it once more explains.
pub fn manifest_of_root(path: &Path) -> Result<Option<File>, String> {
    if effective_uid() != 0 {
        return Ok(None);
    }
    let rule = Rule {
        descriptors: true,
        ..Rule::STRICT
    };
    match walk::file(path, &rule) {
        // What root was given by descriptor may be of any kind.
        Ok(file) if walk::check_file(&file, path, &Rule::STRICT).is_ok() => {
            Ok(Some(File::from(file)))
        }
        Ok(_) => Ok(None),
        Err(error) => match &error.fault {
            WalkFault::System(_) | WalkFault::NotFile(_) | WalkFault::NotDirectory => Ok(None),
            _ => Err(format!("{error}{}", error.help(0))),
        },
    }
}

/// A manifest that is to be signed: what is read is what is signed, and the signature goes beside it, into
/// the same directory.
#[derive(Debug)]
pub struct Signable {
    manifest: File,
    directory: OwnedFd,
}

/// Why root does not sign a manifest where it is.
#[derive(Debug, thiserror::Error)]
pub enum SignableError {
    /// It is not there, or cannot be opened.
    #[error("cannot read the manifest {}", printable_path(.0))]
    System(PathBuf, #[source] io::Error),
    /// Its path is another user's to change.
    #[error(
        "cannot sign {}, as its path could lead root to files of somebody else: {why}\n  \
         help: have its owner sign it, or sign a copy in a directory of yours",
        printable_path(path)
    )]
    Led {
        /// The manifest.
        path: PathBuf,
        /// Where, and who.
        why: WalkError,
    },
}

impl SignableError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::System(..) => Exit::NoManifest,
            Self::Led { .. } => Exit::Denied,
        }
    }

    fn of(path: &Path, error: WalkError) -> Self {
        let path = path.to_owned();
        match error.fault {
            WalkFault::System(source) => Self::System(path, source),
            _ => Self::Led { path, why: error },
        }
    }
}

impl Signable {
    /// Opens a manifest that root is to sign. Nothing of it is run, so that it may be another user's: but then
    /// no link is followed in that user's directories, as it could lead root to files of somebody else. `None`:
    /// this is not root, and every path is as good as any.
    pub fn of_root(path: &Path) -> Result<Option<Self>, SignableError> {
        if effective_uid() != 0 {
            return Ok(None);
        }
        let system = |error| SignableError::System(path.to_owned(), error);
        let owner = files::owner(durable::parent(path)).map_err(system)?;
        let owners = [owner];
        let rule = Rule {
            ends_with: &owners,
            ..Rule::STRICT
        };
        let walked = |error| SignableError::of(path, error);
        let (directory, name) = walk::parent(path, &rule).map_err(walked)?;
        let manifest = if owner == 0 {
            walk::file(path, &rule)
        } else {
            let rule = Rule {
                owners: &owners,
                links: Links::Refuse,
                ..Rule::STRICT
            };
            walk::file_beneath(directory.as_fd(), path, Path::new(&name), &rule)
        };
        Ok(Some(Self {
            manifest: manifest.map_err(walked)?.into(),
            directory,
        }))
    }

    /// The manifest, to be read once.
    pub fn manifest(&self) -> io::Result<File> {
        self.manifest.try_clone()
    }

    /// Puts the signature there, under this name.
    pub fn put(&self, name: &OsStr, signature: &[u8]) -> io::Result<()> {
        durable::replace_at(held::readable(&self.directory)?, name, signature, 0o644)
    }
}
