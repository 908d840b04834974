//! `docker run -it`, by somebody who sits at a terminal.

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::engine::IMAGE;
use super::{Engine, give};
use crate::harness::Place;
use crate::harness::terminal::{CTRL_C, CTRL_Z, Terminal};

/// A container, and the terminal at which it was started.
struct Attached {
    terminal: Terminal,
    engine: &'static Engine,
    name: String,
}

impl Attached {
    /// Starts a shell script there, behind hushpipe.
    fn start(script: &str) -> Self {
        let engine = Engine::shared();
        let place = Place::new();
        give(&place, "hushpipe.yaml", "version: 1\nservice: terminal\n");
        let mount = format!("{}:/given:ro", place.path().display());
        let directory = place.path().file_name().expect("it has a name");
        let name = directory.to_string_lossy().replace('.', "");
        let name = format!("terminal-{name}");
        let options = ["run", "--interactive", "--tty", "--network=host"];
        let mut words = options.to_vec();
        words.extend(["--name", &name, "--volume", &mount, IMAGE]);
        words.extend(["hushpipe", "run", "-m", "/given/hushpipe.yaml", "--"]);
        words.extend(["sh", "-c", script]);
        Self {
            terminal: at_terminal(engine, place, &words),
            engine,
            name,
        }
    }

    /// Somebody sits down at it again.
    fn attach(&self) -> Terminal {
        at_terminal(self.engine, Place::new(), &["attach", &self.name])
    }
}

fn at_terminal(engine: &Engine, place: Place, words: &[&str]) -> Terminal {
    let host = engine.host();
    let docker = ["docker", "--host", &host];
    Terminal::within(place, &[&docker[..], words].concat())
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.engine.try_docker(["rm", "--force", &self.name]);
    }
}

/// Tells of every interrupt and every new size, and says again what is typed.
const SCRIPT: &str = "n=0; trap 'n=$((n+1)); echo int $n.' INT
trap 'echo size $(stty size).' WINCH
trap 'echo hung up; exit 6' HUP
echo ready; while :; do read line && echo got $line.; done";

#[test]
fn keys_and_sizes_reach_the_program_and_no_key_stops_it_for_ever() {
    let mut container = Attached::start(SCRIPT);
    let terminal = &mut container.terminal;
    terminal.expect("ready");
    terminal.resize(30, 100);
    terminal.expect("size 30 100.");
    terminal.send(CTRL_C);
    terminal.expect("int 1.");
    terminal.line("one");
    terminal.expect("got one.");
    // Nobody in the container could continue it.
    terminal.send(CTRL_Z);
    terminal.line("two");
    terminal.expect("got two.");
    terminal.resize(20, 90);
    terminal.expect("size 20 90.");
    assert!(!terminal.all().contains("int 2."), "{:?}", terminal.all());
}

#[test]
fn ctrl_c_ends_the_program_and_docker_run_with_its_code() {
    let mut container = Attached::start("echo ready; exec sleep 1000");
    container.terminal.expect("ready");
    container.terminal.send(CTRL_C);
    assert_eq!(container.terminal.ends(), Some(130));
}

#[test]
fn who_detaches_leaves_it_running_and_comes_back() {
    let mut container = Attached::start(SCRIPT);
    container.terminal.expect("ready");
    container.terminal.send("\x10\x11");
    container.terminal.ends();
    let mut again = container.attach();
    again.line("back");
    again.expect("got back.");
}

#[test]
fn a_terminal_that_hangs_up_tells_the_program() {
    let mut container = Attached::start(SCRIPT);
    container.terminal.expect("ready");
    // As the kernel tells the client of a terminal that is gone; the client passes it on.
    let client = Pid::from_raw(container.terminal.child.id() as i32);
    signal::kill(client, Signal::SIGHUP).expect("it runs");
    container.terminal.expect("hung up");
    let code = container.engine.ask(["wait", &container.name]);
    assert_eq!(code, "6");
}
