//! Where files and FIFOs go: which directories, and what is in each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{DeliveryError, DeliveryFault};
use crate::model::{
    Delivery, DeliveryKind, FileMode, FileSpec, Generation, Isolation, Mode, Place, Plan,
};

/// The link to the current generation.
pub(super) const DATA: &str = "..data";

/// The name under which a link is made before it is renamed into its place.
pub(super) const TEMPORARY: &str = "..data.tmp";

/// The directory of a generation.
pub(super) fn named(generation: Generation) -> String {
    format!("..gen-{generation}")
}

/// The files of the directory at `index` within a generation of the first one's.
pub(super) fn inner(index: usize) -> String {
    format!("..dir-{index}")
}

/// Directories that others use too, or that a program needs as they are. Deliveries go below them.
const NEVER: [&str; 22] = [
    "/", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt",
    "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/tmp",
];

/// Whether a directory has more in it than what is delivered, or a store: programs need it as it is.
pub fn is_for_others(directory: &Path) -> bool {
    NEVER.iter().any(|never| directory == Path::new(never))
}

/// File and FIFO deliveries, grouped by the directory that holds them. Each such directory is a
/// delivery directory: it holds nothing else.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) directories: Vec<Directory>,
    pub(super) links: Vec<WantedLink>,
    pub(super) mode: Mode,
    pub(super) fds: Vec<(Place, i32)>,
    /// The program's user, whose directories a delivery directory may lie in.
    pub(super) user: Option<u32>,
}

/// One delivery directory.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    /// Where the first delivery into it stands in the manifest.
    pub(super) at: Place,
    pub(super) entries: Vec<Entry>,
    /// It holds `$CREDENTIALS_DIRECTORY`: its generations are open to the program's user alone.
    pub(super) credentials: bool,
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

/// A link to what is delivered, as the manifest wants it.
#[derive(Clone, Debug)]
pub(super) struct WantedLink {
    /// Where the delivery stands in the manifest.
    pub(super) at: Place,
    /// Where the link is.
    pub(super) path: PathBuf,
    /// The delivered file.
    pub(super) target: PathBuf,
}

impl Layout {
    /// Groups a plan's deliveries.
    pub fn of(plan: &Plan) -> Self {
        let mut directories: BTreeMap<PathBuf, Directory> = BTreeMap::new();
        let mut links = Vec::new();
        for (index, delivery) in plan.deliveries.iter().enumerate() {
            let Some((file, kind)) = placed(&delivery.kind) else {
                continue;
            };
            links.extend(file.link.as_ref().map(|path| WantedLink {
                at: delivery.at,
                path: path.clone(),
                target: file.path.clone(),
            }));
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
                credentials: false,
            };
            let directory = directory.or_insert_with(new);
            directory.entries.push(entry);
            directory.credentials |= matches!(delivery.kind, DeliveryKind::Credential(_));
        }
        let mut directories: Vec<Directory> = directories.into_values().collect();
        // Last: the way to the files of others does not lead through it.
        directories.sort_by_key(|directory| directory.credentials);
        Self {
            directories,
            links,
            mode: plan.mode,
            user: None,
            fds: plan.deliveries.iter().filter_map(number).collect(),
        }
    }

    /// For a program of this user.
    #[must_use]
    pub const fn of_user(mut self, uid: u32) -> Self {
        self.user = Some(uid);
        self
    }

    /// The delivery directories, in the order in which [`super::Files`] takes their descriptors.
    pub fn directories(&self) -> Vec<PathBuf> {
        let paths = self.directories.iter();
        paths.map(|directory| directory.path.clone()).collect()
    }

    /// The paths of links to what is delivered.
    pub fn links(&self) -> impl Iterator<Item = &Path> {
        self.links.iter().map(|link| &*link.path)
    }

    /// What the program finds as `$CREDENTIALS_DIRECTORY`, if it has credentials: a directory of one
    /// generation, without links. `systemd-creds list` passes over links.
    pub fn credentials(&self) -> Option<PathBuf> {
        let mut directories = self.directories.iter();
        let holder = directories.find(|directory| directory.credentials)?;
        Some(holder.path.join(DATA))
    }

    /// Whether there are neither files nor FIFOs.
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
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

    pub(super) fn system(&self, doing: &'static str, source: std::io::Error) -> DeliveryError {
        self.error(DeliveryFault::System { doing, source })
    }

    pub(super) fn of_kind(&self, files: bool) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| (entry.kind == EntryKind::File) == files)
    }
}

fn placed(kind: &DeliveryKind) -> Option<(&FileSpec, EntryKind)> {
    match kind {
        DeliveryKind::File(file) | DeliveryKind::Credential(file) => Some((file, EntryKind::File)),
        DeliveryKind::Fifo { file, max_reads } => {
            let max_reads = *max_reads;
            Some((file, EntryKind::Fifo { max_reads }))
        }
        DeliveryKind::Fd { .. } | DeliveryKind::Getenv { .. } | DeliveryKind::Stdin => None,
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
            DeliveryKind::Getenv { .. } => {
                "hushpipe attends each exec to keep the variable out of the environment: use `file` or \
                 `fd`"
            }
            DeliveryKind::File(_) | DeliveryKind::Credential(_)
                if plan.isolation == Isolation::Shared =>
            {
                "a shared directory is removed by hushpipe at the end: use `isolation: private`"
            }
            _ => continue,
        };
        let fault = DeliveryFault::Plan(format!("`mode: exec` cannot do this: {why}"));
        reasons.push(DeliveryError::of(delivery, fault));
    }
    reasons
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

#[cfg(test)]
mod tests {
    use super::super::fixtures::{fd, fifo, file, plan, secret};
    use super::*;
    use crate::model::FdKind;

    #[test]
    fn files_and_fifos_are_grouped_by_directory() {
        let plan = plan(vec![
            (file("/run/b/one"), secret("x")),
            (fd(3, FdKind::Memfd), secret("x")),
            (fifo("/run/a/two", None), secret("x")),
            (file("/run/b/three"), secret("x")),
        ]);
        let layout = Layout::of(&plan);
        assert_eq!(
            layout.directories(),
            [Path::new("/run/a"), Path::new("/run/b")]
        );
        let indices: Vec<_> = layout.directories[1]
            .entries
            .iter()
            .map(|e| e.delivery)
            .collect();
        assert_eq!(indices, [0, 3]);
        assert!(!layout.is_empty());
    }

    #[test]
    fn the_way_to_others_files_does_not_lead_through_credentials() {
        let DeliveryKind::File(one) = file("/run/a/one") else {
            unreachable!("it is a file");
        };
        let mut deliveries = vec![(file("/run/b/two"), secret("x"))];
        assert_eq!(Layout::of(&plan(deliveries.clone())).credentials(), None);
        deliveries.push((DeliveryKind::Credential(one), secret("x")));
        let layout = Layout::of(&plan(deliveries));
        let paths = layout.directories();
        assert_eq!(paths, [Path::new("/run/b"), Path::new("/run/a")]);
        assert_eq!(layout.credentials().unwrap(), Path::new("/run/a/..data"));
    }
}
