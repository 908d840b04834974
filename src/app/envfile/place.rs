//! Where a project's .env files are delivered.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory in memory, one for each service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPlace {
    /// As the manifest names it.
    pub in_manifest: String,
    /// Where that is now.
    pub directory: PathBuf,
    /// Nobody else can put something there while no program runs: a link may lead there.
    pub is_ours: bool,
}

impl DeliveryPlace {
    /// In the user's runtime directory; for root without one in /run; else in /dev/shm, where any
    /// user of the host may have a directory.
    pub fn of(service: &str) -> Self {
        let uid = nix::unistd::geteuid();
        let is_own = |path: &PathBuf| {
            let metadata = path.metadata();
            path.is_absolute() && metadata.is_ok_and(|found| found.uid() == uid.as_raw())
        };
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match runtime.filter(is_own) {
            Some(runtime) => Self {
                in_manifest: format!("${{XDG_RUNTIME_DIR:-/run}}/{service}"),
                directory: runtime.join(service),
                is_ours: true,
            },
            None if uid.is_root() => Self {
                in_manifest: format!("${{XDG_RUNTIME_DIR:-/run}}/{service}"),
                directory: Path::new("/run").join(service),
                is_ours: true,
            },
            None => {
                let directory = format!("/dev/shm/{service}-{uid}");
                Self {
                    in_manifest: directory.clone(),
                    directory: directory.into(),
                    is_ours: false,
                }
            }
        }
    }
}
