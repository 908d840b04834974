//! How a program gets its values, and who else does not.

mod bootstrap;
mod callers;
mod credentials;
mod environment;
mod exec;
mod fds;
mod fifo;
mod getenv;
mod isolation;
mod links;
mod private;
mod redaction;
mod relative;
mod shared;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Hushpipe, walk};

/// What `token` holds.
const VALUE: &str = "correct-horse";

/// A program that runs until it is asked to end; it says `ready`.
const SERVE: [&str; 6] = ["--", "{probe}", "on", "TERM", "exit:5", "serve"];

/// What [`SERVE`] then ends with.
const STOPPED: i32 = 5;

/// A manifest with the secret `token`, then `rest`; and `run -v`, still without a command.
fn launch(rest: &str) -> Hushpipe {
    Hushpipe::new()
        .file("secrets/token", VALUE)
        .manifest(&format!(
            "version: 1\nservice: t\n\
             stores:\n  dir: {{ type: directory, path: \"{{place}}/secrets\" }}\n\
             secrets:\n  token: {{ store: dir, key: token }}\n{rest}"
        ))
        .args(["run", "-v"])
}

/// A directory of a test's own in memory, where shared files may be.
pub struct Memory(TempDir);

impl Memory {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hushpipe-test-")
            .tempdir_in("/dev/shm")
            .expect("/dev/shm is there");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), mode).expect("it is ours");
        Self(directory)
    }

    fn given_to(uid: u32) -> Self {
        let memory = Self::new();
        std::os::unix::fs::chown(memory.0.path(), Some(uid), Some(uid)).expect("tests run as root");
        memory
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The text with `{memory}` filled in.
    pub fn fill(&self, text: &str) -> String {
        let path = self.0.path().to_str().expect("it has a UTF-8 name");
        text.replace("{memory}", path)
    }

    pub fn is_empty(&self) -> bool {
        walk(self.0.path()).is_empty()
    }
}

/// What a user reads there by cat(1), or its complaint.
fn read_as(uid: u32, path: &Path) -> Result<String, String> {
    let mut command = Command::new("cat");
    let output = command.arg(path).uid(uid).gid(uid).output().expect("cat");
    let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// The path as a process sees it.
fn seen_by(pid: i32, path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").expect("it is absolute");
    Path::new("/proc")
        .join(pid.to_string())
        .join("root")
        .join(relative)
}

/// Words of a shell that does this.
fn shell(script: &str) -> [&str; 4] {
    ["--", "/bin/sh", "-c", script]
}
