//! Changes of files where inotify is not to be had: by looking at them from time to time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::{Fault, Local, StoreError, Watch, WatchEvent};
use crate::model::StoreName;
use crate::sys::inotify;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);

/// A file that is being written is left alone for so long, and so often.
const SETTLE: Duration = Duration::from_millis(200);
const MOST: u32 = 25;

/// What tells one file, and one content, from another: device, inode, size and times.
type Mark = (u64, u64, u64, (i64, i64), (i64, i64));

/// Files or directories, each with the places of its sources.
pub(super) type Paths = BTreeMap<PathBuf, Vec<usize>>;

/// Looks at files or directories, through all links.
struct PolledWatch {
    paths: Vec<(PathBuf, Vec<usize>)>,
    marks: Vec<Option<Mark>>,
    /// A warning that was not given yet.
    warning: Option<String>,
}

/// A store's watch, or one that polls `paths` where the system has no inotify left for it: a store can
/// be used without.
pub(super) fn or_polled<W: Watch + 'static>(
    store: &StoreName,
    watch: Result<W, StoreError>,
    paths: impl FnOnce() -> Paths,
) -> Result<Option<Box<dyn Watch>>, StoreError> {
    let error = match watch {
        Ok(watch) => return Ok(Some(Box::new(watch))),
        Err(error) => error,
    };
    let Fault::Unreachable { source, .. } = &error.fault else {
        return Err(error);
    };
    let Some(why) = inotify::lacking(source) else {
        return Err(error);
    };
    let every = crate::model::format_duration(EVERY);
    let warning = format!("store {store} is looked at every {every}, not watched: {why}");
    Ok(Some(Box::new(PolledWatch::new(paths(), warning))))
}

impl PolledWatch {
    fn new(paths: Paths, warning: String) -> Self {
        let mut watch = Self {
            paths: paths.into_iter().collect(),
            marks: Vec::new(),
            warning: Some(warning),
        };
        watch.marks = watch.look();
        watch
    }

    fn look(&self) -> Vec<Option<Mark>> {
        self.paths.iter().map(|(path, _)| mark(path)).collect()
    }

    /// Ends when some file is another one and is not being written any more, with the places of its
    /// sources.
    async fn differs(&mut self) -> Vec<usize> {
        loop {
            sleep(EVERY).await;
            let mut now = self.look();
            if now == self.marks {
                continue;
            }
            for _ in 0..MOST {
                sleep(SETTLE).await;
                let later = self.look();
                if later == now {
                    break;
                }
                now = later;
            }
            let before = std::mem::replace(&mut self.marks, now);
            let pairs = before.iter().zip(&self.marks).zip(&self.paths);
            let changed = pairs.filter(|((before, now), _)| before != now);
            let mut places: Vec<usize> = changed
                .flat_map(|(_, (_, places))| places)
                .copied()
                .collect();
            places.sort_unstable();
            places.dedup();
            return places;
        }
    }
}

impl Watch for PolledWatch {
    fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
        Box::pin(async move {
            if let Some(warning) = self.warning.take() {
                return Ok(WatchEvent::Unwatched(warning));
            }
            Ok(WatchEvent::Changed(self.differs().await))
        })
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let found = fs::metadata(path).ok()?;
    let modified = (found.mtime(), found.mtime_nsec());
    let changed = (found.ctime(), found.ctime_nsec());
    Some((found.dev(), found.ino(), found.size(), modified, changed))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Never;

    impl Watch for Never {
        fn changed(&mut self) -> Local<'_, Result<WatchEvent, StoreError>> {
            Box::pin(std::future::pending())
        }
    }

    fn instead_of(code: i32, paths: &[&Path]) -> Result<Option<Box<dyn Watch>>, StoreError> {
        let store = StoreName::new("d").unwrap();
        let error = StoreError {
            store: store.clone(),
            asked: None,
            fault: Fault::Unreachable {
                tried: PathBuf::from("/"),
                source: io::Error::from_raw_os_error(code),
            },
        };
        let paths = paths.iter().enumerate();
        let paths = paths
            .map(|(place, path)| (path.to_path_buf(), vec![place]))
            .collect();
        or_polled::<Never>(&store, Err(error), || paths)
    }

    #[test]
    fn without_inotify_a_flip_is_found_by_looking() {
        let place = tempfile::tempdir().unwrap();
        let (one, two, link) = (
            place.path().join("one"),
            place.path().join("two"),
            place.path().join("link"),
        );
        fs::write(&one, "x").unwrap();
        fs::write(&two, "x").unwrap();
        symlink(&one, &link).unwrap();
        let mut watch = instead_of(libc::EMFILE, &[&link]).unwrap().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let Ok(WatchEvent::Unwatched(warning)) = watch.changed().await else {
                panic!("it says so");
            };
            assert!(
                warning.contains("fs.inotify.max_user_instances"),
                "{warning}"
            );
            symlink(&two, place.path().join("new")).unwrap();
            fs::rename(place.path().join("new"), &link).unwrap();
            let changed = watch.changed().await;
            assert!(matches!(changed, Ok(WatchEvent::Changed(places)) if places == [0]));
            let more = tokio::time::timeout(EVERY * 3 / 2, watch.changed()).await;
            assert!(more.is_err(), "told once");
        });
    }

    #[test]
    fn what_is_no_want_of_inotify_stays_an_error() {
        assert!(instead_of(libc::ENOSPC, &[]).is_ok());
        assert!(instead_of(libc::EACCES, &[]).is_err());
    }
}
