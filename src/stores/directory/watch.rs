//! Changes of a directory store, by inotify(7).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::StoreName;
use crate::stores::links::{links, parts};
use crate::stores::{Fault, Local, StoreError, Watch, WatchEvent};
use crate::sys::clock::until;
use crate::sys::inotify::{Event, EventMask, Notifier, WatchId, WatchMask};

/// As the kernel's own limit, path_resolution(7).
const MAX_LINKS: usize = 40;

/// A file may be gone for so long while it is being replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(1);

/// What gives a name another content, or a directory another name.
const MASK: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::CREATE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Watches every directory and link on the way to each file, so that a flip of `..data`, a rename
/// into place, a write in place and a directory that is made anew are all seen.
pub(super) struct DirectoryWatch {
    store: StoreName,
    path: PathBuf,
    /// Each with the places of its sources.
    keys: Vec<(PathBuf, Vec<usize>)>,
    notifier: Notifier,
    watched: BTreeMap<WatchId, Watched>,
    /// Something was taken away: when to look whether it is back.
    look_at: Option<Instant>,
}

/// A watched directory, and the names in it that lead to a secret.
struct Watched {
    path: PathBuf,
    names: Names,
}

/// What is looked up in a directory, each with the places of the sources that it leads to.
type Names = BTreeMap<OsString, BTreeSet<usize>>;

/// Where a path leads through: directories, and what is looked up in each.
type Trail = BTreeMap<PathBuf, Names>;

impl DirectoryWatch {
    pub(super) fn new(
        store: StoreName,
        path: &Path,
        keys: &BTreeMap<&str, Vec<usize>>,
    ) -> Result<Self, StoreError> {
        let fault = |source| fault(&store, path, source);
        let path = std::path::absolute(path).map_err(fault)?;
        let notifier = Notifier::new().map_err(fault)?;
        let mut watch = Self {
            keys: keys
                .iter()
                .map(|(key, places)| (path.join(key), places.clone()))
                .collect(),
            store,
            path,
            notifier,
            watched: BTreeMap::new(),
            look_at: None,
        };
        watch.arm()?;
        Ok(watch)
    }

    /// Watches what leads to the files now, and no more what did before.
    fn arm(&mut self) -> Result<(), StoreError> {
        let all = self.all();
        let mut trail = Trail::new();
        for (directory, names) in links(&self.path) {
            for name in names {
                note(&directory, &name, &all, &mut trail);
            }
        }
        ascend(&self.path, &all, &mut trail);
        for (key, places) in &self.keys {
            descend(&self.path, key, places, &mut trail);
        }
        let mut watched: BTreeMap<WatchId, Watched> = BTreeMap::new();
        for (path, names) in trail {
            match self.notifier.add(&path, MASK) {
                // One directory may be reached by many paths.
                Ok(id) => {
                    let names_there = &mut watched
                        .entry(id)
                        .or_insert_with(|| Watched {
                            path,
                            names: Names::new(),
                        })
                        .names;
                    for (name, places) in names {
                        names_there.entry(name).or_default().extend(places);
                    }
                }
                // It went away meanwhile, which the directory above it tells; or it is one above
                // the store's that may only be passed through.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && !path.starts_with(&self.path) => {}
                Err(error) => return Err(fault(&self.store, &path, error)),
            }
        }
        for id in self.watched.keys().filter(|id| !watched.contains_key(id)) {
            self.notifier
                .remove(*id)
                .map_err(|error| fault(&self.store, &self.path, error))?;
        }
        self.watched = watched;
        Ok(())
    }

    /// What events ask for: nothing, to look where the files are now, or also to fetch them.
    fn judge(&self, events: &[Event]) -> Verdict {
        events
            .iter()
            .map(|event| self.judge_one(event))
            .max()
            .unwrap_or(Verdict::Nothing)
    }

    fn judge_one(&self, event: &Event) -> Verdict {
        if event.is_overflow() {
            return Verdict::Fetch;
        }
        let Some(watched) = self.watched.get(&event.id) else {
            return Verdict::Nothing;
        };
        let Some(name) = &event.name else {
            // The directory itself was moved, removed or unmounted.
            return Verdict::Arm;
        };
        if !watched.names.contains_key(name) {
            return Verdict::Nothing;
        }
        if event
            .mask
            .intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO)
        {
            return Verdict::Fetch;
        }
        if !event.mask.contains(EventMask::CREATE) {
            return Verdict::Arm;
        }
        match fs::symlink_metadata(watched.path.join(name)) {
            // It is about to be written, and its closing will tell; a hard link has its content.
            Ok(file) if file.is_file() && file.nlink() == 1 => Verdict::Nothing,
            _ => Verdict::FetchIfThere,
        }
    }

    /// The sources whose files are not there.
    fn missing(&self) -> Vec<usize> {
        let missing = self.keys.iter().filter(|(key, _)| !key.is_file());
        missing.flat_map(|(_, places)| places).copied().collect()
    }

    fn all(&self) -> Vec<usize> {
        let places = self.keys.iter().flat_map(|(_, places)| places);
        places.copied().collect()
    }

    /// The sources that events are about.
    fn concerned(&self, events: &[Event]) -> Vec<usize> {
        let mut found = BTreeSet::new();
        for event in events {
            let watched = self.watched.get(&event.id);
            let name = event.name.as_ref();
            match watched
                .zip(name)
                .map(|(watched, name)| watched.names.get(name))
            {
                Some(Some(places)) => found.extend(places),
                Some(None) => {}
                None => return self.all(),
            }
        }
        found.into_iter().collect()
    }
}

/// In the order of what it makes one do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Nothing,
    Arm,
    FetchIfThere,
    Fetch,
}

impl Watch for DirectoryWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move {
            loop {
                let events = tokio::select! {
                    events = self.notifier.next() => events,
                    () = until(self.look_at) => {
                        self.look_at = None;
                        let missing = self.missing();
                        if missing.is_empty() {
                            continue;
                        }
                        // The fetch reports what it does not find.
                        return Ok(WatchEvent::Changed(missing));
                    }
                };
                let events = events.map_err(|error| fault(&self.store, &self.path, error))?;
                let verdict = self.judge(&events);
                if verdict == Verdict::Nothing {
                    continue;
                }
                let changed = self.concerned(&events);
                // Armed first: what changes after this is told by the next event, and what changed
                // before is seen by the fetch.
                self.arm()?;
                let fetch = match verdict {
                    Verdict::Fetch => true,
                    Verdict::FetchIfThere => self.missing().is_empty(),
                    Verdict::Arm | Verdict::Nothing => false,
                };
                // Whatever it was, something else may have gone with it.
                self.look_at
                    .get_or_insert_with(|| Instant::now() + REPLACED_WITHIN);
                if fetch {
                    return Ok(WatchEvent::Changed(changed));
                }
            }
        })
    }
}

/// The name of the store's directory in the one above; where that is missing, its name in the one
/// above it, and so on, until there is one.
fn ascend(path: &Path, places: &[usize], trail: &mut Trail) {
    for path in path.ancestors() {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if parent.is_dir() {
            note(parent, name, places, trail);
            return;
        }
    }
}

/// The directories between the store's and the file, through all links.
fn descend(base: &Path, file: &Path, places: &[usize], trail: &mut Trail) {
    let mut here = base.to_owned();
    let mut todo: Vec<OsString> = parts(file.strip_prefix(base).unwrap_or(file));
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        note(&here, &name, places, trail);
        let next = here.join(&name);
        match fs::read_link(&next) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return;
                }
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                todo.extend(parts(&target));
            }
            Err(_) if next.is_dir() => here = next,
            // The file, or nothing yet.
            Err(_) => return,
        }
    }
}

fn note(directory: &Path, name: &OsStr, places: &[usize], trail: &mut Trail) {
    let names = trail.entry(directory.to_owned()).or_default();
    names.entry(name.to_owned()).or_default().extend(places);
}

fn fault(store: &StoreName, path: &Path, source: io::Error) -> StoreError {
    StoreError {
        store: store.clone(),
        asked: None,
        fault: Fault::Unreachable {
            tried: path.to_owned(),
            source,
        },
    }
}
