//! Sealed stores, made and changed by hushpipe itself.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::Place;

impl Place {
    pub(super) fn make_sealed_store(&self) {
        self.make_directory("store.init");
        self.hushpipe(&["init", "store.init", "--store", "store"], "");
        for path in ["store.init/hushpipe.yaml", "store.init"] {
            let path = self.join(path);
            std::fs::remove_file(&path)
                .or_else(|_| std::fs::remove_dir(&path))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Sets a secret of the sealed store at `{place}/store`: a new version, which is current.
    pub fn seal(&self, name: &str, value: &str) {
        self.hushpipe(&["secret", "--store", "store", "set", name], value);
    }

    /// Makes the version before the current one current again.
    pub fn roll_back(&self, name: &str) {
        self.hushpipe(&["secret", "--store", "store", "rollback", name], "");
    }

    /// Removes a secret of the sealed store.
    pub fn unseal(&self, name: &str) {
        self.hushpipe(&["secret", "--store", "store", "rm", "--yes", name], "");
    }

    /// Runs hushpipe in this place, as the owner of the place, and insists that it succeeds.
    fn hushpipe(&self, arguments: &[&str], input: &str) {
        let owner = std::fs::metadata(self.path()).expect("the place is there");
        let mut child = Command::new(self.bring(env!("CARGO_BIN_EXE_hushpipe"), "hushpipe"))
            .uid(owner.uid())
            .gid(owner.gid())
            .args(arguments)
            .args(["--identity", "identity.txt"])
            .current_dir(self.path())
            .env("HUSHPIPE_STATE_DIRECTORY", self.join(".state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("hushpipe can be started");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(input.as_bytes()).expect("hushpipe reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it is a child");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hushpipe {arguments:?}: {said}");
    }
}
