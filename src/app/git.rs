//! What git says of a directory: asked of git itself, which knows all of its ignore files.

use std::io;
use std::path::Path;

use super::runtime;
use crate::sys::command::spawn;
use crate::sys::reaper::{Reaper, Status};

/// How git may be led elsewhere by its environment, as within a hook.
const ELSEWHERE: [&str; 3] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"];

/// A directory within a work tree.
#[derive(Clone, Copy, Debug)]
pub struct WorkTree<'a> {
    directory: &'a Path,
    /// There is a git to ask.
    git: bool,
}

impl<'a> WorkTree<'a> {
    /// `None`: the directory is in no work tree. Where there is no git, a `.git` above tells.
    pub fn of(directory: &'a Path) -> Option<Self> {
        let asked = code(directory, &["rev-parse", "--is-inside-work-tree"]);
        let git = asked == Some(0);
        let above = || std::path::absolute(directory).ok();
        let has_git = |path: &Path| path.join(".git").exists();
        let is_one = git || above().is_some_and(|path| path.ancestors().any(has_git));
        is_one.then_some(Self { directory, git })
    }

    /// Whether git would not add a path, relative to the directory, if it were new.
    pub fn ignores(&self, path: &str) -> bool {
        self.git && self.says(&["check-ignore", "--quiet", "--no-index", "--", path])
    }

    /// Whether git has a version of it.
    pub fn tracks(&self, path: &str) -> bool {
        self.git && self.says(&["ls-files", "--error-unmatch", "--", path])
    }

    fn says(&self, arguments: &[&str]) -> bool {
        code(self.directory, arguments) == Some(0)
    }
}

/// git's exit code; `None` where it cannot be asked.
fn code(directory: &Path, arguments: &[&str]) -> Option<i32> {
    let directory = directory.to_str()?;
    let words = ["git", "-C", directory]
        .into_iter()
        .chain(arguments.iter().copied());
    let argv: Vec<String> = words.map(str::to_owned).collect();
    match ask(&argv) {
        Ok(Status::Exited(code)) => Some(code),
        _ => None,
    }
}

fn ask(argv: &[String]) -> io::Result<Status> {
    let environment =
        std::env::vars_os().filter(|(name, _)| ELSEWHERE.iter().all(|elsewhere| name != elsewhere));
    let runtime = runtime().map_err(|_| io::ErrorKind::Other)?;
    runtime.block_on(async {
        // What it writes is short, and of no interest.
        let mut spawned = spawn(argv, environment, &Reaper::new())?;
        spawned.running.ended().await
    })
}
