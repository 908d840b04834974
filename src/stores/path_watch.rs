//! Follows paths by inotify(7): reports when a file, or what a directory has, may be another one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::trail::{OnTheWay, Trail, follow};
use super::{Fault, Local, StoreError, Watch, WatchEvent};
use crate::model::StoreName;
use crate::sys::clock::until;
use crate::sys::inotify::{Event, EventMask, Notifier, WatchId, WatchMask};

/// A file may be gone for so long while it is being replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(1);

/// A tree that changes all the time is watched as it is after so many looks: what comes then is an event.
const ROUNDS: usize = 16;

/// What gives a directory another name.
const ITSELF: WatchMask = WatchMask::DELETE_SELF
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// And what gives a name in it another content.
const MASK: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::CREATE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(ITSELF);

/// A path that is followed, from the store's directory on.
pub(super) enum Wanted {
    /// A file.
    File(PathBuf),
    /// A directory, of which some entries matter.
    Entries(PathBuf),
}

impl Wanted {
    fn path(&self) -> &Path {
        let (Self::File(path) | Self::Entries(path)) = self;
        path
    }

    fn beneath(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            Self::Entries(path) => Self::Entries(base.join(path)),
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Self::File(path) => path.is_file(),
            Self::Entries(path) => path.is_dir(),
        }
    }
}

/// Whether an entry of a wanted directory matters, by the directory's path and the name.
pub(super) type Matters = Box<dyn Fn(&Path, &OsStr) -> bool>;

/// Watches every directory and link on the way to each path, so that a flip of a link, a rename into
/// place, a write in place, and a directory that is made anew or renamed away, the path's own or one
/// above it, are all seen.
pub(super) struct PathWatch {
    store: StoreName,
    base: PathBuf,
    /// Each with the places of its sources.
    wanted: Vec<(Wanted, Vec<usize>)>,
    matters: Matters,
    notifier: Notifier,
    watched: BTreeMap<WatchId, Watched>,
    /// The sources of wanted directories that something was removed from.
    removed: BTreeSet<usize>,
    /// Something was taken away: when to look whether it is back.
    look_at: Option<Instant>,
}

/// A watched directory, and what matters in it.
struct Watched {
    path: PathBuf,
    on_the_way: OnTheWay,
}

impl PathWatch {
    /// Starts to follow paths in `base`, the store's directory. A path that does not exist is no error: it
    /// may come.
    pub fn start(
        store: StoreName,
        base: &Path,
        wanted: impl IntoIterator<Item = (Wanted, Vec<usize>)>,
        matters: Matters,
    ) -> Result<Self, StoreError> {
        let fault = |source| fault(&store, base, source);
        let base = std::path::absolute(base).map_err(fault)?;
        let notifier = Notifier::new().map_err(fault)?;
        let wanted = wanted.into_iter();
        let mut watch = Self {
            wanted: wanted
                .map(|(wanted, places)| (wanted.beneath(&base), places))
                .collect(),
            store,
            base,
            matters,
            notifier,
            watched: BTreeMap::new(),
            removed: BTreeSet::new(),
            look_at: None,
        };
        watch.arm()?;
        Ok(watch)
    }

    /// Watches what leads to the paths now, and no more what did before. That may change before it is
    /// watched: so it is looked at again afterwards.
    fn arm(&mut self) -> Result<(), StoreError> {
        let mut trail = self.trail();
        for _ in 0..ROUNDS {
            self.watch(&trail)?;
            let now = self.trail();
            if now == trail {
                break;
            }
            trail = now;
        }
        Ok(())
    }

    /// What leads to the paths now.
    fn trail(&self) -> Trail {
        let mut trail = Trail::new();
        for (index, (wanted, places)) in self.wanted.iter().enumerate() {
            let end = follow(&self.base, wanted.path(), places, &mut trail);
            if let (Wanted::Entries(_), Some(end)) = (wanted, end) {
                trail.entry(end).or_default().wanted.insert(index);
            }
        }
        trail
    }

    fn watch(&mut self, trail: &Trail) -> Result<(), StoreError> {
        let mut watched: BTreeMap<WatchId, Watched> = BTreeMap::new();
        // The kernel has one mask for a directory that many paths reach: the larger one comes last.
        let (named, passed): (Vec<_>, Vec<_>) =
            trail.iter().partition(|(_, found)| found.matters());
        let masks = passed.into_iter().map(|found| (found, ITSELF));
        for ((path, found), mask) in masks.chain(named.into_iter().map(|found| (found, MASK))) {
            match self.notifier.add(path, mask) {
                Ok(id) => watched
                    .entry(id)
                    .or_insert_with(|| Watched {
                        path: path.clone(),
                        on_the_way: OnTheWay::default(),
                    })
                    .on_the_way
                    .extend(found),
                // It went away meanwhile, which the directory above it reports.
                Err(error) if is_gone(&error) => {}
                // A directory above the store's may be one that can be passed through alone.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && !path.starts_with(&self.base) => {}
                Err(error) => return Err(fault(&self.store, path, error)),
            }
        }
        for id in self.watched.keys().filter(|id| !watched.contains_key(id)) {
            self.notifier
                .remove(*id)
                .map_err(|error| fault(&self.store, &self.base, error))?;
        }
        self.watched = watched;
        Ok(())
    }

    /// What events ask for: nothing, to look where the paths lead now, or also to fetch.
    fn judge(&self, events: &[Event]) -> Verdict {
        let verdicts = events.iter().map(|event| self.judge_one(event));
        verdicts.max().unwrap_or(Verdict::Nothing)
    }

    fn judge_one(&self, event: &Event) -> Verdict {
        if event.is_overflow() {
            return Verdict::Fetch;
        }
        let Some(watched) = self.watched.get(&event.id) else {
            return Verdict::Nothing;
        };
        let Some(name) = &event.name else {
            // The directory itself was moved, removed or unmounted, and another one may be in its place.
            return Verdict::FetchIfThere;
        };
        if self.led_to(watched, name).is_empty() {
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

    /// The sources that a name in a watched directory leads to.
    fn led_to(&self, watched: &Watched, name: &OsStr) -> BTreeSet<usize> {
        let on_the_way = &watched.on_the_way;
        let mut found = on_the_way.names.get(name).cloned().unwrap_or_default();
        for index in &on_the_way.wanted {
            let (wanted, places) = &self.wanted[*index];
            if (self.matters)(wanted.path(), name) {
                found.extend(places);
            }
        }
        found
    }

    /// The sources whose paths lead nowhere.
    fn missing(&self) -> BTreeSet<usize> {
        let missing = self.wanted.iter().filter(|(wanted, _)| !wanted.is_there());
        missing.flat_map(|(_, places)| places).copied().collect()
    }

    fn all(&self) -> BTreeSet<usize> {
        let places = self.wanted.iter().flat_map(|(_, places)| places);
        places.copied().collect()
    }

    /// The sources that events are about.
    fn concerned(&self, events: &[Event]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for event in events {
            match (self.watched.get(&event.id), &event.name) {
                (Some(watched), Some(name)) => found.extend(self.led_to(watched, name)),
                (Some(_), None) => return self.all(),
                (None, _) if event.is_overflow() => return self.all(),
                // It was watched before.
                (None, _) => {}
            }
        }
        found
    }

    /// Notes what was removed from a wanted directory: the directory itself may be there all the same.
    fn note_removed(&mut self, events: &[Event]) {
        for event in events {
            let is_removal = event
                .mask
                .intersects(EventMask::DELETE | EventMask::MOVED_FROM);
            if let (true, Some(watched), Some(name)) =
                (is_removal, self.watched.get(&event.id), &event.name)
                && !watched.on_the_way.wanted.is_empty()
            {
                let places = self.led_to(watched, name);
                self.removed.extend(places);
            }
        }
    }

    /// What events ask to be fetched, once what leads there now is watched.
    fn happened(&mut self, events: &[Event]) -> Result<Option<BTreeSet<usize>>, StoreError> {
        let verdict = self.judge(events);
        if verdict == Verdict::Nothing {
            return Ok(None);
        }
        let changed = self.concerned(events);
        self.note_removed(events);
        // Armed first: what changes after this is told by the next event, and what changed before is
        // seen by the fetch.
        self.arm()?;
        let fetch = match verdict {
            Verdict::Fetch => true,
            Verdict::FetchIfThere => self.missing().is_empty(),
            Verdict::Arm | Verdict::Nothing => false,
        };
        // Whatever it was, something else may have gone with it.
        self.look_at
            .get_or_insert_with(|| Instant::now() + REPLACED_WITHIN);
        Ok(fetch.then_some(changed))
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

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Watch for PathWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move {
            loop {
                let events = tokio::select! {
                    events = self.notifier.next() => events,
                    () = until(self.look_at) => {
                        self.look_at = None;
                        let mut missing = self.missing();
                        missing.append(&mut self.removed);
                        if missing.is_empty() {
                            continue;
                        }
                        // The fetch reports what it does not find.
                        return Ok(WatchEvent::Changed(missing.into_iter().collect()));
                    }
                };
                let events = events.map_err(|error| fault(&self.store, &self.base, error))?;
                if let Some(changed) = self.happened(&events)? {
                    return Ok(WatchEvent::Changed(changed.into_iter().collect()));
                }
            }
        })
    }
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
