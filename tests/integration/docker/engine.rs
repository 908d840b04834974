//! A Docker engine of the tests' own: its own socket, its own directories, ended by its pid.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::harness::wait_until;

/// The engine, for as long as a test holds it.
pub struct Engine {
    directory: TempDir,
    child: Child,
}

/// The tests run side by side: those that do share one engine.
static LIVE: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

/// The image of these tests: busybox and hushpipe, nothing else.
pub const IMAGE: &str = "hushpipe-test";

impl Engine {
    /// The one that runs, or a new one with [`IMAGE`] in it.
    pub fn shared() -> Arc<Self> {
        let mut live = LIVE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(engine) = live.upgrade() {
            return engine;
        }
        let engine = Arc::new(Self::start());
        engine.import(IMAGE, &super::images::busybox());
        *live = Arc::downgrade(&engine);
        engine
    }

    /// Without a network of its own, which needs privileges that a build machine may not have.
    fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hushpipe-docker-")
            .tempdir()
            .expect("a temporary directory can be made");
        let at = |name: &str| directory.path().join(name);
        let log = File::create(at("log")).expect("a log can be made");
        let child = Command::new("dockerd")
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .args(["--shutdown-timeout", "1", "--data-root"])
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("socket").display()))
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log)
            .spawn()
            .expect("dockerd is installed by tests/install");
        let engine = Self { directory, child };
        let up = wait_until(|| {
            engine
                .try_docker(["version"])
                .status
                .success()
                .then_some(())
        });
        assert!(up.is_some(), "dockerd does not start:\n{}", engine.log());
        engine
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// `DOCKER_HOST` of it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("socket").display())
    }

    /// The client, with these arguments.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(self.host())
            .args(arguments)
            .env("DOCKER_CONFIG", self.directory.path().join("config"))
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs the client; gives how it ended and all that it said.
    pub fn try_docker<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> std::process::Output {
        let mut command = self.command(arguments);
        command
            .output()
            .expect("docker is installed by tests/install")
    }

    /// Runs the client, and gives its standard output, less the last line end.
    pub fn ask<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let output = self.try_docker(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Makes an image of a directory.
    pub fn import(&self, name: &str, root: &Path) {
        let tar = Command::new("tar")
            .args(["--create", "--directory"])
            .arg(root)
            .arg(".")
            .output()
            .expect("tar is there");
        let mut import = self
            .command(["import", "-", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker can be started");
        let mut pipe = import.stdin.take().expect("it is piped");
        pipe.write_all(&tar.stdout).expect("docker reads it");
        drop(pipe);
        assert!(import.wait().expect("it is a child").success());
    }
}

impl Drop for Engine {
    /// Its containers and its containerd end with it.
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        signal::kill(pid, Signal::SIGTERM).ok();
        self.child.wait().ok();
        // What the engine mounted for a container that was killed.
        for mount in mounts_below(self.directory.path()) {
            nix::mount::umount2(&mount, nix::mount::MntFlags::MNT_DETACH).ok();
        }
    }
}

fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let targets = text.lines().filter_map(|line| line.split(' ').nth(1));
    targets
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(path))
        .collect()
}
