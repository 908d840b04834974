//! Generations of files, flipped by one rename.
//!
//! A delivery directory looks like a Kubernetes volume:
//!
//!     ..gen-1/token        real files
//!     ..data -> ..gen-1    the one link that is ever replaced
//!     token -> ..data/token
//!
//! With several directories the first one leads: its generations hold the files of all, and the
//! others' `..data` leads there and never changes. So all of them flip by the same rename.
//!
//!     /run/b/..data -> /run/a/..data/..dir-1
//!
//! Who resolves `..data` once (by opening the directory, or by reading the link) and reads below
//! it sees one generation, in all directories. Who opens two files one after the other by their
//! own paths can see the flip in between, as with Kubernetes: such a program is told by the signal
//! that follows every flip, and reads again. The generation before the current one stays until it
//! is retired, so that an opening that is on its way through the links finds its file.
//!
//! A private tmpfs is open to all (0755): nobody but the program's tree can see it. A shared
//! directory is 0700. Generations are 0755 within it, those of credentials 0500; each file has the
//! mode that the plan gives.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::inspection::{CONTENTS, Damage, Inspection, Lookout, NAMES, Written, put_back};
use super::layout::{DATA, Directory, Entry, Layout, TEMPORARY, inner, named};
use super::live::{Live, Served, Serving};
use super::sweep::remove_generation;
use super::{Carried, DeliveryError, Owner};
use crate::model::{Generation, Receipt};
use crate::sys::filesystem;

/// The file deliveries of one launch, reached through descriptors of their directories alone: a
/// private mount cannot be seen by path from here.
pub struct Files {
    directories: Vec<Directory>,
    roots: Vec<OwnedFd>,
    owners: Vec<Owner>,
    staged: Option<Generation>,
    current: Option<Generation>,
    old: Option<Generation>,
    /// The files of each generation that is there, by delivery.
    written: BTreeMap<Generation, BTreeMap<usize, Written>>,
    lookout: Lookout,
}

impl Files {
    /// Takes descriptors of the layout's directories, in its order, and an owner for each of the
    /// plan's deliveries.
    pub fn new(
        layout: &Layout,
        roots: Vec<OwnedFd>,
        owners: Vec<Owner>,
    ) -> Result<Self, DeliveryError> {
        assert_eq!(
            roots.len(),
            layout.directories.len(),
            "each delivery directory has one descriptor"
        );
        let files = Self {
            directories: layout.directories.clone(),
            roots,
            owners,
            staged: None,
            current: None,
            old: None,
            written: BTreeMap::new(),
            lookout: Lookout::default(),
        };
        files.link_names()?;
        Ok(files)
    }

    /// The links that never change.
    fn link_names(&self) -> Result<(), DeliveryError> {
        let lead = self.directories.first().map(|lead| lead.path.join(DATA));
        for (index, (directory, root)) in self.directories.iter().zip(&self.roots).enumerate() {
            let wrong = |source| directory.system("cannot link its files", source);
            if let (Some(lead), true) = (&lead, index > 0) {
                filesystem::make_link_at(lead.join(inner(index)), root, DATA).map_err(wrong)?;
            }
            for entry in directory.of_kind(true) {
                let target = PathBuf::from(DATA).join(&entry.name);
                filesystem::make_link_at(target, root, &entry.name).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        generation: Generation,
        payloads: &Carried<'_>,
    ) -> Result<(), DeliveryError> {
        let mut top = None;
        let mut all = BTreeMap::new();
        for (index, directory) in self.directories.iter().enumerate() {
            let wrong = |source| directory.system("cannot write a generation of its files", source);
            let made = match &top {
                None => filesystem::make_directory_at(&self.roots[0], named(generation), 0o755),
                Some(top) => filesystem::make_directory_at(top, inner(index), 0o755),
            };
            let made = made.map_err(wrong)?;
            for entry in directory.of_kind(true) {
                let wrong = |source| entry.system(directory, "cannot write it", source);
                let owner = self.owners[entry.delivery];
                match payloads.bytes(entry.delivery) {
                    Some(bytes) => write_file(&made, &entry.name, bytes, owner, entry.mode.bits()),
                    None => self.link_file(index, &entry.name, &made),
                }
                .and_then(|()| written(&made, &entry.name))
                .map(|file| all.insert(entry.delivery, file))
                .map_err(wrong)?;
            }
            if directory.credentials {
                self.close(directory, &made).map_err(wrong)?;
            }
            top.get_or_insert(made);
        }
        self.written.insert(generation, all);
        Ok(())
    }

    /// As systemd makes `$CREDENTIALS_DIRECTORY`: for the program's user to read. The owner before
    /// the mode, as with files.
    fn close(&self, directory: &Directory, made: &OwnedFd) -> io::Result<()> {
        let Some(entry) = directory.entries.first() else {
            return Ok(());
        };
        let owner = self.owners[entry.delivery];
        filesystem::change_owner(made, owner.uid, owner.gid)?;
        filesystem::change_mode(made, 0o500)
    }

    /// The current generation's file once more: the same bytes, mode and owner.
    fn link_file(&self, index: usize, name: &OsStr, to: &OwnedFd) -> io::Result<()> {
        let current = self.current.ok_or(io::ErrorKind::NotFound)?;
        let mut from = PathBuf::from(named(current));
        if index > 0 {
            from.push(inner(index));
        }
        filesystem::link_at(&self.roots[0], from.join(name), to, name)
    }

    /// What the program sees.
    pub const fn current(&self) -> Option<Generation> {
        self.current
    }

    fn lead(&self) -> Option<(&Directory, &OwnedFd)> {
        self.directories.first().zip(self.roots.first())
    }

    fn remove(&mut self, generation: Option<Generation>) -> Result<(), DeliveryError> {
        let (Some(generation), Some((lead, root))) = (generation, self.lead()) else {
            return Ok(());
        };
        remove_generation(root, OsStr::new(&named(generation)))
            .map_err(|source| lead.system("cannot remove an old generation", source))?;
        self.written.remove(&generation);
        Ok(())
    }

    /// Whether a file of the current generation, in this directory, is as it was written.
    fn is_as_written(&self, directory: Option<&OwnedFd>, entry: &Entry) -> bool {
        let current = self
            .current
            .and_then(|current| self.written.get(&current))
            .and_then(|files| files.get(&entry.delivery));
        let found = directory.and_then(|directory| written(directory, &entry.name).ok());
        current.copied() == found
    }

    /// Looks at all entries that hushpipe made for files, and puts links back that are gone or are
    /// something else.
    pub(super) fn look(&mut self) -> Inspection {
        let mut found = Inspection::default();
        let Some(current) = self.current else {
            return found;
        };
        let opened: Vec<io::Result<OwnedFd>> = (0..self.directories.len())
            .map(|index| self.open_generation(index))
            .collect();
        let roots = self.roots.iter().map(|root| (root, NAMES));
        let files = opened.iter().flatten().map(|files| (files, CONTENTS));
        self.lookout.begin(roots.chain(files));
        let lead = self.directories.first().map(|lead| lead.path.join(DATA));
        for (index, (directory, root)) in self.directories.iter().zip(&self.roots).enumerate() {
            let data = match &lead {
                Some(lead) if index > 0 => lead.join(inner(index)),
                _ => PathBuf::from(named(current)),
            };
            let found_data = put_back(root, OsStr::new(DATA), &data);
            found.note(directory.path.join(DATA), found_data);
            for entry in directory.of_kind(true) {
                let target = Path::new(DATA).join(&entry.name);
                let path = directory.path.join(&entry.name);
                found.note(path.clone(), put_back(root, &entry.name, &target));
                if !self.is_as_written(opened[index].as_ref().ok(), entry) {
                    found.damaged.push(Damage {
                        why: format!(
                            "{} was changed or removed after hushpipe had delivered it: its next \
                             version replaces it",
                            path.display()
                        ),
                        path,
                        file: Some(entry.delivery),
                    });
                }
            }
        }
        self.lookout.end(&found);
        found
    }

    /// The directory's part of the current generation.
    fn open_generation(&self, index: usize) -> io::Result<OwnedFd> {
        let current = self.current.ok_or(io::ErrorKind::NotFound)?;
        let root = self.roots.first().ok_or(io::ErrorKind::NotFound)?;
        let top = filesystem::open_directory_at(root, named(current))?;
        if index == 0 {
            return Ok(top);
        }
        filesystem::open_directory_at(&top, inner(index))
    }

    fn point_to(&self, generation: Generation) -> Result<(), DeliveryError> {
        let Some((lead, root)) = self.lead() else {
            return Ok(());
        };
        filesystem::unlink_at(root, TEMPORARY)
            .and_then(|()| filesystem::make_link_at(named(generation), root, TEMPORARY))
            .and_then(|()| filesystem::rename_at(root, TEMPORARY, DATA))
            .map_err(|source| lead.system("cannot flip to another generation", source))
    }
}

impl Live for Files {
    /// Writes a generation beside the current one: complete, with its modes and owners. A file that
    /// stays as it is gets a second link.
    fn stage(
        &mut self,
        generation: Generation,
        payloads: &Carried<'_>,
    ) -> Result<(), DeliveryError> {
        self.discard()?;
        if self.roots.is_empty() {
            return Ok(());
        }
        self.staged = Some(generation);
        self.write(generation, payloads).inspect_err(|_| {
            if self.discard().is_err() {
                // The fault that is given says more; the next `stage` tries again.
            }
        })
    }

    /// Flips to the staged generation, by one rename for all directories.
    fn swap(&mut self, _: &Receipt) -> Result<(), DeliveryError> {
        let Some(staged) = self.staged else {
            return Ok(());
        };
        self.retire()?;
        self.point_to(staged)?;
        self.staged = None;
        self.old = self.current.replace(staged);
        Ok(())
    }

    /// Flips back to the generation before; the failed one becomes the old one.
    fn swap_back(&mut self, _: &Receipt) -> Result<(), DeliveryError> {
        let Some(old) = self.old else {
            return Ok(());
        };
        self.point_to(old)?;
        self.old = self.current.replace(old);
        Ok(())
    }

    /// Removes the generation that is not in use any more. A program that still has a file of it
    /// open keeps what it reads.
    fn retire(&mut self) -> Result<(), DeliveryError> {
        self.remove(self.old)?;
        self.old = None;
        Ok(())
    }

    /// Removes what was staged and not swapped in.
    fn discard(&mut self) -> Result<(), DeliveryError> {
        self.remove(self.staged)?;
        self.staged = None;
        Ok(())
    }

    fn serve(&mut self) -> Serving<'_> {
        Box::pin(async {
            if self.roots.is_empty() {
                std::future::pending::<()>().await;
            }
            self.lookout.due().await;
            Ok(Served::Disturbed)
        })
    }

    fn inspect(&mut self, found: &mut Inspection) {
        found.extend(self.look());
    }
}

fn written(directory: &OwnedFd, name: &OsStr) -> io::Result<Written> {
    let status = filesystem::status_at(directory, name)?;
    status
        .map(|status| Written::of(&status))
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn write_file(
    directory: &OwnedFd,
    name: &OsStr,
    payload: &[u8],
    owner: Owner,
    mode: u32,
) -> io::Result<()> {
    let file = filesystem::make_file_at(directory, name)?;
    filesystem::write_all(&file, payload)?;
    // The owner before the mode: chown(2) may clear bits, and nobody is to read it in between.
    filesystem::change_owner(&file, owner.uid, owner.gid)?;
    filesystem::change_mode(&file, mode)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::super::fixtures::{file, memory, payloads, plan, secret};
    use super::*;

    fn files(paths: &[PathBuf]) -> Files {
        let plan = plan(paths.iter().map(|path| (file(path), secret("x"))).collect());
        let layout = Layout::of(&plan);
        let roots = layout.directories().into_iter().map(|path| {
            fs::create_dir_all(&path).unwrap();
            filesystem::open_directory(&path).unwrap()
        });
        let roots = roots.collect();
        let owners = vec![Owner::default(); paths.len()];
        Files::new(&layout, roots, owners).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_generation_is_staged_swapped_swapped_back_and_retired() {
        let temporary = memory();
        let (a, b) = (
            temporary.path().join("a/one"),
            temporary.path().join("b/two"),
        );
        let mut files = files(&[a.clone(), b.clone()]);
        let seen = || (fs::read(&a).unwrap(), fs::read(&b).unwrap());

        files
            .stage(Generation(1), &Carried::all(&payloads(&[b"1", b""])))
            .unwrap();
        assert!(fs::read(&a).is_err());
        files.swap(&Receipt::of_a_test()).unwrap();
        assert_eq!(seen(), (b"1".to_vec(), b"".to_vec()));

        files
            .stage(Generation(2), &Carried::all(&payloads(&[b"2\0\n", b"22"])))
            .unwrap();
        assert_eq!(seen(), (b"1".to_vec(), b"".to_vec()));
        files.swap(&Receipt::of_a_test()).unwrap();
        assert_eq!(seen(), (b"2\0\n".to_vec(), b"22".to_vec()));

        files.swap_back(&Receipt::of_a_test()).unwrap();
        assert_eq!(seen(), (b"1".to_vec(), b"".to_vec()));
        assert_eq!(files.current(), Some(Generation(1)));
        files.retire().unwrap();
        let lead = temporary.path().join("a");
        assert_eq!(names(&lead), ["..data", "..gen-1", "one"]);
        assert_eq!(names(&temporary.path().join("b")), ["..data", "two"]);

        files
            .stage(Generation(3), &Carried::all(&payloads(&[b"3", b"33"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        files.retire().unwrap();
        assert_eq!(names(&lead), ["..data", "..gen-3", "one"]);
        assert_eq!(seen(), (b"3".to_vec(), b"33".to_vec()));
    }

    #[test]
    fn files_have_their_mode_whatever_the_umask_and_no_other_name() {
        let temporary = memory();
        let path = temporary.path().join("a/one");
        let mut files = files(std::slice::from_ref(&path));
        files
            .stage(Generation(1), &Carried::all(&payloads(&[b"1"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o400);
        assert_eq!(metadata.nlink(), 1);
    }

    #[test]
    fn a_file_that_stays_is_in_the_next_generation_as_it_was() {
        let temporary = memory();
        let (a, b) = (
            temporary.path().join("a/one"),
            temporary.path().join("b/two"),
        );
        let mut files = files(&[a.clone(), b.clone()]);
        files
            .stage(Generation(1), &Carried::all(&payloads(&[b"1", b"2"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        let inode = fs::metadata(&b).unwrap().ino();
        for (number, stays) in [(2_u64, 1), (3, 0), (4, 1)] {
            let mut some: Vec<Option<_>> = payloads(&[b"x", b"y"]).into_iter().map(Some).collect();
            some[stays] = None;
            files
                .stage(Generation(number), &Carried::changed(&some))
                .unwrap();
            files.swap(&Receipt::of_a_test()).unwrap();
            files.retire().unwrap();
            let seen = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
            let other = if number == 2 { b"2" } else { b"y" };
            assert_eq!(seen, (b"x".to_vec(), other.to_vec()));
            assert_eq!(fs::metadata(&b).unwrap().ino() == inode, number == 2);
        }
        let metadata = fs::metadata(&b).unwrap();
        assert_eq!(
            (metadata.permissions().mode() & 0o7777, metadata.nlink()),
            (0o400, 1)
        );
    }

    #[test]
    fn a_failed_stage_leaves_nothing_and_does_not_hinder_the_next() {
        let temporary = memory();
        let path = temporary.path().join("a/one");
        let mut files = files(std::slice::from_ref(&path));
        files
            .stage(Generation(1), &Carried::all(&payloads(&[b"1"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        // What stands in the way of the new generation's directory.
        let way = temporary.path().join("a/..gen-2");
        fs::write(&way, b"").unwrap();
        assert!(
            files
                .stage(Generation(2), &Carried::all(&payloads(&[b"2"])))
                .is_err()
        );
        assert_eq!(fs::read(&path).unwrap(), b"1");
        fs::remove_file(&way).unwrap();
        files
            .stage(Generation(2), &Carried::all(&payloads(&[b"2"])))
            .unwrap();
        files
            .stage(Generation(3), &Carried::all(&payloads(&[b"3"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        files.retire().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        let lead = temporary.path().join("a");
        assert_eq!(names(&lead), ["..data", "..gen-3", "one"]);
    }

    #[test]
    fn ten_megabytes_are_written_whole() {
        let temporary = memory();
        let path = temporary.path().join("a/one");
        let mut files = files(std::slice::from_ref(&path));
        let large: Vec<u8> = (0..10 << 20).map(|index| (index % 251) as u8).collect();
        files
            .stage(Generation(1), &Carried::all(&payloads(&[&large])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        assert!(fs::read(&path).unwrap() == large);
    }

    /// Reads both files below one resolved `..data`. `None`: it was retired in between.
    fn read_once(lead: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
        let resolved = lead.join(fs::read_link(lead.join(DATA)).ok()?);
        let opened = filesystem::open_directory(&resolved).ok()?;
        let data = filesystem::path_of(std::os::fd::AsFd::as_fd(&opened));
        let one = fs::read(data.join("one")).ok()?;
        Some((one, fs::read(data.join("..dir-1/two")).ok()?))
    }

    #[test]
    fn no_reader_sees_two_generations_mixed() {
        let temporary = memory();
        let (a, b) = (
            temporary.path().join("a/one"),
            temporary.path().join("b/two"),
        );
        let mut files = files(&[a.clone(), b.clone()]);
        let value = |number: u64| number.to_string().into_bytes();
        let mut generation = |number: u64| {
            let bytes = value(number);
            files
                .stage(
                    Generation(number),
                    &Carried::all(&payloads(&[&bytes, &bytes])),
                )
                .unwrap();
            files.swap(&Receipt::of_a_test()).unwrap();
        };
        generation(1);
        let (done, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = std::collections::BTreeSet::new();
                while !done.load(Ordering::Relaxed) {
                    if let Some((one, two)) = read_once(&temporary.path().join("a")) {
                        assert_eq!(one, two);
                        seen.insert(one);
                    }
                    // By their own paths: each whole, and never gone. A flip may lie between them.
                    assert!(!fs::read(&a).unwrap().is_empty());
                    assert!(!fs::read(&b).unwrap().is_empty());
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
                seen.len()
            });
            for number in 2..600 {
                // An opening never lasts for two flips: the generation before the last is gone.
                let before = rounds.load(Ordering::Relaxed);
                while rounds.load(Ordering::Relaxed) == before {
                    std::thread::yield_now();
                    assert!(!reader.is_finished(), "the reader saw a fault");
                }
                generation(number);
            }
            done.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 10);
        });
    }

    #[test]
    fn a_file_has_its_owner() {
        if filesystem::effective_uid() != 0 {
            return; // Only root gives files away.
        }
        let temporary = memory();
        let path = temporary.path().join("a/one");
        let mut files = files(std::slice::from_ref(&path));
        files.owners[0] = Owner {
            uid: Some(1234),
            gid: Some(2345),
        };
        files
            .stage(Generation(1), &Carried::all(&payloads(&[b"1"])))
            .unwrap();
        files.swap(&Receipt::of_a_test()).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 2345));
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o400);
    }
}
