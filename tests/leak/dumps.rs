//! When hushpipe itself dies of a fault: no core dump, and nothing of a value in what is said.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::canary::Canary;
use super::deliveries::canaries;
use super::fault::{Tracer, segfault};
use super::scan::Scan;
use super::stocked::{Kind, Stocked, binaries};
use crate::harness::{Hushpipe, Place, Running, wait_until};

const PATTERN: &str = "/proc/sys/kernel/core_pattern";

const NAMES: [&str; 3] = ["file", "long", "pipe"];

/// Of the FIFO and the pipe nobody reads: hushpipe keeps their values.
const DELIVER: &str = r#"
deliver:
  - { file: "{place}/run/file", secret: file@ }
  - { fifo: "{place}/run/fifo", secret: long@ }
  - { fd: 5, as: pipe, secret: pipe@ }
isolation: private
run:
  command: ["{probe}", on, TERM, "exit:0", serve]
"#;

/// Prints a value when the test says so.
const HELD: &str = "#!/bin/sh\ntouch $1.asked; while [ ! -e $2 ]; do sleep 0.01; done; cat $1\n";

/// As many bytes of a core dump as the kernel writes.
const UNLIMITED: [&str; 2] = ["prlimit", "--core=unlimited:unlimited"];

/// A launch that may dump its core as far as limits go.
fn launch(kind: Kind, canaries: &[Canary], binary: Option<&PathBuf>) -> Running {
    let (stocked, hushpipe) = Stocked::new(kind, Hushpipe::new().directory("run"), canaries);
    let text = stocked.manifest(hushpipe.place(), &NAMES, DELIVER);
    let held = "run: [\"{place}/held\", \"{place}/values/{key}\", \"{place}/go\"]";
    let text = text.replace("run: [cat, \"{place}/values/{key}\"]", held);
    let hushpipe = hushpipe.file("held", HELD).mode("held", 0o755);
    hushpipe
        .manifest(&text)
        .binary(binary.map(PathBuf::as_path))
        .through(&UNLIMITED)
        .args(["run", "-vvv"])
        .spawn()
}

/// Values are asked for, and some are there.
fn in_the_fetch(running: &Running) {
    running.until("values are asked for", || {
        let asked = |name: &&str| {
            running
                .place()
                .join(&format!("values/{name}.asked"))
                .exists()
        };
        NAMES.iter().all(asked).then_some(())
    });
}

fn cores(place: &Place) -> Vec<String> {
    let mut names = place.entries();
    names.retain(|name| name.contains("core"));
    names
}

/// It dies of the fault, and nothing is dumped; so much memory of a test's own program is.
fn assert_no_core(running: Running, canaries: &[Canary]) {
    let scan = Scan::new(canaries);
    assert_eq!(scan.bytes("stderr", running.stderr().as_bytes()), [""; 0]);
    let output = running.wait().killed_by(Signal::SIGSEGV);
    assert!(!output.status.core_dumped());
    assert_eq!(cores(output.place()), [""; 0]);
}

/// What the machine does with a program that does not mind.
fn control() -> Running {
    let mut through = UNLIMITED.to_vec();
    through.extend(["{probe}", "serve", "--"]);
    let running = Hushpipe::new().through(&through).spawn();
    running.wait_for_line("ready");
    running
}

fn leaves_no_core() {
    let running = control();
    segfault(running.pid());
    let output = running.wait().killed_by(Signal::SIGSEGV);
    assert!(output.status.core_dumped(), "this machine dumps no core");
    drop(output);
    for binary in binaries() {
        let given = canaries(&NAMES);
        // At rest, with values in protected memory.
        let running = launch(Kind::Sealed, &given, binary.as_ref());
        running.wait_for_line("ready");
        segfault(running.pid());
        assert_no_core(running, &given);
        // While values come.
        let running = launch(Kind::Command, &given, binary.as_ref());
        in_the_fetch(&running);
        segfault(running.pid());
        assert_no_core(running, &given);
        // The child that will become the program, which starts as a copy of hushpipe.
        let running = launch(Kind::Command, &given, binary.as_ref());
        in_the_fetch(&running);
        let hushpipe = Tracer::seize(running.pid(), libc::PTRACE_O_TRACEFORK);
        let child = hushpipe.forked(|| running.place().write("go", ""));
        child.crash();
        hushpipe.release();
        let output = running.wait();
        let said = output.stderr();
        assert_eq!(output.status.code(), Some(71), "{said}");
        assert_eq!(Scan::new(&given).bytes("stderr", said.as_bytes()), [""; 0]);
        assert_eq!(cores(output.place()), [""; 0]);
    }
}

/// `core_pattern` of core(5), for as long as this is there. One test of this machine at a time.
struct Pattern {
    file: File,
    before: String,
}

impl Pattern {
    fn set(pattern: &str) -> std::io::Result<Self> {
        let mut file = File::options().read(true).write(true).open(PATTERN)?;
        file.lock()?;
        let before = fs::read_to_string(PATTERN)?;
        file.write_all(pattern.as_bytes())?;
        Ok(Self { file, before })
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        let restored = fs::write(PATTERN, &self.before);
        self.file.unlock().ok();
        restored.expect("what was read can be written");
    }
}

/// The one of the machine, whichever it is, and a program that collects dumps: such a one gets them
/// whatever the limit is, as systemd-coredump(8) does.
#[test]
fn a_fault_of_hushpipe_dumps_no_core() {
    leaves_no_core();
    let place = Place::new();
    let collect = "#!/bin/sh\nexec cat >$1/core.$2\n";
    place.write("collect", collect);
    place.set_mode("collect", 0o755);
    let at = place.path().display();
    let pattern = match Pattern::set(&format!("|{at}/collect {at} %p")) {
        Ok(pattern) => pattern,
        Err(error) => {
            eprintln!(
                "{PATTERN} cannot be set here, so only the one that it has is tried: {error}"
            );
            return;
        }
    };
    let running = control();
    let probe = running.pid();
    segfault(probe);
    running.wait().killed_by(Signal::SIGSEGV);
    let collected = wait_until(|| {
        let core = fs::metadata(place.join(&format!("core.{probe}"))).ok()?;
        (core.len() > 100_000).then_some(())
    });
    assert!(collected.is_some(), "a core dump is collected");
    leaves_no_core();
    drop(pattern);
    let scan = |path: &PathBuf| fs::read(path).unwrap_or_default();
    // Others on this machine may have died meanwhile; no hushpipe of ours has.
    for core in crate::harness::walk(place.path()) {
        let bytes = scan(&core);
        let found = memchr::memmem::find(&bytes, b"service: leak").is_some();
        assert!(!found, "{}", core.display());
    }
}

/// No panic is known in hushpipe. The kernel refuses a call that hushpipe takes for granted, which its
/// development build does not forgive, while values are in its memory.
#[test]
fn a_panic_tells_of_no_value() {
    for binary in binaries() {
        let mut given = canaries(&NAMES);
        let (stocked, hushpipe) =
            Stocked::new(Kind::Sealed, Hushpipe::new().directory("run"), &given);
        let text = stocked.manifest(hushpipe.place(), &NAMES, DELIVER);
        let running = hushpipe
            .manifest(&text)
            .binary(binary.as_deref())
            .env("RUST_BACKTRACE", "full")
            .env("RUST_LOG", "trace")
            .through(&UNLIMITED)
            .through(&["{probe}", "refuse", "munmap"])
            .args(["run", "-vvv"])
            .spawn();
        running.wait_for_line("ready");
        // The pages of the value before are given back.
        given.push(Canary::new("long"));
        stocked.change(&running, &given[3]);
        running.until("hushpipe panics, or a release build goes on", || {
            let said = running.stderr();
            let goes_on = binary.is_some() && said.contains("generation 2 is in place");
            (goes_on || said.contains("panicked at")).then_some(())
        });
        running.signal(Signal::SIGTERM);
        let output = running.wait();
        assert_eq!(Scan::new(&given).bytes("stderr", &output.stderr), [""; 0]);
        assert_eq!(cores(output.place()), [""; 0]);
    }
}
