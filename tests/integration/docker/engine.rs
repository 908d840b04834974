//! A Docker engine of the tests' own: its own socket, its own directories, ended with the tests.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::harness::{deadline, wait_gently};

/// The engine. It serves all tests of this process: to start one takes seconds.
pub struct Engine {
    directory: PathBuf,
    /// Ends the engine when its standard input does.
    keeper: Child,
}

static LIVE: Mutex<Option<&'static Engine>> = Mutex::new(None);

/// The image of these tests: busybox and hushpipe, nothing else.
pub const IMAGE: &str = "hushpipe-test";

/// Runs the engine until its standard input ends, which it does with the tests, however they end. Then
/// nothing is left of it: its containers and its containerd end with it, what it mounted for a container
/// that was killed is unmounted, and its directory is removed.
const KEEPER: &str = "directory=$1; shift
dockerd \"$@\" </dev/null >\"$directory/log\" 2>&1 &
cat >/dev/null
kill $!
wait $!
while read -r _ mount _; do
    case $mount in \"$directory\"/*) umount --lazy \"$mount\" ;; esac
done </proc/self/mounts
rm -rf \"$directory\"";

impl Engine {
    /// The one that runs, or a new one with [`IMAGE`] in it.
    pub fn shared() -> &'static Self {
        let mut live = LIVE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(engine) = *live {
            return engine;
        }
        let engine: &'static Self = Box::leak(Box::new(Self::start()));
        engine.import(IMAGE, super::images::busybox().path());
        *live = Some(engine);
        engine
    }

    /// Without a network of its own, which needs privileges that a build machine may not have.
    fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hushpipe-docker-")
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        let at = |name: &str| directory.join(name);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&directory)
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .args(["--shutdown-timeout", "1", "--data-root"])
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("socket").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A key on the terminal is for the tests.
            .process_group(0)
            .spawn()
            .expect("sh is there");
        let engine = Self { directory, keeper };
        let answers = || engine.try_docker(["version"]).status.success();
        let time = deadline().max(Duration::from_mins(1));
        let up = look(time, || answers().then_some(()));
        assert!(up.is_some(), "dockerd does not start:\n{}", engine.log());
        engine
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// `DOCKER_HOST` of it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.join("socket").display())
    }

    /// The client, with these arguments.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(self.host())
            .args(arguments)
            .env("DOCKER_CONFIG", self.directory.join("config"))
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
    /// One that did not start.
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// Looks again and again, but gently: each look starts a client of the engine, and with several tests at
/// once they would leave the engine no processor.
pub fn look<T>(time: Duration, look: impl FnMut() -> Option<T>) -> Option<T> {
    wait_gently(Duration::from_millis(50), time, look)
}
