//! Delivery directories of hushpipe's own making: what tells them from those of others, also to the next
//! hushpipe after one that was killed.
//!
//! Each has a marker, `.hushpipe`, that is locked by flock(2) for as long as somebody uses it, and
//! says how many of the directories above were made with it. To be whole at any moment, a directory
//! is made, and taken away, under another name beside its place: `.hushpipe-` and a number that
//! follows from its path; where another user has that name, with a number more that nobody can guess.
//! What lies there unlocked is of a dead one, and goes at the next start.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::DeliveryFault;
use super::error::{system, walked};
use super::remedies::cannot_make;
use crate::sys::filesystem::{self, Kind};
use crate::sys::held::{self, Site};
use crate::sys::walk::{Links, Rule};

pub(super) use crate::sys::held::Lock;

/// Held with a flock(2) by each hushpipe that uses the directory.
pub(super) const MARKER: &str = ".hushpipe";

/// How often a start that meets another's tries again.
const TRIES: usize = 100;

/// A directory that was just made.
pub(super) struct Made {
    pub(super) directory: OwnedFd,
    /// Its lock goes with it.
    pub(super) marker: OwnedFd,
    /// How many directories above it were made as well.
    pub(super) above: usize,
    pub(super) site: Site,
}

/// Where a delivery directory is, or is to be: reached through directories that only root, hushpipe's
/// user and, at the end, the program's can change.
pub(super) fn find(path: &Path, user: Option<u32>) -> Result<Site, DeliveryFault> {
    let rule = Rule {
        ends_with: user.as_slice(),
        links: Links::Follow,
        ..Rule::STRICT
    };
    Site::find(path, &rule).map_err(walked)
}

/// Makes a directory with these permission bits, and what is missing above it with 0755, in one step.
/// The place alone: it is there already. What a dead hushpipe left of it on its way goes.
pub(super) fn make(
    path: &Path,
    user: Option<u32>,
    mode: u32,
    lock: Lock,
) -> Result<Result<Made, Site>, DeliveryFault> {
    for _ in 0..TRIES {
        let site = find(path, user)?;
        remove_unfinished(&site)
            .map_err(system("cannot remove what a dead hushpipe left of it"))?;
        // What was swept may have been above it.
        let mut site = find(path, user)?;
        if site
            .status()
            .map_err(system("cannot look at it"))?
            .is_some()
        {
            return Ok(Err(site));
        }
        let above = site.missing();
        let temporary = beside(&site).map_err(system("cannot look at it"))?;
        let marked = |directory: &OwnedFd| mark(directory, &format!("made {above}\n"), lock);
        match site.make(&temporary, mode, marked) {
            Ok(Some((directory, marker))) => {
                return Ok(Ok(Made {
                    directory,
                    marker,
                    above,
                    site,
                }));
            }
            // Somebody makes it, or made it meanwhile.
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(source) => {
                // The error that is returned says more than one of this would.
                remove_unfinished(&site).ok();
                return Err(cannot_make(path, source));
            }
        }
    }
    Err(DeliveryFault::Host(
        "another hushpipe makes or removes it at this moment: start again".to_owned(),
    ))
}

/// Makes the marker, locks it and writes into it.
fn mark(directory: &OwnedFd, text: &str, lock: Lock) -> io::Result<OwnedFd> {
    let marker = filesystem::open_marker_at(directory, MARKER)?;
    if !lock.take(&marker)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    std::fs::File::from(marker.try_clone()?).write_all(text.as_bytes())?;
    Ok(marker)
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// How many directories above its own were made with it.
    Made(usize),
    /// Its directory was there before hushpipe: with these permission bits, of this user and group.
    Found { mode: u32, uid: u32, gid: u32 },
    /// Nothing that this hushpipe knows.
    Nothing,
}

impl Record {
    /// Writes it into a marker, in place of what it says.
    pub(super) fn write(self, marker: &OwnedFd) -> io::Result<()> {
        let text = match self {
            Self::Made(above) => format!("made {above}\n"),
            Self::Found { mode, uid, gid } => format!("found {mode:o} {uid} {gid}\n"),
            Self::Nothing => String::new(),
        };
        let mut file = std::fs::File::from(marker.try_clone()?);
        file.rewind()?;
        file.write_all(text.as_bytes())
    }

    /// Reads it.
    pub(super) fn read(marker: &OwnedFd) -> io::Result<Self> {
        let mut file = std::fs::File::from(marker.try_clone()?);
        file.rewind()?;
        let mut text = String::new();
        // Whatever else it may hold is not hushpipe's.
        file.take(64).read_to_string(&mut text).ok();
        Ok(Self::parse(&text).unwrap_or(Self::Nothing))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let record = match words.next()? {
            "made" => Self::Made(words.next()?.parse().ok()?),
            "found" => Self::Found {
                mode: u32::from_str_radix(words.next()?, 8).ok()?,
                uid: words.next()?.parse().ok()?,
                gid: words.next()?.parse().ok()?,
            },
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

/// Gives a directory that was there before hushpipe the mode and the owner that it had, as its marker
/// says.
pub(super) fn give_back(directory: &OwnedFd, marker: &OwnedFd) -> io::Result<()> {
    if let Record::Found { mode, uid, gid } = Record::read(marker)? {
        filesystem::change_mode(directory, mode)?;
        filesystem::change_owner(directory, Some(uid), Some(gid))?;
        // A change of owner may clear bits.
        if filesystem::status(directory)?.mode != mode {
            filesystem::change_mode(directory, mode)?;
        }
    }
    Ok(())
}

/// As [`Record::read`]: how many directories above its own were made with it; `None` where its directory
/// was there before hushpipe.
pub(super) fn recorded(marker: &OwnedFd) -> io::Result<Option<usize>> {
    Ok(match Record::read(marker)? {
        Record::Made(above) => Some(above),
        Record::Found { .. } | Record::Nothing => None,
    })
}

/// Removes a directory that is empty but for its marker, and those above it that were made with it and
/// are empty. What somebody put into its place stays.
pub(super) fn remove(site: &Site, directory: &OwnedFd, above: usize) -> io::Result<()> {
    let temporary = beside(site)?;
    match site.move_away(directory, above, &temporary) {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Another's mount, or what is left of one that was killed: as good as it can be done.
        Err(_) => return remove_in_place(site, directory, above),
    }
    // Those above first: while it is there, its marker tells the next start of them.
    let mut result = site.remove_above(above);
    let removed = filesystem::unlink_at(directory, MARKER)
        .and_then(|()| site.remove_moved(above, &temporary, directory));
    if removed.is_err() {
        // What others put there is not lost from sight.
        site.move_back(above, &temporary).ok();
        result = removed;
    }
    result
}

fn remove_in_place(site: &Site, directory: &OwnedFd, above: usize) -> io::Result<()> {
    filesystem::unlink_at(directory, MARKER)?;
    site.remove(directory)?;
    site.remove_above(above)
}

/// Removes what a dead hushpipe was making, or taking away.
pub(super) fn remove_unfinished(site: &Site) -> io::Result<()> {
    let fixed = unfinished(&site.path());
    // Its parent: whichever directory was the last that stood.
    for (parent, names) in site.ways() {
        let Some(found) = filesystem::status_at(parent, &fixed)? else {
            continue;
        };
        if found.uid == filesystem::effective_uid() {
            remove_unfinished_at(site, parent, &fixed, names)?;
            continue;
        }
        // Another user's: this one's have a number more.
        for name in filesystem::entries(held::readable(parent)?)? {
            if name.as_bytes().starts_with(fixed.as_bytes()) && name != fixed {
                remove_unfinished_at(site, parent, &name, names)?;
            }
        }
    }
    Ok(())
}

fn remove_unfinished_at(
    site: &Site,
    parent: &OwnedFd,
    temporary: &OsStr,
    names: &[OsString],
) -> io::Result<()> {
    let Ok(directory) = held::open_own_at(parent, temporary) else {
        return Ok(());
    };
    if !filesystem::try_lock(&directory)? {
        return Ok(());
    }
    if filesystem::status_at(&directory, MARKER)?.is_some_and(|found| found.kind == Kind::File) {
        let marker = filesystem::open_marker_at(&directory, MARKER)?;
        if !filesystem::try_lock(&marker)? {
            return Ok(());
        }
        if let Some(above) = recorded(&marker)? {
            site.remove_above(above)?;
            filesystem::unlink_at(&directory, MARKER)?;
            return held::remove_at(parent, temporary, &directory);
        }
    }
    take_apart(parent, temporary, &directory, &names[1..])
}

/// A chain of directories that was not finished, from its deepest one on.
fn take_apart(
    parent: &OwnedFd,
    name: &OsStr,
    directory: &OwnedFd,
    below: &[OsString],
) -> io::Result<()> {
    if let Some((first, rest)) = below.split_first()
        && let Ok(inner) = held::open_own_at(directory, first)
    {
        take_apart(directory, first, &inner, rest)?;
    }
    filesystem::unlink_at(directory, MARKER)?;
    held::remove_at(parent, name, directory)
}

/// The name under which it is made and taken away.
fn beside(site: &Site) -> io::Result<OsString> {
    let fixed = unfinished(&site.path());
    let (nearest, _) = site.nearest();
    let found = filesystem::status_at(nearest, &fixed)?;
    let foreign = found.is_some_and(|found| found.uid != filesystem::effective_uid());
    Ok(if foreign {
        held::unguessable(&format!("{}-", fixed.display()))
    } else {
        fixed
    })
}

/// The name under which a path is made and taken away, where no other user has it.
pub(super) fn unfinished(path: &Path) -> OsString {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    OsString::from(format!("{MARKER}-{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn made(path: &Path) -> Made {
        make(path, None, 0o755, Lock::Exclusive)
            .unwrap()
            .unwrap_or_else(|_| panic!("it is there already"))
    }

    #[test]
    fn what_was_being_taken_away_is_gone_after_the_next_start() {
        for above_is_gone in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let (top, path) = (root.path().join("deep"), root.path().join("deep/er"));
            let first = made(&path);
            assert_eq!(first.above, 1);
            // Killed on its way.
            drop(first);
            fs::rename(&path, root.path().join(unfinished(&path))).unwrap();
            if above_is_gone {
                fs::remove_dir(&top).unwrap();
            }
            let next = made(&path);
            assert_eq!(next.above, 1);
            remove(&next.site, &next.directory, next.above).unwrap();
            assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_lock_that_one_who_dies_still_has_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one");
        let dying = made(&path);
        let next = filesystem::open_marker_at(&dying.directory, MARKER).unwrap();
        assert!(!Lock::Exclusive.take(&next).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                drop(dying);
            });
            assert!(Lock::Exclusive.take_in_time(&next).unwrap());
        });
    }

    #[test]
    fn what_others_put_there_stays_in_its_place() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("deep/er");
        let made = made(&path);
        fs::write(path.join("theirs"), "x").unwrap();
        let refused = remove(&made.site, &made.directory, made.above).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::DirectoryNotEmpty);
        assert_eq!(fs::read_to_string(path.join("theirs")).unwrap(), "x");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_took_the_place_of_a_directory_is_not_removed_in_its_stead() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one");
        let made = made(&path);
        fs::rename(&path, root.path().join("elsewhere")).unwrap();
        fs::create_dir(&path).unwrap();
        remove(&made.site, &made.directory, made.above).unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn a_name_that_another_user_took_is_no_hindrance() {
        if filesystem::effective_uid() != 0 {
            return; // Only root gives directories away.
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("one");
        let squatted = root.path().join(unfinished(&path));
        fs::create_dir(&squatted).unwrap();
        std::os::unix::fs::chown(&squatted, Some(4321), None).unwrap();
        let first = made(&path);
        remove(&first.site, &first.directory, first.above).unwrap();
        assert!(squatted.is_dir() && !path.exists());
        // A dead one's, under a name that is not known.
        let left = root
            .path()
            .join(format!("{}-0", unfinished(&path).display()));
        fs::create_dir(&left).unwrap();
        drop(made(&path));
        assert!(!left.exists());
    }

    #[test]
    fn a_marker_says_what_a_directory_was() {
        let root = tempfile::tempdir().unwrap();
        let directory = filesystem::open_directory(root.path()).unwrap();
        let marker = filesystem::open_marker_at(&directory, MARKER).unwrap();
        assert_eq!(Record::read(&marker).unwrap(), Record::Nothing);
        let found = Record::Found {
            mode: 0o1755,
            uid: 7,
            gid: 8,
        };
        for record in [found, Record::Made(2)] {
            fs::write(root.path().join(MARKER), "").unwrap();
            record.write(&marker).unwrap();
            assert_eq!(Record::read(&marker).unwrap(), record);
        }
        assert_eq!(Record::parse("made 2 3\n"), None);
        assert_eq!(Record::parse("made 2"), None);
    }
}
