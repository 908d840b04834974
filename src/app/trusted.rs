//! The manifest, when root runs it.

use std::fs::File;
use std::path::Path;

use crate::sys::filesystem::effective_uid;
use crate::sys::walk::{self, Rule, WalkFault};

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
