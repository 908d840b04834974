//! Everything that is written on this machine during a launch, rotations and the end: fanotify(7) on
//! every file system there is.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::deliveries::{DELIVER, PRIVATE, canaries};
use super::scan::Scan;
use super::stocked::{Kind, Stocked};
use crate::harness::{Hushpipe, wait_until};

/// Longer files are looked at up to here.
const LONGEST: usize = 4 << 20;

/// What was written by a process that is not known to be another one's.
struct Written {
    path: PathBuf,
    /// By a process of the test; else by one that had ended before it was looked at.
    ours: bool,
    file: File,
}

/// Who listens.
struct Listener(File);

impl Listener {
    fn start() -> Self {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_NONBLOCK
            | libc::FAN_UNLIMITED_QUEUE;
        let events = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE | libc::O_NONBLOCK;
        // SAFETY: plain numbers.
        let fd = unsafe { libc::fanotify_init(flags, events as libc::c_uint) };
        assert!(fd >= 0, "fanotify_init: {}", io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        let listener = Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        for mount in mounts.lines() {
            let path = mount.split(' ').nth(4).expect("proc(5)").to_owned();
            // File systems of the kernel's own cannot be listened to.
            let marked = listener.mark(&path);
            let must = matches!(path.as_str(), "/" | "/tmp" | "/run" | "/dev/shm");
            assert!(marked.is_ok() || !must, "{path}: {marked:?}");
        }
        listener
    }

    fn mark(&self, path: &str) -> io::Result<()> {
        let path = std::ffi::CString::new(path).expect("paths have no zeros");
        let how = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        let what = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;
        // SAFETY: the path is there for the length of the call.
        let done = unsafe {
            libc::fanotify_mark(self.0.as_raw_fd(), how, what, libc::AT_FDCWD, path.as_ptr())
        };
        match done {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What came since, of processes that carry the mark of a test's place or are gone; nothing of
    /// the test itself.
    fn heard(&mut self, place: &str) -> Vec<Written> {
        let mut heard = Vec::new();
        let mut room = vec![0; 64 << 10];
        while let Ok(count @ 1..) = self.0.read(&mut room) {
            let mut at = 0;
            while at < count {
                // SAFETY: fanotify(7): whole events of the stated length, of plain numbers.
                let event: libc::fanotify_event_metadata =
                    unsafe { std::ptr::read_unaligned(room[at..].as_ptr().cast()) };
                at += event.event_len as usize;
                assert!(event.fd >= 0, "no event is lost");
                // SAFETY: the descriptor came with the event, for us alone.
                let file = File::from(unsafe { OwnedFd::from_raw_fd(event.fd) });
                heard.extend(written(event.pid, file, place));
            }
        }
        heard
    }
}

fn written(pid: i32, file: File, place: &str) -> Option<Written> {
    if pid == std::process::id() as i32 {
        return None;
    }
    let ours = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(bytes) => {
            let bytes = String::from_utf8_lossy(&bytes).into_owned();
            if !bytes.is_empty() && !bytes.contains(place) {
                return None;
            }
            !bytes.is_empty()
        }
        Err(_) => false,
    };
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    Some(Written { path, ours, file })
}

impl Written {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; LONGEST];
        let count = self.file.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }
}

/// [`DELIVER`] with a rollback, and with what tells the program.
fn launch(kind: Kind) {
    let mut all = canaries(PRIVATE);
    let hushpipe = Hushpipe::new().directory("run").directory("credentials");
    let (stocked, hushpipe) = Stocked::new(kind, hushpipe.controlled(), &all);
    let verified =
        "settle: 0s, verify: { command: [test, \"!\", -e, \"{place}/bad\"], within: 3s }";
    let deliver = DELIVER.replace("settle: 0s", verified);
    let deliver = deliver.replace("on, HUP,", "on, TERM, \"exit:0\", on, HUP,");
    let text = stocked.manifest(hushpipe.place(), PRIVATE, &deliver);
    let hushpipe = hushpipe.manifest(&text);
    let place = hushpipe.place().path().display().to_string();
    hushpipe.place().probe();
    let mut listener = Listener::start();
    // It hears what another process writes.
    let planted = hushpipe.place().join("planted");
    let script = format!("echo planted >{}", planted.display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).env("TEST_PLACE", &place);
    assert!(shell.status().expect("sh is there").success());
    let mut heard = Vec::new();
    let there = wait_until(|| {
        heard.extend(listener.heard(&place));
        heard
            .iter()
            .any(|written| written.path == planted)
            .then_some(())
    });
    assert!(there.is_some(), "nothing is heard");
    let running = hushpipe.args(["run", "-vvv"]).spawn();
    running.wait_for_line("ready");
    stocked.rotate_and_roll_back(&running, &mut all);
    let output = running.stop().success();
    heard.extend(listener.heard(&place));
    let scan = Scan::new(&all);
    let own = |written: &Written| {
        stocked.owns(output.place().path(), &written.path.display().to_string())
    };
    for written in heard.iter().filter(|written| !own(written)) {
        let path = written.path.display().to_string();
        assert_eq!(scan.bytes(&path, &written.bytes()), [""; 0]);
        assert_eq!(scan.bytes("a name", path.as_bytes()), [""; 0]);
    }
    // Whoever keeps the sealed store writes there; hushpipe and its program write nothing at all.
    let store = output.place().join("store");
    let ours = heard.iter().filter(|written| written.ours && !own(written));
    let mut ours: Vec<&PathBuf> = ours.map(|written| &written.path).collect();
    ours.retain(|path| !path.starts_with(&store) && **path != planted);
    ours.dedup();
    assert_eq!(ours, [""; 0].map(PathBuf::from).iter().collect::<Vec<_>>());
}

#[test]
fn nothing_of_a_sealed_store_is_written_anywhere() {
    launch(Kind::Sealed);
}

#[test]
fn nothing_of_a_command_store_is_written_anywhere() {
    launch(Kind::Command);
}
