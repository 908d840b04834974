//! A test's own directory.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory of a test's own, which other users can enter; removed with everything in it.
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// A new one.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hushpipe-test-")
            .tempdir()
            .expect("a temporary directory can be made");
        let place = Self { directory };
        place.set_mode("", 0o755);
        place
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path below it.
    pub fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// The text with `{place}` and `{probe}` filled in.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.replace("{place}", self.text());
        if text.contains("{probe}") {
            let probe = self.probe();
            text = text.replace("{probe}", probe.to_str().expect("places have UTF-8 names"));
        }
        text
    }

    pub(super) fn fill_os(&self, text: OsString) -> OsString {
        match text.into_string() {
            Ok(text) => self.fill(&text).into(),
            Err(bytes) => bytes,
        }
    }

    fn text(&self) -> &str {
        self.path().to_str().expect("places have UTF-8 names")
    }

    /// The program for tests, where every user can start it.
    pub fn probe(&self) -> PathBuf {
        let own = std::env::current_exe().expect("the test knows its program");
        self.bring(own, "probe")
    }

    /// The same as a file of its own, for tests whose program is judged: each new link to a file, such as
    /// another test's, changes its inode.
    pub fn copy_probe(&self) {
        let own = std::env::current_exe().expect("the test knows its program");
        self.make_directory("bin");
        fs::copy(own, self.join("bin/probe")).expect("there is space for it");
    }

    /// A program, linked or copied to where every user can start it.
    pub fn bring(&self, program: impl AsRef<Path>, name: &str) -> PathBuf {
        let here = self.join(&format!("bin/{name}"));
        if here.exists() {
            return here;
        }
        self.make_directory("bin");
        let program = program.as_ref();
        fs::hard_link(program, &here)
            .or_else(|_| fs::copy(program, &here).map(drop))
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        here
    }

    /// Writes a file, mode 0600, with the directories that it needs.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let full = self.join(path);
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.make_directory(directory);
        }
        fs::write(&full, content).unwrap_or_else(|error| panic!("{}: {error}", full.display()));
        self.set_mode(path, 0o600);
    }

    /// Replaces a file's content by a rename, as careful writers do.
    pub fn replace(&self, path: &str, content: impl AsRef<[u8]>) {
        let new = format!("{path}.new");
        self.write(&new, content);
        fs::rename(self.join(&new), self.join(path)).expect("both are in one directory");
    }

    /// Reads a file as text.
    pub fn read(&self, path: &str) -> String {
        let full = self.join(path);
        fs::read_to_string(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
    }

    /// Makes a directory, mode 0755, with those above it.
    pub fn make_directory(&self, path: &str) {
        let mut below = PathBuf::new();
        for part in Path::new(path) {
            below.push(part);
            match fs::create_dir(self.path().join(&below)) {
                Ok(()) => self.set_mode(below.to_str().expect("UTF-8"), 0o755),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", below.display()),
            }
        }
    }

    /// Sets permission bits.
    pub fn set_mode(&self, path: &str, mode: u32) {
        let full = self.join(path);
        fs::set_permissions(&full, fs::Permissions::from_mode(mode))
            .unwrap_or_else(|error| panic!("{}: {error}", full.display()));
    }

    /// Everything below it, as sorted relative paths, but for `bin` (where programs were brought).
    pub fn entries(&self) -> Vec<String> {
        let below = |path: PathBuf| path.strip_prefix(self.path()).map(Path::to_path_buf);
        let mut names: Vec<String> = walk(self.path())
            .into_iter()
            .filter_map(|path| below(path).ok())
            .filter(|path| !path.starts_with("bin") && !path.starts_with(".state"))
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Processes that came of a test here and still run.
    pub fn processes(&self) -> Vec<i32> {
        super::processes::marked(self.path())
    }

    /// Gives everything but the programs to a user.
    pub fn give_to(&self, uid: u32) {
        let mine = walk(self.path())
            .into_iter()
            .filter(|path| !path.starts_with(self.join("bin")));
        for path in mine.chain([self.path().to_path_buf()]) {
            std::os::unix::fs::lchown(&path, Some(uid), Some(uid))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

/// Every path below a directory. What vanishes meanwhile is left out.
pub fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}
