//! What becomes of a program while something is wrong with its vault: it goes on with the values it
//! has, hushpipe goes on with its work and says once what is wrong, and both recover by themselves.
//!
//! The server is the real OpenBao; a proxy spoils the wire, and a fake gives the answers that the
//! real one does not.

mod answers;
mod causes;
mod clock;
mod gone;
mod launch;
mod leases;
mod outages;
mod tls;

use std::cell::Cell;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Bao, FaultProxy, Hushpipe, Running, wait_until};

/// At SIGHUP and SIGUSR2 the program writes its file; at SIGUSR1 it leaves an orphan behind.
const PROGRAM: [&str; 14] = [
    "{probe}",
    "on",
    "HUP",
    "cat:{place}/run/value",
    "on",
    "USR2",
    "cat:{place}/run/value",
    "on",
    "USR1",
    "orphan",
    "on",
    "TERM",
    "exit:0",
    "serve",
];

/// The longest wait between two tries is ten seconds. What was waited for is there soon after it: a
/// try may be under way that fails, and the machine may be busy.
const ONE_INTERVAL: Duration = Duration::from_secs(10 + 5);

/// A manifest whose one secret `it` is delivered as the file `run/value`, with a line end.
fn manifest(store: &str, secret: &str, content: &str) -> String {
    format!(
        "version: 1\nservice: t\nstores:\n  bao: {store}\nsecrets:\n  it: {{ store: bao, {secret} }}\n\
         deliver:\n  - {{ file: \"{{place}}/run/value\", content: \"{content}\\n\" }}\n\
         isolation: private\non_rotate: {{ do: signal, signal: HUP, settle: 0s }}\n"
    )
}

/// A KV secret that is looked at every second.
const KV: &str = "path: kv/data/app, refresh: 1s";

/// How soon the store gives up a try: long enough for a launch on a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);
const PATIENCE: &str = ", retry: { deadline: 2s }";

/// More tries than the first, in which nothing else may be said.
const MORE: usize = 2;

/// A program with a secret of OpenBao's, through a proxy.
struct Life {
    bao: Bao,
    proxy: FaultProxy,
    running: Running,
    /// How much of standard error was there before the fault.
    said: Cell<usize>,
}

impl Life {
    /// With the KV secret `app`, whose field `value` is `one`.
    fn start(bao: Bao) -> Self {
        bao.kv_put("app", &json!({ "value": "one" }));
        let life = Self::with(bao, KV, "{{ it.value }}");
        life.has("one");
        life
    }

    fn with(bao: Bao, secret: &str, content: &str) -> Self {
        let proxy = FaultProxy::start(bao.port());
        let hushpipe = Hushpipe::new();
        let store = bao.store_by_approle_at(hushpipe.place(), &proxy.address(), PATIENCE);
        let running = run(hushpipe, &manifest(&store, secret, content));
        let said = Cell::new(running.stderr().len());
        Self {
            bao,
            proxy,
            running,
            said,
        }
    }

    /// From now on, what hushpipe says is of the fault.
    fn takes_note(&self) {
        self.said.set(self.running.stderr().len());
    }

    fn has(&self, value: &str) {
        goes_on(&self.running, value);
    }

    /// Waits until the fault is said, with this in the line, and was met in more tries, each of them
    /// given up after its deadline; by then nothing else was said, and all goes on.
    fn suffers(&self, text: &str) {
        self.running.wait_for_stderr(text);
        self.is_tried_again();
        self.bears(text);
    }

    /// As [`Life::suffers`], where nobody sees the tries: for as long as they take. Each ends at its
    /// deadline, and the waits before the second and the third are one and two seconds at most.
    fn suffers_unseen(&self, text: &str) {
        self.running.wait_for_stderr(text);
        self.has_lasted(DEADLINE * 2 + Duration::from_secs(1 + 2));
        self.bears(text);
    }

    /// Waits until the outage is so old, by what `status` says.
    fn has_lasted(&self, time: Duration) {
        self.running.until("the outage has lasted for so long", || {
            let since = self.running.status()["outages"][0]["since"].clone();
            let since = humantime::parse_rfc3339(since.as_str()?).expect("it is a time");
            (since.elapsed().ok()? >= time).then_some(())
        });
    }

    fn is_tried_again(&self) {
        let before = self.proxy.tries(DEADLINE);
        self.running.until("hushpipe tries again", || {
            (self.proxy.tries(DEADLINE) >= before + MORE).then_some(())
        });
    }

    /// Nothing was said but one line, with this in it, and all goes on with the first value.
    fn bears(&self, text: &str) {
        self.has("one");
        let said = self.running.stderr().split_off(self.said.get());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(text), "{said}");
        assert!(said.contains("the program keeps what it has"), "{said}");
        is_told(&self.running, text);
    }

    /// It was no fault that anybody need know of.
    fn is_silent(&self) {
        let said = self.running.stderr().split_off(self.said.get());
        let else_said = said.lines().find(|line| !line.contains("is in place"));
        assert_eq!(else_said, None, "{said}");
        is_well(&self.running);
    }

    /// The fault has ended, and the secret has a new value: the program gets it by itself.
    fn recovers(&self) {
        let since = Instant::now();
        self.bao.kv_put("app", &json!({ "value": "two" }));
        self.running.wait_for_line("two");
        assert!(since.elapsed() < ONE_INTERVAL, "{:?}", since.elapsed());
        self.running.wait_for_stderr("store bao answers again");
        goes_on(&self.running, "two");
        is_well(&self.running);
    }
}

/// Starts it and waits until the program is ready.
fn run(hushpipe: Hushpipe, manifest: &str) -> Running {
    let running = hushpipe
        .controlled()
        .manifest(manifest)
        .args(["run", "--"])
        .args(PROGRAM)
        .spawn();
    running.wait_for_line("ready");
    running
}

/// `status` says that something is wrong with the store, and what.
fn is_told(running: &Running, text: &str) {
    let status = running.status();
    assert_eq!(status["healthy"], false, "{status}");
    assert_eq!(status["outages"][0]["store"], "bao", "{status}");
    let message = status["outages"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(text), "{status}");
}

/// `status` says that all is well again.
fn is_well(running: &Running) {
    running.until("status says that all is well", || {
        let status = running.status();
        let well = status["healthy"] == true && status["outages"].as_array()?.is_empty();
        well.then_some(())
    });
}

/// The program runs and has this value; hushpipe passes signals on and reaps orphans.
fn goes_on(running: &Running, value: &str) {
    running.signal(Signal::SIGUSR2);
    running.wait_for_line(value);
    running.signal(Signal::SIGUSR1);
    let line = running.wait_for_line("orphan ");
    let orphan: i32 = line["orphan ".len()..].parse().expect("it is a number");
    running.signal_to(orphan, Signal::SIGKILL);
    let reaped = wait_until(|| {
        let there = std::fs::exists(format!("/proc/{orphan}")).expect("/proc can be read");
        (!there).then_some(())
    });
    assert!(reaped.is_some(), "the orphan {orphan} was not reaped");
}
