//! Reports when a secret's current version may be another one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::state::INDEX;
use super::versions::{CURRENT, version_of};
use crate::model::StoreName;
use crate::stores::path_watch::{PathWatch, Wanted};
use crate::stores::{Local, StoreError, Watch, WatchEvent};

/// Watches the directories of some secrets, and the store's own: the index may come last, where another
/// tool brings the files, such as rsync.
pub struct SealedWatch {
    watch: PathWatch,
    /// Something was reported and not fetched yet, or what was fetched last was refused: any file of the
    /// store may end that.
    unsettled: Rc<Cell<bool>>,
}

impl SealedWatch {
    /// Starts to watch the secrets in these directories, each with the places of its sources.
    pub fn start(
        name: StoreName,
        store: &Path,
        secrets: BTreeMap<PathBuf, Vec<usize>>,
        unsettled: &Rc<Cell<bool>>,
    ) -> Result<Self, StoreError> {
        let all = secrets.values().flatten().copied().collect();
        let index = (Wanted::Entries(PathBuf::new()), all);
        let wanted = secrets.into_iter().map(|(path, places)| {
            let beneath = path.strip_prefix(store).unwrap_or(&path);
            (Wanted::Entries(beneath.to_owned()), places)
        });
        let (own, cell) = (std::path::absolute(store), Rc::clone(unsettled));
        let matters = move |place: &Path, entry: &OsStr| {
            if own.as_ref().is_ok_and(|own| own == place) {
                return entry == INDEX && cell.get();
            }
            cell.get() || is_current(place, entry)
        };
        let watch = PathWatch::start(name, store, wanted.chain([index]), Box::new(matters))?;
        Ok(Self {
            watch,
            unsettled: Rc::clone(unsettled),
        })
    }
}

/// Whether an entry says which version is the current one: without a link, the highest version is.
fn is_current(place: &Path, entry: &OsStr) -> bool {
    entry == CURRENT
        || entry.to_str().and_then(version_of).is_some() && !place.join(CURRENT).is_symlink()
}

impl Watch for SealedWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move {
            let event = self.watch.changed().await?;
            if matches!(event, WatchEvent::Changed(_)) {
                self.unsettled.set(true);
            }
            Ok(event)
        })
    }
}
