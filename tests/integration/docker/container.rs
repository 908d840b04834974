//! One container: started with options, watched, and removed at the end.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::engine::IMAGE;
use super::{Engine, look};
use crate::harness::{Place, deadline};

/// A container that was started in the background.
pub struct Container {
    pub engine: &'static Engine,
    pub id: String,
    /// What it has mounted.
    pub place: Place,
}

/// Where the place's files are in containers.
pub const MOUNT: &str = "/given";

/// How long the end of a container may take. On a machine that has much to do, the engine itself is late
/// at times: see [`Container::ends_in_time`].
pub const IN_TIME: Duration = Duration::from_secs(1);

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
        let hushpipe = ["hushpipe", "-v", "run", "-m", "/given/hushpipe.yaml", "--"];
        let words = [&hushpipe[..], &["sh", "-c", script]].concat();
        Self::raw(place, options, &words)
    }

    /// Starts something else.
    pub fn raw(place: Place, options: &[&str], command: &[&str]) -> Self {
        let engine = Engine::shared();
        let mount = format!("{}:{MOUNT}:ro", place.path().display());
        let mut words = vec!["run", "--detach", "--network=host", "--volume", &mount];
        words.extend(options);
        words.push(IMAGE);
        words.extend(command);
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
        self.wait_for_times(text, 1, deadline());
    }

    /// Waits for this time until it has written this so many times.
    pub fn wait_for_times(&self, text: &str, times: usize, time: Duration) {
        let seen = look(time, || {
            (self.logs().matches(text).count() >= times).then_some(())
        });
        assert!(
            seen.is_some(),
            "no {text:?}, {times} times, in\n{}",
            self.logs()
        );
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

    /// `docker kill --signal=NAME`: a signal to the first process.
    pub fn signal(&self, name: &str) {
        self.engine.ask(["kill", "--signal", name, &self.id]);
    }

    /// Starts it once more, after its end, and waits until it has said this once more.
    pub fn start_again(&self, ready: &str) {
        let times = self.logs().matches(ready).count() + 1;
        self.engine.ask(["start", &self.id]);
        self.wait_for_times(ready, times, deadline() * 6);
    }

    /// `docker stop`; gives the exit code, and how long it took from the engine's signal to the
    /// container's end, by the engine's own clock.
    pub fn stop(&self) -> (i32, Duration) {
        self.engine.ask(["stop", &self.id]);
        // `docker stop` may return before the engine tells everybody of the end.
        let took = look(deadline(), || took(&self.events()));
        let took = took.unwrap_or_else(|| panic!("no end in\n{}", self.events()));
        (self.code(), took)
    }

    /// `docker stop` ends it with this code, and in time: the best of three counts. Before each but the
    /// first, it is started again and says `ready`.
    pub fn ends_in_time(&self, code: i32, ready: &str) {
        let mut all = Vec::new();
        loop {
            let (found, took) = self.stop();
            assert_eq!(found, code, "{}", self.logs());
            if took < IN_TIME {
                return;
            }
            all.push(took);
            assert!(all.len() < 3, "{all:?}");
            self.start_again(ready);
        }
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

/// From the last signal to the end that followed it, since the container was last started. The engine remembers
/// 256 events of all its containers: where it has forgotten the start, it has forgotten what was before.
fn took(events: &str) -> Option<Duration> {
    let events = events
        .rsplit_once(" start")
        .map_or(events, |(_, since)| since);
    let (before, _) = events.split_once(" die")?;
    let (earlier, ended) = before.rsplit_once('\n')?;
    let (asked, _) = earlier.rsplit_once(" kill")?;
    let time = |text: &str| text.rsplit('\n').next()?.parse::<u64>().ok();
    Some(Duration::from_nanos(time(ended)? - time(asked)?))
}

impl Drop for Container {
    fn drop(&mut self) {
        self.engine.try_docker(["rm", "--force", &self.id]);
    }
}

#[test]
fn the_time_is_that_of_the_last_signal_before_the_last_end() {
    let first = "1 create\n2 start\n3 kill\n9 die\n10 stop\n";
    assert_eq!(took(first), Some(Duration::from_nanos(6)));
    let second = format!("{first}20 start\n21 kill\n30 kill\n");
    assert_eq!(took(&second), None);
    let ended = format!("{second}34 die\n35 stop");
    assert_eq!(took(&ended), Some(Duration::from_nanos(4)));
    let forgotten = "30 kill\n34 die\n35 stop";
    assert_eq!(took(forgotten), Some(Duration::from_nanos(4)));
}
