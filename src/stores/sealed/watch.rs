//! Reports when a secret's current version may be another one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::state::INDEX;
use super::versions::{CURRENT, version_of};
use crate::model::StoreName;
use crate::stores::links::links;
use crate::stores::{Fault, Local, StoreError, Watch, WatchEvent};
use crate::sys::inotify::{Event, EventMask, Notifier, WatchId, WatchMask};

/// The store's index: it comes last where another tool brings the files, such as rsync.
pub struct IndexAt {
    store: PathBuf,
    /// What was fetched last was refused.
    refused: Rc<Cell<bool>>,
}

impl IndexAt {
    /// Of the store in a directory.
    pub fn new(store: &Path, refused: &Rc<Cell<bool>>) -> Self {
        let (store, refused) = (store.to_owned(), Rc::clone(refused));
        Self { store, refused }
    }
}

/// Watches the directories of some secrets.
pub struct SealedWatch {
    store: StoreName,
    notifier: Notifier,
    index: IndexAt,
    index_id: Option<WatchId>,
    /// The secrets' directories, each with the places of its sources.
    wanted: BTreeMap<PathBuf, Vec<usize>>,
    /// What is watched: a secret's directory, or the nearest one above it that is there.
    watched: BTreeMap<WatchId, PathBuf>,
    /// Where links on the way stand, and their names.
    links: BTreeMap<WatchId, BTreeSet<OsString>>,
}

impl SealedWatch {
    /// Starts to watch. A directory that is not there is no fault: it may come.
    pub fn start(
        store: StoreName,
        wanted: BTreeMap<PathBuf, Vec<usize>>,
        index: IndexAt,
    ) -> Result<Self, StoreError> {
        let notifier =
            Notifier::new().map_err(|error| fault(&store, Path::new("inotify"), error))?;
        let mut watch = Self {
            store,
            notifier,
            index,
            index_id: None,
            wanted,
            watched: BTreeMap::new(),
            links: BTreeMap::new(),
        };
        watch.arm()?;
        Ok(watch)
    }

    /// Watches each directory, or where it would come. What is watched already stays.
    fn arm(&mut self) -> Result<(), StoreError> {
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::CLOSE_WRITE
            | WatchMask::DELETE
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        self.watched.clear();
        self.links.clear();
        // The directory may come with the secrets.
        self.index_id = self.notifier.add(&self.index.store, mask).ok();
        for wanted in self.wanted.keys() {
            for (place, names) in links(wanted) {
                // Links can be passed where their directory cannot be read: then their flips are
                // not seen, as there is no way to.
                if let Ok(id) = self.notifier.add(&place, mask) {
                    self.links.entry(id).or_default().extend(names);
                }
            }
            let (id, place) = loop {
                if let Some(found) = nearest(&self.notifier, wanted, mask)
                    .map_err(|error| fault(&self.store, wanted, error))?
                {
                    break found;
                }
            };
            self.watched.insert(id, place);
        }
        Ok(())
    }

    /// The sources of which an event can mean another current version.
    fn concerned(&self, event: &Event) -> Vec<usize> {
        let all = || self.wanted.values().flatten().copied().collect();
        if event.is_overflow() || event.mask.contains(EventMask::IGNORED) {
            return all();
        }
        let name = event.name.as_ref();
        let flipped = |names: &BTreeSet<OsString>| name.is_some_and(|name| names.contains(name));
        if self.links.get(&event.id).is_some_and(flipped) {
            return all();
        }
        let name = name.and_then(|name| name.to_str());
        let is_index = Some(event.id) == self.index_id && name == Some(INDEX);
        if is_index && self.index.refused.get() {
            return all();
        }
        let Some(place) = self.watched.get(&event.id) else {
            return Vec::new();
        };
        let Some(sources) = self.wanted.get(place) else {
            // What is wanted may have come below it.
            let below = self
                .wanted
                .iter()
                .filter(|(path, _)| path.starts_with(place));
            return below.flat_map(|(_, sources)| sources).copied().collect();
        };
        let matters = event.mask.contains(EventMask::MOVE_SELF)
            || name.is_some_and(|name| {
                // Without a link the highest version is the current one.
                name == CURRENT || version_of(name).is_some() && !place.join(CURRENT).is_symlink()
            });
        if matters { sources.clone() } else { Vec::new() }
    }
}

/// Watches `wanted`, or the nearest directory above it that is there. `None`: it came while we
/// looked, look again.
fn nearest(
    notifier: &Notifier,
    wanted: &Path,
    mask: WatchMask,
) -> io::Result<Option<(WatchId, PathBuf)>> {
    let mut missing: Option<&Path> = None;
    for place in wanted.ancestors() {
        match notifier.add(place, mask) {
            Ok(_) if missing.is_some_and(Path::exists) => return Ok(None),
            Ok(id) => return Ok(Some((id, place.to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = Some(place),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

impl Watch for SealedWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move {
            loop {
                let events = self.notifier.next().await;
                let place = Path::new("inotify");
                let events = events.map_err(|error| fault(&self.store, place, error))?;
                let changed: BTreeSet<usize> = events
                    .iter()
                    .flat_map(|event| self.concerned(event))
                    .collect();
                if !changed.is_empty() {
                    self.arm()?;
                    return Ok(WatchEvent::Changed(changed.into_iter().collect()));
                }
            }
        })
    }
}

fn fault(store: &StoreName, tried: &Path, source: io::Error) -> StoreError {
    StoreError {
        store: store.clone(),
        asked: None,
        fault: Fault::Unreachable {
            tried: tried.to_owned(),
            source,
        },
    }
}
