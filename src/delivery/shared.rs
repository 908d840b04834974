//! Shared directories: 0700, on memory filesystems alone, removed at the end. A marker that is
//! locked for hushpipe's life tells a living owner's directory from a dead one's.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::error::system;
use super::layout::Directory;
use super::made::{self, Lock, MARKER, Made, Record};
use super::mount_points::{Standing, can_make, standing};
use super::remedies::{foreign_entry, in_use, instead, tmpfs_flag};
use super::sweep::{Found, is_marker, owned_by_dead, survey};
use super::{DeliveryError, DeliveryFault, Layout, Live, Owner};
use crate::model::{Event, Observer};
use crate::sys::filesystem::{self, Filesystem};
use crate::sys::held::Site;
use crate::sys::walk;

/// The shared delivery directories of one launch: emptied and removed when dropped.
pub struct SharedDirectories {
    held: Vec<Held>,
    /// Given back before the removal, which opens directories: where the limit of open files ends a
    /// launch, what it has delivered can still be removed.
    reserve: Vec<OwnedFd>,
}

/// The removal opens a directory's generation, the directories in that, and the lists of both.
const RESERVE: usize = 4;

struct Held {
    path: PathBuf,
    site: Site,
    directory: OwnedFd,
    /// Its lock goes with it.
    marker: OwnedFd,
    /// Made by hushpipe, by this one or a dead one, with so many directories above it: they go at the
    /// end. `None`: someone else made it.
    made: Option<usize>,
}

impl SharedDirectories {
    /// Makes, or takes over, the layout's directories for an owner. What a dead hushpipe left there
    /// is removed, and [`Event::Swept`] tells of it. On a fault everything made so far is removed.
    pub fn make(
        layout: &Layout,
        owner: Owner,
        observer: &dyn Observer,
    ) -> Result<Self, DeliveryError> {
        let mut shared = Self {
            held: Vec::new(),
            reserve: reserve().map_err(DeliveryError::system("/", "cannot open it"))?,
        };
        for directory in &layout.directories {
            check(directory, layout.user.or(owner.uid)).map_err(|fault| directory.error(fault))?;
            let held = Held::take(&directory.path, layout.user, owner, observer)
                .map_err(|fault| directory.error(fault))?;
            shared.held.push(held);
        }
        Ok(shared)
    }

    /// Lets the owners and groups that deliveries name pass through a directory to their files: they
    /// see no list of it. Of others' files, each has its own mode. `owners` are those of the plan's
    /// deliveries, `owner` is the directories'.
    pub fn admit(
        &self,
        layout: &Layout,
        owner: Owner,
        owners: &[Owner],
    ) -> Result<(), DeliveryError> {
        for (held, directory) in self.held.iter().zip(&layout.directories) {
            let entries = directory.entries.iter();
            let mode = entries.fold(0o700, |mode, entry| {
                let of = owners.get(entry.delivery).copied().unwrap_or(owner);
                mode | passage(owner, of, entry.mode.bits())
            });
            if mode != 0o700 {
                filesystem::change_mode(&held.directory, mode)
                    .map_err(system("cannot set its mode"))
                    .map_err(|fault| directory.error(fault))?;
            }
        }
        Ok(())
    }

    /// Descriptors of the directories, in the layout's order, for [`super::Files`].
    pub fn directories(&self) -> Result<Vec<OwnedFd>, DeliveryError> {
        let held = self.held.iter();
        held.map(|held| {
            let wrong = DeliveryError::system(held.path.display().to_string(), "cannot open it");
            held.directory.try_clone().map_err(wrong)
        })
        .collect()
    }
}

/// What a directory's mode needs for a file of this owner and mode.
fn passage(directory: Owner, file: Owner, mode: u32) -> u32 {
    let for_owner = if file.uid == directory.uid { 0 } else { 0o011 };
    let for_group = match mode & 0o040 {
        0 => 0,
        _ if file.gid == directory.gid => 0o010,
        _ => 0o011,
    };
    for_owner | for_group
}

fn reserve() -> io::Result<Vec<OwnedFd>> {
    let open = |_| walk::directory(Path::new("/"), &walk::Rule::STRICT).map_err(io::Error::other);
    (0..RESERVE).map(open).collect()
}

impl Live for SharedDirectories {
    /// Removes everything, and says what could not be removed.
    fn remove(mut self: Box<Self>) -> Result<(), DeliveryError> {
        self.reserve.clear();
        let mut result = Ok(());
        // Those that were made above one go when those of the others are gone.
        for held in std::mem::take(&mut self.held).into_iter().rev() {
            let path = held.path.clone();
            if let Err(fault) = held.remove() {
                result = Err(DeliveryError::about(&path, fault));
            }
        }
        result
    }

    fn give_up(self: Box<Self>) -> Result<(), DeliveryError> {
        self.remove()
    }
}

impl Drop for SharedDirectories {
    fn drop(&mut self) {
        self.reserve.clear();
        for held in self.held.drain(..).rev() {
            if held.remove().is_err() {
                // The next start sweeps it. Who wants to know calls `remove`.
            }
        }
    }
}

impl Held {
    fn take(
        path: &Path,
        user: Option<u32>,
        owner: Owner,
        observer: &dyn Observer,
    ) -> Result<Self, DeliveryFault> {
        let mut held = match made::make(path, user.or(owner.uid), 0o700, Lock::Exclusive)? {
            Ok(made) => Self::new(path, made),
            Err(site) => Self::take_standing(path, site, owner)?,
        };
        match held.adopt(owner, observer) {
            Ok(()) => Ok(held),
            Err(fault) => {
                held.undo();
                Err(fault)
            }
        }
    }

    fn new(path: &Path, made: Made) -> Self {
        Self {
            path: path.to_owned(),
            site: made.site,
            directory: made.directory,
            marker: made.marker,
            made: Some(made.above),
        }
    }

    fn take_standing(path: &Path, site: Site, owner: Owner) -> Result<Self, DeliveryFault> {
        let directory = site.open().map_err(system("cannot open it"))?;
        check_owner(path, &directory, owner)?;
        let marker = lock(&directory)?;
        let record = Record::read(&marker).map_err(system("cannot read the marker in it"))?;
        let made = match record {
            Record::Made(above) => Some(above),
            Record::Found { .. } => None,
            // It is put back as it was, by this hushpipe or the one that sweeps after it.
            Record::Nothing => {
                let found = filesystem::status(&directory).map_err(system("cannot look at it"))?;
                let record = Record::Found {
                    mode: found.mode,
                    uid: found.uid,
                    gid: found.gid,
                };
                let written = record.write(&marker);
                written.map_err(system("cannot write the marker in it"))?;
                None
            }
        };
        Ok(Self {
            path: path.to_owned(),
            site,
            directory,
            marker,
            made,
        })
    }

    fn adopt(&mut self, owner: Owner, observer: &dyn Observer) -> Result<(), DeliveryFault> {
        // First its mode: from here on nobody else puts anything in.
        filesystem::change_owner(&self.directory, owner.uid, owner.gid)
            .map_err(system("cannot give it to run.user"))?;
        filesystem::change_mode(&self.directory, 0o700).map_err(system("cannot set its mode"))?;
        let found = self.survey()?;
        if let Some(foreign) = &found.foreign {
            return Err(foreign_entry(foreign));
        }
        if !found.ours.is_empty() {
            found
                .remove(&self.directory)
                .map_err(system("cannot remove what a dead hushpipe left in it"))?;
            observer.observe(&Event::Swept {
                path: self.path.clone(),
            });
        }
        Ok(())
    }

    fn survey(&self) -> Result<Found, DeliveryFault> {
        let status = filesystem::status(&self.directory).map_err(system("cannot look at it"))?;
        survey(&self.directory, status.device).map_err(system("cannot read it"))
    }

    /// After a fault: the marker stays where others' things are, as the mark of a dead one.
    fn undo(self) {
        // Without a look into one of its own making: there may be no descriptor left for that.
        let undone = if let Some(above) = self.made {
            made::remove(&self.site, &self.directory, above).is_ok()
        } else {
            let empty = self.survey();
            empty.is_ok_and(|found| found.ours.is_empty() && found.foreign.is_none())
                && self.remove().is_ok()
        };
        if !undone {
            // The fault that is given says more.
        }
    }

    /// Empties the directory of what hushpipe put there, and removes it if hushpipe made it.
    fn remove(self) -> Result<(), DeliveryFault> {
        let found = self.survey()?;
        found
            .remove(&self.directory)
            .map_err(system("cannot empty it"))?;
        let Some(above) = self.made else {
            made::give_back(&self.directory, &self.marker)
                .map_err(system("cannot give it back as it was"))?;
            return filesystem::unlink_at(&self.directory, MARKER)
                .map_err(system("cannot remove the marker in it"));
        };
        if let Some(foreign) = &found.foreign {
            filesystem::unlink_at(&self.directory, MARKER)
                .map_err(system("cannot remove the marker in it"))?;
            return Err(foreign_entry(foreign));
        }
        made::remove(&self.site, &self.directory, above).map_err(system("cannot remove it"))
    }
}

/// A directory that was there must be ours, or belong to who gets it.
fn check_owner(path: &Path, directory: &OwnedFd, owner: Owner) -> Result<(), DeliveryFault> {
    let status = filesystem::status(directory).map_err(system("cannot look at it"))?;
    let own = filesystem::effective_uid();
    if status.uid == own || Some(status.uid) == owner.uid {
        return Ok(());
    }
    let instead = instead(path);
    Err(DeliveryFault::Host(format!(
        "the directory belongs to uid {}, and hushpipe runs as uid {own}: choose another, or {instead}",
        status.uid
    )))
}

/// Locks the marker, or tells that a living hushpipe has it.
fn lock(directory: &OwnedFd) -> Result<OwnedFd, DeliveryFault> {
    loop {
        let marker = filesystem::open_marker_at(directory, MARKER)
            .map_err(system("cannot make the marker .hushpipe in it"))?;
        let locked = Lock::Exclusive.take_in_time(&marker);
        if !locked.map_err(system("cannot lock the marker in it"))? {
            return Err(in_use());
        }
        let own = filesystem::status(&marker).map_err(system("cannot look at the marker"))?;
        if own.links > 0 && !is_marker(own) {
            return Err(foreign_entry(MARKER.as_ref()));
        }
        // Its last owner may have removed it between the opening and the lock.
        let named = filesystem::status_at(directory, MARKER)
            .map_err(system("cannot look at the marker"))?;
        if named.is_some_and(|named| named.inode == own.inode) {
            return Ok(marker);
        }
        if own.links == 0 && filesystem::status(directory).is_ok_and(|status| status.links == 0) {
            return Err(DeliveryFault::Host(
                "another hushpipe has just removed it: start again".to_owned(),
            ));
        }
    }
}

/// Whether a shared directory can stand there.
pub(super) fn check(delivered: &Directory, user: Option<u32>) -> Result<(), DeliveryFault> {
    let path = &delivered.path;
    let site = made::find(path, user)?;
    let is_there = match standing(&site, user)? {
        Standing::Nothing => false,
        Standing::Empty => true,
        Standing::Marked => {
            owned_by_dead(&site, delivered, MARKER)?;
            true
        }
        Standing::Entries(entry) => {
            owned_by_dead(&site, delivered, &entry)?;
            true
        }
    };
    let opened = if is_there {
        Some(site.open().map_err(system("cannot open it"))?)
    } else {
        None
    };
    let (nearest, above) = site.nearest();
    let (directory, above) = match &opened {
        Some(directory) => (directory, site.path()),
        None => (nearest, above),
    };
    match filesystem::filesystem(directory).map_err(system("cannot ask for its filesystem"))? {
        Filesystem::Tmpfs | Filesystem::Ramfs => {}
        other @ Filesystem::Other(_) => return Err(on_disk(path, &above, other)),
    }
    if is_there {
        return Ok(());
    }
    can_make(&site, path)
}

fn on_disk(path: &Path, above: &Path, found: Filesystem) -> DeliveryFault {
    DeliveryFault::Host(format!(
        "{above} is on {found}, and shared files go to memory alone (tmpfs or ramfs): choose a \
         path below /dev/shm or /run where that is a tmpfs, or give the container one ({flag})",
        above = above.display(),
        flag = tmpfs_flag(path, filesystem::effective_uid()),
        found = found.name(),
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::fixtures::{fifo, file, memory, payloads, plan, secret};
    use super::super::{Carried, Fifos, Files, make_mount_points};
    use super::*;
    use crate::model::{Generation, IsolationUsed, Receipt};

    #[derive(Default)]
    struct Swept(RefCell<Vec<PathBuf>>);

    impl Observer for Swept {
        fn observe(&self, event: &Event) {
            if let Event::Swept { path } = event {
                self.0.borrow_mut().push(path.clone());
            }
        }
    }

    fn layout(root: &Path) -> Layout {
        Layout::of(&plan(vec![
            (file(root.join("a/one")), secret("x")),
            (fifo(root.join("a/two"), None), secret("x")),
            (file(root.join("b/deep/three")), secret("x")),
        ]))
    }

    /// Everything that a launch puts there.
    fn fill(layout: &Layout, shared: &SharedDirectories) -> (Files, Fifos) {
        let (owners, values) = ([Owner::default(); 3], payloads(&[b"1", b"2", b"3"]));
        let roots = shared.directories().unwrap();
        let fifos = Fifos::new(layout, &roots, &owners, &values).unwrap();
        let mut files = Files::new(layout, roots, owners.to_vec()).unwrap();
        files.stage(Generation(1), &Carried::all(&values)).unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        files.stage(Generation(2), &Carried::all(&values)).unwrap();
        (files, fifos)
    }

    fn is_empty(path: &Path) -> bool {
        fs::read_dir(path).unwrap().next().is_none()
    }

    #[test]
    fn directories_are_0700_and_removed_with_all_that_was_made() {
        let place = memory();
        let layout = layout(place.path());
        layout.check(IsolationUsed::Shared).unwrap();
        let shared = SharedDirectories::make(&layout, Owner::default(), &()).unwrap();
        let mode = fs::metadata(place.path().join("a"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o700);
        let written = fill(&layout, &shared);
        assert_eq!(fs::read(place.path().join("b/deep/three")).unwrap(), b"3");
        Box::new(shared).remove().unwrap();
        assert!(is_empty(place.path()));
        drop(written);

        drop(SharedDirectories::make(&layout, Owner::default(), &()).unwrap());
        assert!(is_empty(place.path()));
    }

    #[test]
    fn what_is_in_use_is_not_taken_and_what_a_dead_one_left_is_swept() {
        let place = memory();
        let layout = layout(place.path());
        let shared = SharedDirectories::make(&layout, Owner::default(), &()).unwrap();
        let written = fill(&layout, &shared);
        let second = SharedDirectories::make(&layout, Owner::default(), &());
        let error = second.err().unwrap().to_string();
        assert!(error.contains("another running hushpipe"), "{error}");
        assert!(layout.check(IsolationUsed::Shared).is_err());
        assert_eq!(fs::read(place.path().join("a/one")).unwrap(), b"1");

        // As SIGKILL leaves it: the locks are gone, the files are there.
        drop(written);
        let mut shared = shared;
        shared.held.clear();
        drop(shared);
        layout.check(IsolationUsed::Shared).unwrap();
        let swept = Swept::default();
        let shared = SharedDirectories::make(&layout, Owner::default(), &swept).unwrap();
        assert_eq!(*swept.0.borrow(), layout.directories());
        assert!(!place.path().join("a/one").exists());
        let written = fill(&layout, &shared);
        Box::new(shared).remove().unwrap();
        assert!(is_empty(place.path()), "also what was made above");
        drop(written);
    }

    #[test]
    fn a_directory_of_others_stays_also_after_a_death() {
        let place = memory();
        fs::create_dir(place.path().join("a")).unwrap();
        let layout = layout(place.path());
        let mut shared = SharedDirectories::make(&layout, Owner::default(), &()).unwrap();
        drop(fill(&layout, &shared));
        shared.held.clear();
        drop(shared);
        let swept = Swept::default();
        let shared = SharedDirectories::make(&layout, Owner::default(), &swept).unwrap();
        assert_eq!(*swept.0.borrow(), layout.directories());
        Box::new(shared).remove().unwrap();
        assert!(is_empty(&place.path().join("a")));
        assert!(!place.path().join("b").exists());
    }

    #[test]
    fn what_a_dead_one_left_goes_also_where_another_mounts() {
        let place = memory();
        fs::create_dir(place.path().join("a")).unwrap();
        let layout = layout(place.path());
        let mut shared = SharedDirectories::make(&layout, Owner::default(), &()).unwrap();
        let written = fill(&layout, &shared);
        assert!(
            layout.check(IsolationUsed::Private).is_err(),
            "it is in use"
        );
        drop(written);
        shared.held.clear();
        drop(shared);
        fs::write(place.path().join("a/precious"), b"").unwrap();
        let error = make_mount_points(&layout, &()).err().unwrap().to_string();
        assert!(error.contains("it contains precious"), "{error}");
        fs::remove_file(place.path().join("a/precious")).unwrap();
        layout.check(IsolationUsed::Private).unwrap();
        let swept = Swept::default();
        let points = make_mount_points(&layout, &swept).unwrap();
        assert_eq!(*swept.0.borrow(), layout.directories());
        assert!(is_empty(&place.path().join("a")), "it was another's");
        let left = fs::read_dir(place.path().join("b/deep")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [MARKER]);
        Box::new(points).remove().unwrap();
        assert!(is_empty(&place.path().join("a")) && !place.path().join("b").exists());
    }

    #[test]
    fn a_directory_of_a_dead_one_goes_however_far_it_had_come() {
        let place = memory();
        let layout = layout(place.path());
        let at = |path: &str| place.path().join(path);
        let beside = at("").join(made::unfinished(&at("b/deep")));
        for (case, directory, marker) in [
            ("made, not in its place", beside.join("deep"), None),
            (
                "marked, not in its place",
                beside.join("deep"),
                Some(beside.join("deep")),
            ),
            (
                "in its place, without an entry",
                at("b/deep"),
                Some(at("b/deep")),
            ),
            ("on its way out", beside.clone(), Some(beside.clone())),
        ] {
            if case == "on its way out" {
                fs::create_dir(at("b")).unwrap();
            }
            fs::create_dir_all(directory).unwrap();
            if let Some(directory) = marker {
                fs::write(directory.join(MARKER), "made 1\n").unwrap();
            }
            layout.check(IsolationUsed::Shared).unwrap();
            let shared = SharedDirectories::make(&layout, Owner::default(), &()).unwrap();
            assert!(place.path().join("b/deep").is_dir(), "{case}");
            Box::new(shared).remove().unwrap();
            assert!(is_empty(place.path()), "{case}");
        }
    }

    #[test]
    fn a_sweep_removes_nothing_that_hushpipe_did_not_make() {
        let place = memory();
        let directory = place.path().join("a");
        for foreign in ["precious", "..gen-x", "link", "..gen-1/..dir-1/deep"] {
            fs::create_dir_all(directory.join("..gen-1/..dir-1")).unwrap();
            fs::write(directory.join(MARKER), b"").unwrap();
            fs::write(directory.join("..gen-1/one"), b"").unwrap();
            if foreign == "link" {
                std::os::unix::fs::symlink("/etc/passwd", directory.join("link")).unwrap();
            } else {
                fs::create_dir(directory.join(foreign)).unwrap();
            }
            let made = SharedDirectories::make(&layout(place.path()), Owner::default(), &());
            let error = made.err().unwrap().to_string();
            assert!(
                error.contains("hushpipe did not make"),
                "{foreign}: {error}"
            );
            assert!(
                directory.join(foreign).symlink_metadata().is_ok(),
                "{foreign}"
            );
            assert!(directory.join("..gen-1/one").exists(), "{foreign}");
            fs::remove_dir_all(&directory).unwrap();
        }
        assert!(Path::new("/etc/passwd").exists());
    }

    #[test]
    fn an_empty_directory_is_taken_and_given_back() {
        let place = memory();
        let there = place.path().join("a");
        fs::create_dir(&there).unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o1755)).unwrap();
        let mode = || fs::metadata(&there).unwrap().permissions().mode() & 0o7777;
        let layout = layout(place.path());
        for killed in [false, true, false] {
            let mut shared = SharedDirectories::make(&layout, Owner::default(), &()).unwrap();
            let written = fill(&layout, &shared);
            assert_eq!(mode(), 0o700);
            if killed {
                shared.held.clear();
                continue;
            }
            Box::new(shared).remove().unwrap();
            assert!(is_empty(&there) && !place.path().join("b").exists());
            assert_eq!(mode(), 0o1755);
            drop(written);
        }
    }

    #[test]
    fn another_users_directory_is_refused() {
        if filesystem::effective_uid() != 0 {
            return; // Only root gives directories away.
        }
        let place = memory();
        let path = place.path().join("a");
        let theirs = {
            fs::create_dir(&path).unwrap();
            filesystem::open_directory(&path)
        }
        .unwrap();
        filesystem::change_owner(&theirs, Some(1234), None).unwrap();
        let made = SharedDirectories::make(&layout(place.path()), Owner::default(), &());
        let error = made.err().unwrap().to_string();
        assert!(error.contains("belongs to uid 1234"), "{error}");
        assert!(is_empty(&path));
        let owner = Owner {
            uid: Some(1234),
            gid: None,
        };
        drop(SharedDirectories::make(&layout(place.path()), owner, &()).unwrap());
    }
}
