//! Where files and FIFOs go: which directories, what in each, and whether this host allows it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{DeliveryError, DeliveryFault, mount_points, shared};
use crate::model::{
    Delivery, DeliveryKind, FileMode, FileSpec, Isolation, IsolationUsed, Mode, Place, Plan,
};
use crate::sys::filesystem;

/// Directories that others use too, or that a program needs as they are. Deliveries go below them.
const NEVER: [&str; 22] = [
    "/", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt",
    "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/tmp",
];

/// File and FIFO deliveries, grouped by the directory that holds them. Each such directory is a
/// delivery directory: it holds nothing else.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) directories: Vec<Directory>,
    mode: Mode,
    fds: Vec<(Place, i32)>,
}

/// One delivery directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Where the first delivery into it stands in the manifest.
    pub(super) at: Place,
    pub(super) entries: Vec<Entry>,
}

/// One name in it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its index in the plan's deliveries.
    pub(super) delivery: usize,
    pub(super) name: OsString,
    pub(super) mode: FileMode,
    pub(super) kind: EntryKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Fifo { max_reads: Option<u64> },
}

impl Layout {
    /// Groups a plan's deliveries.
    pub fn of(plan: &Plan) -> Self {
        let mut directories: BTreeMap<PathBuf, Directory> = BTreeMap::new();
        for (index, delivery) in plan.deliveries.iter().enumerate() {
            let Some((file, kind)) = placed(&delivery.kind) else {
                continue;
            };
            let (parent, name) = split(&file.path);
            let entry = Entry {
                delivery: index,
                name,
                mode: file.mode,
                kind,
            };
            let directory = directories.entry(parent.clone());
            let new = || Directory {
                path: parent,
                at: delivery.at,
                entries: Vec::new(),
            };
            directory.or_insert_with(new).entries.push(entry);
        }
        Self {
            directories: directories.into_values().collect(),
            mode: plan.mode,
            fds: plan.deliveries.iter().filter_map(number).collect(),
        }
    }

    /// The delivery directories, in the order in which [`super::Files`] takes their descriptors.
    pub fn directories(&self) -> Vec<PathBuf> {
        let paths = self.directories.iter();
        paths.map(|directory| directory.path.clone()).collect()
    }

    /// Whether there are neither files nor FIFOs.
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    /// Looks at the host before anything is fetched, and changes nothing: would the deliveries
    /// find their place? Every fault in one go.
    pub fn check(&self, isolation: IsolationUsed) -> Result<(), Vec<DeliveryError>> {
        let mut errors = self.beyond_limit();
        for directory in &self.directories {
            let faults = self.directory_faults(directory, isolation);
            errors.extend(faults.into_iter().map(|fault| directory.error(fault)));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn directory_faults(
        &self,
        directory: &Directory,
        isolation: IsolationUsed,
    ) -> Vec<DeliveryFault> {
        let mut faults = self.misplaced(directory);
        if !faults.is_empty() {
            return faults;
        }
        let checked = match isolation {
            IsolationUsed::Private => mount_points::check(&directory.path),
            IsolationUsed::Shared if self.mode == Mode::Exec => Err(DeliveryFault::Plan(
                "a shared directory must be removed at the end, and in exec mode nobody stays to \
                 do it: use `isolation: private` or `mode: supervise`"
                    .to_owned(),
            )),
            IsolationUsed::Shared => shared::check(&directory.path),
        };
        faults.extend(checked.err());
        faults
    }

    /// Faults of the path itself, whatever stands there.
    fn misplaced(&self, directory: &Directory) -> Vec<DeliveryFault> {
        let mut faults = Vec::new();
        let path = &directory.path;
        if NEVER.iter().any(|never| path == Path::new(never)) {
            faults.push(DeliveryFault::Plan(format!(
                "a delivery directory holds nothing but deliveries, and others use {path}: put the \
                 file into a directory of its own below it, such as {below}/secrets",
                path = path.display(),
                below = path.display().to_string().trim_end_matches('/'),
            )));
        }
        let others = self.directories.iter();
        for outer in others.filter(|other| path != &other.path && path.starts_with(&other.path)) {
            faults.push(DeliveryFault::Plan(format!(
                "lies within the delivery directory {}: put the files into one directory, or into \
                 two that stand side by side",
                outer.path.display()
            )));
        }
        for entry in &directory.entries {
            let name = entry.name.as_bytes();
            if name.starts_with(b"..") || name == shared::MARKER.as_bytes() {
                faults.push(DeliveryFault::Plan(format!(
                    "the name {} is hushpipe's own: choose another",
                    entry.name.display()
                )));
            }
        }
        faults
    }

    fn beyond_limit(&self) -> Vec<DeliveryError> {
        let limit = filesystem::descriptor_limit().unwrap_or(u64::MAX);
        let beyond = |number: i32| u64::try_from(number).is_ok_and(|number| number >= limit);
        let fds = self.fds.iter().filter(|(_, number)| beyond(*number));
        fds.map(|(at, number)| DeliveryError {
            at: Some(*at),
            what: format!("fd {number}"),
            fault: DeliveryFault::Host(format!(
                "the limit of open files is {limit}: use a number below it, or raise it (`ulimit \
                 -n`, LimitNOFILE=)"
            )),
        })
        .collect()
    }
}

impl Directory {
    pub(super) fn error(&self, fault: DeliveryFault) -> DeliveryError {
        DeliveryError {
            at: Some(self.at),
            what: self.path.display().to_string(),
            fault,
        }
    }

    pub(super) fn of_kind(&self, files: bool) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| (entry.kind == EntryKind::File) == files)
    }
}

fn placed(kind: &DeliveryKind) -> Option<(&FileSpec, EntryKind)> {
    match kind {
        DeliveryKind::File(file) => Some((file, EntryKind::File)),
        DeliveryKind::Fifo { file, max_reads } => {
            let max_reads = *max_reads;
            Some((file, EntryKind::Fifo { max_reads }))
        }
        DeliveryKind::Fd { .. } | DeliveryKind::Stdin => None,
    }
}

/// Paths of deliveries are absolute and normal, and name a file: the plan holds no others.
fn split(path: &Path) -> (PathBuf, OsString) {
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    (
        parent.to_owned(),
        path.file_name().unwrap_or_default().to_owned(),
    )
}

fn number(delivery: &Delivery) -> Option<(Place, i32)> {
    match delivery.kind {
        DeliveryKind::Fd { number, .. } => Some((delivery.at, number)),
        _ => None,
    }
}

/// What in a plan needs hushpipe to stay as the parent: reasons to refuse `mode: exec`. That a pipe
/// is too small for its payload is known only after the fetch: see [`super::prepare_fds`].
pub fn needs_parent(plan: &Plan) -> Vec<DeliveryError> {
    let mut reasons = Vec::new();
    for delivery in &plan.deliveries {
        let why = match &delivery.kind {
            DeliveryKind::Fifo { .. } => "a FIFO is served by hushpipe for as long as it is there",
            DeliveryKind::File(_) if plan.isolation == Isolation::Shared => {
                "a shared directory is removed by hushpipe at the end: use `isolation: private`"
            }
            _ => continue,
        };
        let fault = DeliveryFault::Plan(format!("not possible with `mode: exec`: {why}"));
        reasons.push(DeliveryError::of(delivery, fault));
    }
    reasons
}

impl Directory {
    pub(super) fn system(&self, doing: &'static str, source: std::io::Error) -> DeliveryError {
        self.error(DeliveryFault::System { doing, source })
    }
}

impl Entry {
    pub(super) fn system(
        &self,
        directory: &Directory,
        doing: &'static str,
        source: std::io::Error,
    ) -> DeliveryError {
        let path = directory.path.join(&self.name);
        DeliveryError::system(path.display().to_string(), doing)(source)
    }
}
