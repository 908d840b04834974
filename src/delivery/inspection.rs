//! Whether what was delivered is still where it was put.
//!
//! A program may write to a delivered path: redis at ACL SAVE, `sed -i`, git's credential store rename a
//! file of their own over it, others remove it and make it anew. Then no rotation reaches the program
//! any more. So the entries of the delivery directories are watched, by descriptor, and looked at before
//! and after each rotation: a link that is gone or is something else is put back, and what cannot be is
//! told of for as long as it lasts.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::layout::TEMPORARY;
use crate::sys::clock::until;
use crate::sys::filesystem::{self, Kind, Status};
use crate::sys::inotify::{Notifier, WatchMask};

/// How often it is looked where inotify is not to be had, and where something is damaged.
const POLL: Duration = Duration::from_secs(5);

/// A program may be between two steps of its own.
const SETTLE: Duration = Duration::from_millis(50);

/// With a program that replaces the same path over and over, the waits between two looks double.
const LONGEST: Duration = Duration::from_mins(1);

/// What puts something else at a name.
pub(super) const NAMES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::ONLYDIR);

/// And what changes a file.
pub(super) const CONTENTS: WatchMask = NAMES.union(WatchMask::MODIFY);

/// What a look found.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What was put back.
    pub put_back: Vec<PutBack>,
    /// What is not as it should be.
    pub damaged: Vec<Damage>,
}

/// A path that leads to what is delivered again.
#[derive(Debug, PartialEq, Eq)]
pub struct PutBack {
    /// Which.
    pub path: PathBuf,
    /// It was gone; else it was something else.
    pub removed: bool,
}

/// A path that does not lead to what was delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which.
    pub path: PathBuf,
    /// Its index in the plan's deliveries, where the delivered file itself was changed: the next
    /// generation has it anew. `None`: nothing can be delivered there.
    pub file: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl Inspection {
    pub(super) fn extend(&mut self, other: Self) {
        self.put_back.extend(other.put_back);
        self.damaged.extend(other.damaged);
    }

    pub(super) fn note(&mut self, path: PathBuf, found: io::Result<Option<bool>>) {
        match found {
            Ok(None) => {}
            Ok(Some(removed)) => self.put_back.push(PutBack { path, removed }),
            Err(error) => self.damaged.push(Damage {
                why: format!(
                    "{} was removed or replaced, and cannot be put back: {error}",
                    path.display()
                ),
                path,
                file: None,
            }),
        }
    }
}

/// A file as hushpipe wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Written {
    pub(super) const fn of(status: &Status) -> Self {
        Self {
            inode: status.inode,
            size: status.size,
            modified: status.modified,
        }
    }
}

/// When to look.
#[derive(Default)]
pub(super) struct Lookout {
    notifier: Option<Notifier>,
    began: bool,
    next: Option<Instant>,
    /// The last look that put something back, and how long it is to the one after it.
    calm: Option<(Instant, Duration)>,
}

impl Lookout {
    /// Ends when it is time to look. Can be dropped while it waits.
    pub(super) async fn due(&mut self) {
        if !std::mem::replace(&mut self.began, true) {
            // Without inotify it is looked from time to time.
            self.notifier = Notifier::new().ok();
            self.next = Some(Instant::now());
        }
        if self.notifier.is_none() {
            self.next.get_or_insert_with(|| Instant::now() + POLL);
        }
        loop {
            let happened = tokio::select! {
                biased;
                () = until(self.next) => {
                    self.next = None;
                    return;
                }
                happened = happened(self.notifier.as_ref()) => happened,
            };
            if happened.is_err() {
                self.notifier = None;
            }
            let soon = Instant::now() + SETTLE;
            let calm = self.calm.map_or(soon, |(last, wait)| soon.max(last + wait));
            self.next = Some(self.next.map_or(calm, |next| next.min(calm)));
        }
    }

    /// Before a look: what happened so far is seen by it.
    pub(super) fn begin<'a>(
        &mut self,
        directories: impl Iterator<Item = (&'a OwnedFd, WatchMask)>,
    ) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        let mut directories = directories;
        let watched = directories.try_for_each(|(directory, mask)| {
            let path = filesystem::path_of(directory.as_fd());
            notifier.add(&path, mask).map(drop)
        });
        if watched.and_then(|()| notifier.pending()).is_err() {
            self.notifier = None;
        }
    }

    pub(super) fn end(&mut self, found: &Inspection) {
        let now = Instant::now();
        if !found.put_back.is_empty() {
            let wait = match self.calm {
                Some((last, wait)) if now - last < wait * 2 + LONGEST => (wait * 2).min(LONGEST),
                _ => SETTLE,
            };
            self.calm = Some((now, wait));
            // Its own changes are no reason to look again.
            if let Some(notifier) = &self.notifier
                && notifier.pending().is_err()
            {
                self.notifier = None;
            }
        }
        self.next = (!found.damaged.is_empty()).then(|| now + POLL);
    }
}

async fn happened(notifier: Option<&Notifier>) -> io::Result<()> {
    match notifier {
        Some(notifier) => notifier.next().await.map(drop),
        None => std::future::pending().await,
    }
}

/// Puts a link back at its name, if it is not there: whether it was gone; `None`: it is there.
pub(super) fn put_back(root: &OwnedFd, name: &OsStr, target: &Path) -> io::Result<Option<bool>> {
    let found = filesystem::status_at(root, name)?;
    if found.is_some_and(|found| found.kind == Kind::Link)
        && filesystem::read_link_at(root, name)? == target
    {
        return Ok(None);
    }
    filesystem::unlink_at(root, TEMPORARY)?;
    filesystem::make_link_at(target, root, TEMPORARY)?;
    filesystem::rename_at(root, TEMPORARY, name)?;
    Ok(Some(found.is_none()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::fixtures::{file, memory, payloads, plan, secret};
    use super::super::layout::named;
    use super::super::{Carried, Files, Layout, Live, Owner};
    use super::*;
    use crate::model::{Generation, Receipt};

    /// Two directories with a file each, `1` and `2`.
    fn delivered(place: &Path) -> (Files, [PathBuf; 2]) {
        let paths = [place.join("a/one"), place.join("b/two")];
        let plan = plan(paths.iter().map(|path| (file(path), secret("x"))).collect());
        let layout = Layout::of(&plan);
        let roots = layout.directories().into_iter().map(|path| {
            fs::create_dir_all(&path).unwrap();
            filesystem::open_directory(&path).unwrap()
        });
        let mut files = Files::new(&layout, roots.collect(), vec![Owner::default(); 2]).unwrap();
        files
            .stage(Generation(1), &Carried::all(&payloads(&[b"1", b"2"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        assert!(files.look().put_back.is_empty());
        (files, paths)
    }

    fn read(paths: &[PathBuf; 2]) -> [Vec<u8>; 2] {
        paths.each_ref().map(|path| fs::read(path).unwrap())
    }

    #[test]
    fn what_is_put_at_a_delivered_path_makes_way_for_what_is_delivered() {
        let place = memory();
        let (mut files, paths) = delivered(place.path());
        let other = place.path().join("other");
        fs::write(&other, "x").unwrap();
        for path in [
            &paths[0],
            &paths[1],
            &place.path().join("a/..data"),
            &place.path().join("b/..data"),
        ] {
            for removed in [true, false] {
                fs::remove_file(path).unwrap();
                if !removed {
                    symlink(&other, path).unwrap();
                }
                let found = files.look();
                let path = path.clone();
                assert_eq!(found.put_back, [PutBack { path, removed }]);
                assert_eq!(found.damaged, []);
                assert_eq!(read(&paths), [b"1", b"2"]);
            }
        }
        fs::rename(&other, &paths[0]).unwrap();
        files
            .stage(Generation(2), &Carried::all(&payloads(&[b"3", b"4"])))
            .unwrap();
        assert!(!files.look().put_back[0].removed);
        files.swap(&Receipt::of_a_test()).unwrap();
        assert_eq!(read(&paths), [b"3", b"4"]);
    }

    #[test]
    fn what_cannot_be_put_back_is_told_while_it_lasts() {
        let place = memory();
        let (mut files, paths) = delivered(place.path());
        fs::remove_file(&paths[1]).unwrap();
        fs::create_dir_all(paths[1].join("in/it")).unwrap();
        for _ in 0..2 {
            let found = files.look();
            assert_eq!(found.put_back, []);
            assert_eq!(found.damaged[0].path, paths[1]);
            assert_eq!(found.damaged[0].file, None);
        }
        fs::remove_dir_all(&paths[1]).unwrap();
        assert!(files.look().put_back[0].removed);
        assert_eq!(files.look().damaged, []);
    }

    #[test]
    fn a_delivered_file_that_was_changed_is_damaged_until_it_is_delivered_anew() {
        let place = memory();
        let (mut files, paths) = delivered(place.path());
        let lead = place.path().join("a");
        for number in 1..=3_u64 {
            match number {
                1 => fs::write(&paths[0], "longer").unwrap(),
                2 => fs::remove_file(lead.join("..data/one")).unwrap(),
                // All of it, the other directory's files as well.
                _ => fs::remove_dir_all(lead.join(named(Generation(3)))).unwrap(),
            }
            let damaged: Vec<_> = files.look().damaged.iter().map(|d| d.file).collect();
            let all = [Some(0), Some(1)];
            assert_eq!(damaged, all[..if number == 3 { 2 } else { 1 }]);
            let next = Generation(number + 1);
            files
                .stage(next, &Carried::all(&payloads(&[b"5", b"6"])))
                .unwrap();
            files.swap(&Receipt::of_a_test()).unwrap();
            assert_eq!(files.look().damaged, []);
            files.retire().unwrap();
            assert_eq!(read(&paths), [b"5", b"6"]);
        }
    }

    #[test]
    fn a_look_is_due_when_something_happened_and_not_before() {
        let place = memory();
        let (mut files, paths) = delivered(place.path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            // What happened before it was watched.
            files.serve().await.ok();
            files.look();
            let quiet = tokio::time::timeout(SETTLE * 3, files.serve()).await;
            assert!(quiet.is_err());
            fs::remove_file(&paths[0]).unwrap();
            tokio::time::timeout(POLL / 2, files.serve())
                .await
                .unwrap()
                .ok();
            assert!(files.look().put_back[0].removed);
            // Its own changes are none.
            let quiet = tokio::time::timeout(SETTLE * 3, files.serve()).await;
            assert!(quiet.is_err());
        });
    }
}
