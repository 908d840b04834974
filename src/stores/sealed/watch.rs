//! Tells when a secret's current version may be another one.

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
use crate::stores::{Fault, Local, Seen, StoreError, Watch};
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
    /// The secrets' directories.
    wanted: Vec<PathBuf>,
    /// What is watched: a secret's directory, or the nearest one above it that is there.
    watched: BTreeMap<WatchId, PathBuf>,
    /// Where links on the way stand, and their names.
    links: BTreeMap<WatchId, BTreeSet<OsString>>,
}

impl SealedWatch {
    /// Starts to watch. A directory that is not there is no fault: it may come.
    pub fn start(
        store: StoreName,
        wanted: Vec<PathBuf>,
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
        for wanted in &self.wanted {
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

    /// Whether an event can mean another current version.
    fn matters(&self, event: &Event) -> bool {
        if event.is_overflow() || event.mask.contains(EventMask::IGNORED) {
            return true;
        }
        let flipped = |names: &BTreeSet<OsString>| {
            let name = event.name.as_ref();
            name.is_some_and(|name| names.contains(name))
        };
        if self.links.get(&event.id).is_some_and(flipped) {
            return true;
        }
        if Some(event.id) == self.index_id && self.index.refused.get() {
            let name = event.name.as_deref().and_then(|name| name.to_str());
            if name == Some(INDEX) {
                return true;
            }
        }
        let Some(place) = self.watched.get(&event.id) else {
            return false;
        };
        if !self.wanted.contains(place) || event.mask.contains(EventMask::MOVE_SELF) {
            return true;
        }
        let name = event.name.as_deref().and_then(|name| name.to_str());
        name.is_some_and(|name| {
            // Without a link the highest version is the current one.
            name == CURRENT || version_of(name).is_some() && !place.join(CURRENT).is_symlink()
        })
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
    fn changed(&mut self) -> Local<'_, Result<Seen, StoreError>> {
        Box::pin(async move {
            loop {
                let events = self.notifier.next().await;
                let place = Path::new("inotify");
                let events = events.map_err(|error| fault(&self.store, place, error))?;
                if events.iter().any(|event| self.matters(event)) {
                    self.arm()?;
                    return Ok(Seen::Changed);
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
