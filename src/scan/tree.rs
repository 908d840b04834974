//! Directory trees: one thread walks, others read. No link is followed, and a directory is held from the
//! moment that it was opened: what others rename meanwhile leads nowhere else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use rustix::fs::{self, Dir, FileType, Mode, OFlags};

use super::finding::{Finding, Place, fingerprint};
use super::rule::Severity;
use super::scanner::{Scanner, Worker};
use super::tally::Tally;
use super::{image, misconfig, readers};
use crate::formats::ignore::verdict;

/// How many files wait for a reader; each holds its directory.
const WAITING: usize = 256;

/// How deep directories are entered: each level holds a descriptor.
const DEEPEST: usize = 200;

/// An ignore file of more bytes is not read.
const IGNORE_FILE: u64 = 1 << 20;

/// File systems without files: statfs(2).
const PSEUDO: [i64; 16] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7363_6673,
    0x7472_6163,
    0x1980_0202,
    0x6165_676c,
    0xcafe_4a11,
    0x4249_4e4d,
    0x6265_6570,
    0xde5e_81e4,
    0xf97c_ff8c,
    0x6e73_6673,
];

/// What is read of a repository's own directory.
const OF_GIT: [&[u8]; 2] = [b"config", b"credentials"];

/// How trees are read.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Read what git ignores as well.
    pub no_ignore: bool,
    /// How many threads read.
    pub threads: usize,
}

/// A file to be read.
struct Job {
    directory: Arc<OwnedFd>,
    name: OsString,
    place: Place,
}

/// Scans files and directories; `-` is standard input. What cannot be read is in the tally.
///
/// # Errors
///
/// A path that was named and cannot be opened: nothing is scanned then.
pub fn scan(
    scanner: &Scanner,
    paths: &[PathBuf],
    options: TreeOptions,
) -> Result<(Vec<Finding>, Tally), (PathBuf, io::Error)> {
    let mut roots = Vec::new();
    for path in paths {
        roots.push(Root::open(path).map_err(|error| (path.clone(), error))?);
    }
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    let mut all = (Vec::new(), Tally::default());
    std::thread::scope(|scope| {
        let work = || work(scanner, &receiver);
        let workers: Vec<_> = (0..options.threads.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        let mut walker = Walker {
            sender,
            no_ignore: options.no_ignore,
            tally: Tally::default(),
            ignores: Vec::new(),
            named: 0,
        };
        let mut worker = scanner.worker();
        for root in roots {
            match root {
                Root::Directory {
                    directory,
                    path,
                    ignores,
                } => {
                    walker.ignores = ignores;
                    walker.named = path.len();
                    walker.enter(&Arc::new(directory), &path, 0, true);
                }
                Root::File(mut file, path) => {
                    let named = path.rfind('/').map_or(0, |slash| slash + 1);
                    let place = Place::below(path, named);
                    read(
                        &mut worker,
                        &mut file,
                        &place,
                        &mut all.0,
                        &mut walker.tally,
                    );
                }
            }
        }
        let Walker { tally, sender, .. } = walker;
        drop(sender);
        all.1.add(tally);
        for worker in workers {
            // A panic of a worker is one of the scan.
            let (found, tally) = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.0.extend(found);
            all.1.add(tally);
        }
    });
    Ok(all)
}

/// A path that was named.
enum Root {
    File(File, String),
    Directory {
        directory: OwnedFd,
        path: String,
        ignores: Vec<Ignore>,
    },
}

impl Root {
    /// A link that was named is followed.
    fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            let input = io::stdin().as_fd().try_clone_to_owned()?;
            return Ok(Self::File(input.into(), "-".to_owned()));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = fs::open(path, flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(fs::fstat(&opened)?.st_mode);
        let name = path
            .strip_prefix("./")
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        match kind {
            FileType::RegularFile => Ok(Self::File(opened.into(), name)),
            FileType::Directory => Ok(Self::Directory {
                directory: opened,
                path: if name == "." {
                    String::new()
                } else {
                    name.trim_end_matches('/').to_owned() + if name == "/" { "/" } else { "" }
                },
                ignores: above(path),
            }),
            _ => Err(io::Error::other("it is neither a file nor a directory")),
        }
    }
}

/// The ignore files of the directories above one, up to the top of its work tree.
fn above(path: &Path) -> Vec<Ignore> {
    let Ok(whole) = path.canonicalize() else {
        return Vec::new();
    };
    let top = whole
        .ancestors()
        .find(|above| above.join(".git").symlink_metadata().is_ok());
    let Some(top) = top else {
        return Vec::new();
    };
    let below = whole
        .ancestors()
        .skip(1)
        .take_while(|above| above.starts_with(top));
    let mut found: Vec<Ignore> = below
        .filter_map(|above| {
            let patterns = crate::sys::beneath::open_directory(above)
                .and_then(|held| crate::sys::beneath::read_file(held, ".gitignore", IGNORE_FILE))
                .ok()?;
            let prefix = whole.strip_prefix(above).ok()?.to_owned();
            Some(Ignore {
                patterns,
                prefix: Some(prefix),
                depth: 0,
            })
        })
        .collect();
    found.reverse();
    found
}

/// An ignore file.
struct Ignore {
    patterns: Vec<u8>,
    /// Of a directory above the root: the way from it to the root.
    prefix: Option<PathBuf>,
    /// Of a directory below: how many names of a path lead to it.
    depth: usize,
}

struct Walker {
    sender: SyncSender<Job>,
    no_ignore: bool,
    tally: Tally,
    ignores: Vec<Ignore>,
    /// How long the name of the root is.
    named: usize,
}

impl Walker {
    /// Queues the files of a directory, and enters those in it. `path` is for people.
    fn enter(&mut self, directory: &Arc<OwnedFd>, path: &str, depth: usize, is_root: bool) {
        self.below(directory, path, &PathBuf::new(), depth, is_root);
    }

    fn below(
        &mut self,
        directory: &Arc<OwnedFd>,
        path: &str,
        below: &Path,
        depth: usize,
        is_root: bool,
    ) {
        if depth > DEEPEST {
            self.tally.skip(path, "it is too deep");
            return;
        }
        if !is_root && fs::fstatfs(directory).is_ok_and(|found| PSEUDO.contains(&found.f_type)) {
            return;
        }
        let mut entries = match entries(directory) {
            Ok(entries) => entries,
            Err(error) => return self.tally.skip(path, &error.to_string()),
        };
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let had = self.ignores.len();
        if !self.no_ignore
            && entries.iter().any(|(name, _)| name == ".gitignore")
            && let Ok(patterns) =
                crate::sys::beneath::read_file(directory, ".gitignore", IGNORE_FILE)
        {
            let depth = below.components().count();
            self.ignores.push(Ignore {
                patterns,
                prefix: None,
                depth,
            });
        }
        let in_git = path == ".git" || path.ends_with("/.git");
        for (name, kind) in entries {
            if in_git && !OF_GIT.contains(&name.as_bytes()) {
                continue;
            }
            self.entry(directory, path, below, &name, kind, depth);
        }
        self.ignores.truncate(had);
    }

    fn entry(
        &mut self,
        directory: &Arc<OwnedFd>,
        path: &str,
        below: &Path,
        name: &OsStr,
        kind: FileType,
        depth: usize,
    ) {
        let shown = join(path, &name.to_string_lossy());
        let below = below.join(name);
        let kind = match kind {
            FileType::Unknown => kind_of(directory, name),
            kind => kind,
        };
        let is_directory = kind == FileType::Directory;
        if !(is_directory || kind == FileType::RegularFile) {
            return;
        }
        if !self.no_ignore
            && self.is_ignored(&below, is_directory)
            && (is_directory || !is_kept(&shown))
        {
            self.tally.ignored += 1;
            return;
        }
        if is_directory {
            match crate::sys::beneath::enter(directory, Path::new(name)) {
                Ok(inner) => self.below(&Arc::new(inner), &shown, &below, depth + 1, false),
                Err(error) => self.tally.skip(&shown, &error.to_string()),
            }
            return;
        }
        let job = Job {
            directory: Arc::clone(directory),
            name: name.to_owned(),
            place: Place::below(shown, self.named),
        };
        if self.sender.send(job).is_err() {
            self.tally.skip(path, "no reader is left");
        }
    }

    /// The nearest ignore file that has a word on it counts.
    fn is_ignored(&self, below: &Path, is_directory: bool) -> bool {
        let mut verdicts = self.ignores.iter().rev().filter_map(|ignore| {
            let path: PathBuf = match &ignore.prefix {
                Some(prefix) => prefix.join(below),
                None => below.components().skip(ignore.depth).collect(),
            };
            verdict(&ignore.patterns, &path, is_directory)
        });
        verdicts.next().unwrap_or(false)
    }
}

/// What git ignores because it is secret is what a scan is for.
fn is_kept(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let keys = [".pem", ".key", ".ppk", ".tfvars", ".tfstate", ".env"];
    name.starts_with(".env")
        || name.starts_with("id_")
        || keys.iter().any(|end| name.ends_with(end))
        || readers::knows(path)
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        path => format!("{path}/{name}"),
    }
}

fn entries(directory: impl AsFd) -> io::Result<Vec<(OsString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push((OsStr::from_bytes(name).to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

/// Where the file system does not say it with the name.
fn kind_of(directory: impl AsFd, name: &OsStr) -> FileType {
    let found = fs::statat(directory, name, fs::AtFlags::SYMLINK_NOFOLLOW);
    found.map_or(FileType::Unknown, |found| {
        FileType::from_raw_mode(found.st_mode)
    })
}

/// Reads files until there are no more.
fn work(scanner: &Scanner, jobs: &Mutex<Receiver<Job>>) -> (Vec<Finding>, Tally) {
    let mut worker = scanner.worker();
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    loop {
        let job = jobs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .recv();
        let Ok(job) = job else {
            return (found, tally);
        };
        match crate::sys::beneath::open_file(&job.directory, &job.name) {
            Ok(mut file) => read(&mut worker, &mut file, &job.place, &mut found, &mut tally),
            Err(error) => tally.skip(&job.place.path, &error.to_string()),
        }
    }
}

/// An archive is read as an image.
fn read(
    worker: &mut Worker<'_>,
    file: &mut File,
    place: &Place,
    found: &mut Vec<Finding>,
    tally: &mut Tally,
) {
    let path = &place.path;
    if is_image(path, file) {
        return image::scan(worker, path, file, image::MOST, found, tally);
    }
    let before = found.len();
    match worker.read(place, file, found) {
        Ok(seen) => tally.saw(path, seen),
        Err(error) => tally.skip(path, &error.to_string()),
    }
    let others = file.metadata().is_ok_and(|found| found.mode() & 0o004 != 0);
    let is_key = |one: &&Finding| {
        matches!(one.rule.as_str(), "private-key" | "putty-key") && one.severity == Severity::High
    };
    if others && found[before..].iter().any(|one| is_key(&one)) {
        found.push(readable_key(place));
    }
}

/// By its name and its first bytes.
fn is_image(path: &str, file: &File) -> bool {
    let lower = path.to_ascii_lowercase();
    let named = [".tar", ".tar.gz", ".tgz", ".oci"]
        .iter()
        .any(|end| lower.ends_with(end));
    let mut head = [0; 512];
    named
        && file
            .read_at(&mut head, 0)
            .is_ok_and(|read| image::is_archive(&head[..read]))
}

fn readable_key(place: &Place) -> Finding {
    let setting = &misconfig::SETTINGS[misconfig::READABLE_KEY];
    Finding {
        rule: setting.id.to_owned(),
        title: setting.title.to_owned(),
        severity: setting.severity,
        place: place.clone(),
        line: 0,
        column: 0,
        name: None,
        length: 0,
        known: Vec::new(),
        fingerprint: fingerprint(setting.id, place, None, b""),
        value: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "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";

    fn paths(root: &Path, no_ignore: bool) -> (Vec<String>, Tally) {
        let scanner = Scanner::new(Vec::new(), 1 << 30, false).unwrap();
        let options = TreeOptions {
            no_ignore,
            threads: 2,
        };
        let (found, tally) = scan(&scanner, &[root.to_owned()], options).unwrap();
        let root = root.to_str().unwrap();
        let mut paths: Vec<String> = found
            .into_iter()
            .map(|one| one.place.path[root.len() + 1..].to_owned())
            .collect();
        paths.sort();
        (paths, tally)
    }

    fn tree() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = place.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a.txt", TOKEN);
        write("src/b.rs", TOKEN);
        write(".gitignore", "target/\n*.log\n.env\n!keep.log\n");
        write("target/c.txt", TOKEN);
        write("d.log", TOKEN);
        write("keep.log", TOKEN);
        write(".env", TOKEN);
        write("sub/.gitignore", "/e.txt\n");
        write("sub/e.txt", TOKEN);
        write("sub/deep/e.txt", TOKEN);
        write(
            ".git/config",
            &format!("[remote]\nurl = https://{TOKEN}@x.test/\n"),
        );
        write(".git/objects/x", TOKEN);
        place
    }

    #[test]
    fn what_git_ignores_is_passed_over_but_for_places_of_secrets() {
        let place = tree();
        let (found, tally) = paths(place.path(), false);
        assert_eq!(
            found,
            [
                ".env",
                ".git/config",
                "a.txt",
                "keep.log",
                "src/b.rs",
                "sub/deep/e.txt"
            ]
        );
        assert_eq!(tally.ignored, 3);
        let (found, _) = paths(place.path(), true);
        assert_eq!(found.len(), 9);
    }

    #[test]
    fn ignore_files_above_the_named_directory_count() {
        let place = tree();
        std::fs::create_dir_all(place.path().join("src/target")).unwrap();
        std::fs::write(place.path().join("src/target/x"), TOKEN).unwrap();
        assert_eq!(paths(&place.path().join("src"), false).0, ["b.rs"]);
    }

    #[test]
    fn links_and_pipes_are_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let outside = tree();
        std::os::unix::fs::symlink(outside.path(), place.path().join("out")).unwrap();
        std::os::unix::fs::symlink(place.path(), place.path().join("loop")).unwrap();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            place.path().join("fifo"),
            Mode::from_raw_mode(0o600),
        )
        .unwrap();
        assert_eq!(paths(place.path(), true).0, [""; 0]);
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let scanner = Scanner::new(Vec::new(), 1 << 30, false).unwrap();
        let options = TreeOptions {
            no_ignore: false,
            threads: 1,
        };
        let missing = PathBuf::from("/nonexistent/x");
        let error = scan(&scanner, std::slice::from_ref(&missing), options)
            .err()
            .unwrap();
        assert_eq!(error.0, missing);
    }
}
