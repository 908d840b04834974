//! One container: started with options, watched, and removed at the end.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Engine;
use super::engine::IMAGE;
use crate::harness::{Place, wait_until};

/// A container that was started in the background.
pub struct Container {
    pub engine: Arc<Engine>,
    pub id: String,
    /// What it has mounted.
    pub place: Place,
}

/// Where the place's files are in containers.
pub const MOUNT: &str = "/given";

/// Writes a file for every user to read, and at once in whole.
pub fn give(place: &Place, path: &str, content: impl AsRef<[u8]>) {
    let new = format!("{path}.new");
    place.write(&new, content);
    place.set_mode(&new, 0o644);
    fs::rename(place.join(&new), place.join(path)).expect("both are in one directory");
}

impl Container {
    /// Starts `hushpipe -v run -m /given/hushpipe.yaml -- sh -c SCRIPT` with these options of
    /// `docker run`. The place is mounted read-only at /given, for every user to read.
    pub fn start(place: Place, options: &[&str], script: &str) -> Self {
        let engine = Engine::shared();
        let mount = format!("{}:{MOUNT}:ro", place.path().display());
        let mut words = vec!["run", "--detach", "--network=host", "--volume", &mount];
        words.extend(options);
        words.extend([IMAGE, "hushpipe", "-v", "run", "-m", "/given/hushpipe.yaml"]);
        words.extend(["--", "sh", "-c", script]);
        let id = engine.ask(words);
        Self { engine, id, place }
    }

    /// What it wrote to both of its streams so far.
    pub fn logs(&self) -> String {
        let output = self.engine.try_docker(["logs", &self.id]);
        let streams = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&streams).into_owned()
    }

    /// Waits until it has written this.
    pub fn wait_for(&self, text: &str) {
        let seen = wait_until(|| self.logs().contains(text).then_some(()));
        assert!(seen.is_some(), "no {text:?} in\n{}", self.logs());
    }

    /// A field of `docker inspect`, by a Go template.
    pub fn inspect(&self, template: &str) -> String {
        self.engine.ask(["inspect", "--format", template, &self.id])
    }

    /// The first process, as this machine sees it.
    pub fn pid(&self) -> i32 {
        let pid = self.inspect("{{.State.Pid}}");
        pid.parse().expect("a process id")
    }

    /// `docker stop`; gives the exit code, and how long it took from the engine's signal to the
    /// container's end, by the engine's own clock.
    pub fn stop(&self) -> (i32, Duration) {
        self.engine.ask(["stop", &self.id]);
        // `docker stop` may return before the engine tells everybody of the end.
        let took = wait_until(|| {
            let events = self.events();
            let ended = time_of(&events, "die")?;
            time_of(&events, "kill").map(|asked| Duration::from_nanos(ended - asked))
        });
        let took = took.unwrap_or_else(|| panic!("no end in\n{}", self.events()));
        (self.code(), took)
    }

    /// What the engine told of this container until now: a time in nanoseconds and an action a line.
    fn events(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is after 1970");
        let until = format!("--until={}.{:09}", now.as_secs(), now.subsec_nanos());
        let filter = format!("--filter=container={}", self.id);
        let format = "--format={{.TimeNano}} {{.Action}}";
        self.engine
            .ask(["events", "--since=10m", &until, &filter, format])
    }

    /// Waits for its end; gives the exit code.
    pub fn wait(&self) -> i32 {
        let code = self.engine.ask(["wait", &self.id]);
        code.parse().expect("an exit code")
    }

    fn code(&self) -> i32 {
        let code = self.inspect("{{.State.ExitCode}}");
        code.parse().expect("an exit code")
    }
}

/// When an action was first told, in nanoseconds.
fn time_of(events: &str, action: &str) -> Option<u64> {
    let mut lines = events.lines().filter_map(|line| line.split_once(' '));
    let (time, _) = lines.find(|(_, told)| *told == action)?;
    time.parse().ok()
}

impl Drop for Container {
    fn drop(&mut self) {
        self.engine.try_docker(["rm", "--force", &self.id]);
    }
}
