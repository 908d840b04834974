//! hushpipe in a unit of systemd. What systemd does at its end of the notify socket is done by
//! [`fake_systemd`] here, and by the real one in `booted`.

mod activation;
mod booted;
mod fake_systemd;
mod follow;
mod forking;
mod relay;
mod telling;
mod wrap;

pub use fake_systemd::FakeSystemd;

use crate::harness::{Hushpipe, Running};

/// For programs: `say(text, fds)` to the socket in NOTIFY_SOCKET.
const SAY: &str = r#"
import os, signal, socket, sys, time

# Until they are waited for.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1])

def say(text, fds=()):
    name = os.environ["NOTIFY_SOCKET"]
    to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    to.connect("\0" + name[1:] if name.startswith("@") else name)
    socket.send_fds(to, [text.encode()], list(fds))

def tell(*text):
    print(*text, flush=True)

def wait_for(*numbers):
    return signal.sigwait(numbers)
"#;

/// hushpipe with `run:` of this, and what else the manifest has, in front of a Python program, with
/// systemd at its side.
fn unit(run: &str, rest: &str, program: &str) -> (Hushpipe, FakeSystemd) {
    let hushpipe = Hushpipe::new().file("say.py", SAY).mode("say.py", 0o644);
    let systemd = FakeSystemd::listen(hushpipe.place().join("notify"));
    let manifest = format!("version: 1\nservice: unit\nrun: {{ {run} }}\n{rest}");
    let program = format!("from say import *\n{program}");
    let hushpipe = hushpipe
        .manifest(&manifest)
        .env("NOTIFY_SOCKET", systemd.name())
        .env("PYTHONPATH", "{place}")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-v", "run", "--", "/usr/bin/python3", "-c"])
        .arg(program);
    (hushpipe, systemd)
}

/// [`unit`], started.
fn start(run: &str, rest: &str, program: &str) -> (Running, FakeSystemd) {
    let (hushpipe, systemd) = unit(run, rest, program);
    (hushpipe.spawn(), systemd)
}
