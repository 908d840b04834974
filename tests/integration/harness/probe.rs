//! A program for tests: what hushpipe starts when a test wants to know what a program sees.
//!
//! It is the test binary itself, under the name `probe`: cargo builds no helper programs for
//! tests, and this one then needs no compiler or interpreter at run time. A function in
//! `.init_array` (System V ABI, "Initialization and Termination Functions") looks at the name
//! before main, so that nothing of Rust's test runner, and nothing that Rust's own start-up does
//! to signals, comes between hushpipe and what the probe reports.
//!
//! Its arguments are commands, run in order:
//!
//! | command | does |
//! |---|---|
//! | `say TEXT` | writes a line |
//! | `environ`, `arguments` | writes the environment or all arguments, one a line |
//! | `status KEY` | writes a line of /proc/self/status, such as `SigBlk` |
//! | `fds` | writes each open fd, such as `3 /memfd:x (deleted)` |
//! | `sealed N` | writes fd N's offset, whether writing fails, and its seals |
//! | `read N` | reads fd N to its end and writes that |
//! | `keep N` | reads fd N to its end and keeps that in memory |
//! | `digest N`, `digest-file PATH` | reads to the end, writes `digest` and the value's SHA-256 |
//! | `cat PATH` | opens a file, reads it to its end and writes that |
//! | `exit N` | ends |
//! | `orphan` | starts a grandchild that its parent leaves, writes `orphan PID`; it waits for ever |
//! | `on SIGNAL ACTION` | for `serve`: `exit:N`, `cat:PATH`, `digest:PATH`, `say:TEXT`, `orphan`; without one: `got SIGNAL`; given again, one after the other |
//! | `compare DIRECTORY A B` | starts a child that reads both files through one `..data`, again and again; it writes `pair CONTENT` for each new content, or `mixed A B` |
//! | `orphans N wide` | leaves N processes, all of them children of one that ends; when all are there they end |
//! | `orphans N deep` | as `wide`, but in chains of 50, each the child of the one before |
//! | `crowd N FIFO` | leaves N processes of another group; each ends when it has read a byte |
//! | `refuse-terminal N PROGRAM...` | becomes the program, whose tcgetpgrp(3) fails with errno N |
//! | `leave` | leaves a process in a session of its own: `left PID`, and `left got N` at its end |
//! | `refuse CALL PROGRAM ARG...` | becomes another program, to which the kernel denies that call: ENOSYS |
//! | `look-into PID` | tries to read what /proc has of a process and to trace it; `NAME well` or `NAME ERRNO`, one a line |
//! | `type TEXT` | pushes the text into the terminal's input: `typed`, or the errno of the first byte |
//! | `tell NAME` | writes `NAME ready`, then `NAME got N` for each signal, for ever |
//! | `serve` | writes `ready`, then waits for signals for ever |
//!
//! `serve`, `tell` and the process of `leave` block every signal and take them one by one with
//! sigwait(3). They ask the kernel for no death signal and change no disposition.

#![allow(unsafe_code)]

mod refused;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process;
use std::str::FromStr;

use nix::fcntl::{self, SealFlag};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{self, ForkResult};
use sha2::Digest as _;

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// Becomes the probe when the program is called so.
extern "C" fn before_main() {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if name.as_encoded_bytes().ends_with(b"/probe") {
        let arguments = arguments.map(|a| String::from_utf8_lossy(a.as_encoded_bytes()).into());
        match Probe::default().run(arguments) {
            Ok(()) => process::exit(0),
            Err(error) => {
                eprintln!("probe: {error}");
                process::exit(99);
            }
        }
    }
}

#[derive(Default)]
struct Probe {
    actions: BTreeMap<Signal, Vec<String>>,
    kept: Vec<Vec<u8>>,
}

fn bad(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

impl Probe {
    fn run(&mut self, mut words: impl Iterator<Item = String>) -> io::Result<()> {
        while let Some(command) = words.next() {
            let mut next = || words.next().ok_or_else(|| bad("an argument is missing"));
            match command.as_str() {
                "say" => say(&next()?)?,
                "environ" => write(&fs::read("/proc/self/environ")?, true)?,
                "arguments" => write(&fs::read("/proc/self/cmdline")?, true)?,
                "status" => status(&next()?)?,
                "fds" => fds()?,
                "sealed" => sealed(&next()?)?,
                "read" => write(&read_fd(&next()?)?, false)?,
                "digest" => digest(&read_fd(&next()?)?)?,
                "digest-file" => digest(&fs::read(next()?)?)?,
                "keep" => self.kept.push(read_fd(&next()?)?),
                "cat" => write(&fs::read(next()?)?, false)?,
                "exit" => process::exit(next()?.parse().map_err(io::Error::other)?),
                "orphan" => orphan()?,
                "on" => {
                    let signal = signal(&next()?)?;
                    self.actions.entry(signal).or_default().push(next()?);
                }
                "compare" => compare(&next()?, &next()?, &next()?)?,
                "orphans" => orphans(&next()?, next()? == "deep")?,
                "crowd" => crowd(&next()?, &next()?)?,
                "refuse-terminal" => return refuse_terminal(&next()?, &words.collect::<Vec<_>>()),
                "leave" => leave()?,
                "refuse" => return Err(refused::refuse(&next()?, words)),
                "look-into" => look_into(&next()?)?,
                "type" => type_in(&next()?)?,
                "tell" => tell(&next()?)?,
                "serve" => self.serve()?,
                other => return Err(bad(&format!("no command {other}"))),
            }
        }
        Ok(())
    }

    fn serve(&self) -> io::Result<()> {
        SigSet::all().thread_block()?;
        say("ready")?;
        loop {
            let signal = SigSet::all().wait()?;
            let name = signal.as_str().trim_start_matches("SIG");
            let none = vec![String::new()];
            for action in self.actions.get(&signal).unwrap_or(&none) {
                match action.split_once(':').unwrap_or((action, "")) {
                    ("exit", code) => process::exit(code.parse().map_err(io::Error::other)?),
                    ("cat", path) => write(&fs::read(path)?, false)?,
                    ("digest", path) => digest(&fs::read(path)?)?,
                    ("say", text) => say(text)?,
                    ("orphan", _) => orphan()?,
                    _ => say(&format!("got {name}"))?,
                }
            }
        }
    }
}

fn say(text: &str) -> io::Result<()> {
    write(format!("{text}\n").as_bytes(), false)
}

/// By ioctl_tty(2), with bits above the request's 32 that the kernel does not look at.
fn type_in(text: &str) -> io::Result<()> {
    const ABOVE: u64 = 1 << 40;
    let terminal = fs::OpenOptions::new().write(true).open("/dev/tty")?;
    for byte in text.bytes() {
        // SAFETY: the request reads one byte, which lives as long as the call.
        let typed = unsafe {
            libc::syscall(
                libc::SYS_ioctl,
                terminal.as_raw_fd(),
                u64::from(libc::TIOCSTI as u32) | ABOVE,
                &raw const byte,
            )
        };
        if typed != 0 {
            return say(&nix::errno::Errno::last().to_string());
        }
    }
    say("typed")
}

/// In one write(2), so that nobody sees half a line.
fn write(bytes: &[u8], zeros_end_lines: bool) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    if zeros_end_lines {
        bytes
            .iter_mut()
            .filter(|byte| **byte == 0)
            .for_each(|byte| *byte = b'\n');
    }
    let mut out = io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()
}

fn digest(bytes: &[u8]) -> io::Result<()> {
    let digest = sha2::Sha256::digest(bytes);
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    say(&format!("digest {}", hex.collect::<String>()))
}

fn signal(name: &str) -> io::Result<Signal> {
    Signal::from_str(&format!("SIG{name}")).map_err(io::Error::other)
}

fn status(key: &str) -> io::Result<()> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{key}:")));
    say(line.ok_or_else(|| bad("no such line"))?)
}

fn fds() -> io::Result<()> {
    let mut open: Vec<(i32, String)> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().into_vec();
        let number = String::from_utf8_lossy(&number)
            .parse()
            .map_err(io::Error::other)?;
        // The directory's own fd is among them, and gone by the time it is asked for.
        if let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) {
            open.push((number, target.to_string_lossy().into_owned()));
        }
    }
    open.sort();
    open.retain(|(_, target)| !target.starts_with("/proc/"));
    open.iter()
        .try_for_each(|(number, target)| say(&format!("{number} {target}")))
}

/// The file stays open: the fd is the probe's for its life.
fn file_of(number: &str) -> io::Result<ManuallyDrop<fs::File>> {
    let number = number.parse().map_err(io::Error::other)?;
    // SAFETY: the probe's one thread uses this fd through one such file at a time, and closes none.
    Ok(ManuallyDrop::new(unsafe { fs::File::from_raw_fd(number) }))
}

/// Read-only: neither this fd nor one that is opened anew takes bytes or another length.
fn sealed(number: &str) -> io::Result<()> {
    let mut file = file_of(number)?;
    let at = file.stream_position()?;
    let again = fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/self/fd/{number}"))
        .and_then(|mut again| again.write(b"x"));
    let readonly = file.write(b"x").is_err() && file.set_len(1).is_err() && again.is_err();
    let seals = fcntl::fcntl(file.as_fd(), fcntl::FcntlArg::F_GET_SEALS)?;
    let names: Vec<&str> = [
        (SealFlag::F_SEAL_SEAL, "seal"),
        (SealFlag::F_SEAL_SHRINK, "shrink"),
        (SealFlag::F_SEAL_GROW, "grow"),
        (SealFlag::F_SEAL_WRITE, "write"),
    ]
    .into_iter()
    .filter_map(|(seal, name)| (seals & seal.bits() != 0).then_some(name))
    .collect();
    let kind = if readonly { "read-only" } else { "WRITABLE" };
    say(&format!(
        "{number} at {at}, {kind}, sealed: {}",
        names.join(" ")
    ))
}

fn read_fd(number: &str) -> io::Result<Vec<u8>> {
    let mut file = file_of(number)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As a debugger does, and gcore(1).
fn look_into(pid: &str) -> io::Result<()> {
    let shown = |name: &str, tried: io::Result<()>| match tried {
        Ok(()) => say(&format!("{name} well")),
        Err(error) => {
            let errno = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0));
            say(&format!("{name} {errno:?}"))
        }
    };
    for name in ["mem", "environ", "maps", "smaps", "auxv", "pagemap", "io"] {
        let read = fs::File::open(format!("/proc/{pid}/{name}"));
        // Of memory, nothing is at address 0, which is another error than that of no access.
        let read = read.and_then(|mut file| match name {
            "mem" => Ok(()),
            _ => file.read(&mut [0; 64]).map(drop),
        });
        shown(name, read)?;
    }
    for name in ["fd", "map_files"] {
        shown(name, fs::read_dir(format!("/proc/{pid}/{name}")).map(drop))?;
    }
    for name in ["exe", "cwd", "root"] {
        shown(name, fs::read_link(format!("/proc/{pid}/{name}")).map(drop))?;
    }
    let number: i32 = pid.parse().map_err(io::Error::other)?;
    // SAFETY: it takes numbers alone. What is attached is let go when the probe ends.
    let attached = unsafe { libc::ptrace(libc::PTRACE_SEIZE, number, 0, 0) };
    let attached = nix::errno::Errno::result(attached);
    shown("ptrace", attached.map(drop).map_err(io::Error::from))
}

fn orphan() -> io::Result<()> {
    // SAFETY: the probe has one thread; the children call nothing that needs another.
    if let ForkResult::Parent { child } = unsafe { unistd::fork() }? {
        nix::sys::wait::waitpid(child, None)?;
        return Ok(());
    }
    // SAFETY: as above.
    if let ForkResult::Parent { child } = unsafe { unistd::fork() }? {
        say(&format!("orphan {child}"))?;
        process::exit(0);
    }
    loop {
        unistd::pause();
    }
}

fn fork() -> io::Result<ForkResult> {
    // SAFETY: the probe has one thread; the children call nothing that needs another.
    Ok(unsafe { unistd::fork() }?)
}

/// Ends a child, without what the test runner registered.
fn end_child() -> ! {
    // SAFETY: plain end.
    unsafe { libc::_exit(0) }
}

/// All of them are there at the same time. Who has forked them ends as soon as they are; then they
/// end, all at once.
fn orphans(count: &str, deep: bool) -> io::Result<()> {
    let count: usize = count.parse().map_err(io::Error::other)?;
    let (mut over, until) = io::pipe()?;
    let (mut all, mut there) = io::pipe()?;
    if let ForkResult::Parent { child } = fork()? {
        drop(there);
        nix::sys::wait::waitpid(child, None)?;
        all.read_exact(&mut vec![0; count])?;
        drop(until);
        return say("orphaned");
    }
    drop(until);
    let is_one = brood(if deep { count / CHAIN } else { count })? && (!deep || chain()?);
    if is_one {
        there.write_all(b"x")?;
        drop(there);
        over.read_to_end(&mut Vec::new())?;
    }
    end_child()
}

/// Forks as many children; `true` in each of them.
fn brood(count: usize) -> io::Result<bool> {
    for _ in 0..count {
        if fork()?.is_child() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How deep `orphans N deep` goes. The kernel's work for one more grows with the depth, as each fork
/// remembers where the pages of all before it came from.
const CHAIN: usize = 50;

/// Forks a child that forks a child, and so on; `true` in each of them, and in the first.
fn chain() -> io::Result<bool> {
    for _ in 1..CHAIN {
        if fork()?.is_parent() {
            break;
        }
    }
    Ok(true)
}

fn crowd(count: &str, fifo: &str) -> io::Result<()> {
    let count = count.parse().map_err(io::Error::other)?;
    let mut fifo = fs::File::open(fifo)?;
    if let ForkResult::Parent { child } = fork()? {
        return Ok(nix::sys::wait::waitpid(child, None).map(drop)?);
    }
    // What is sent to the program's group is not for them: it would wait in each for ever.
    unistd::setpgid(unistd::Pid::this(), unistd::Pid::from_raw(0))?;
    if brood(count)? {
        // Nothing comes when the test is over.
        fifo.read_exact(&mut [0]).ok();
    }
    end_child()
}

/// A seccomp(2) filter, which its children have as well.
fn refuse_terminal(errno: &str, words: &[String]) -> io::Result<()> {
    let errno: u32 = errno.parse().map_err(io::Error::other)?;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let second = (std::mem::offset_of!(libc::seccomp_data, args) + size_of::<u64>()) as u32;
    let low_half = if cfg!(target_endian = "big") { 4 } else { 0 };
    let mut filter = [
        step(load, std::mem::offset_of!(libc::seccomp_data, nr) as u32, 0),
        step(equal, libc::SYS_ioctl as u32, 3),
        step(load, second + low_half, 0),
        step(equal, libc::TIOCGPGRP as u32, 1),
        step(give, libc::SECCOMP_RET_ERRNO | errno, 0),
        step(give, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program and its steps are there for the length of the call, which copies them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (program, arguments) = words.split_first().ok_or_else(|| bad("no program"))?;
    Err(process::Command::new(program).args(arguments).exec())
}

fn leave() -> io::Result<()> {
    let (mut settled, settling) = io::pipe()?;
    if let ForkResult::Parent { child } = fork()? {
        drop(settling);
        nix::sys::wait::waitpid(child, None)?;
        return settled.read_to_end(&mut Vec::new()).map(drop);
    }
    if fork()?.is_parent() {
        process::exit(0);
    }
    unistd::setsid()?;
    SigSet::all().thread_block()?;
    say(&format!("left {}", process::id()))?;
    drop(settling);
    say(&format!("left got {}", next_signal()?))?;
    process::exit(0);
}

fn tell(name: &str) -> io::Result<()> {
    SigSet::all().thread_block()?;
    say(&format!("{name} ready"))?;
    loop {
        say(&format!("{name} got {}", next_signal()?))?;
    }
}

/// Of those that are blocked; real-time ones too.
fn next_signal() -> io::Result<i32> {
    let all = SigSet::all();
    let mut number = 0;
    // SAFETY: both point to what is there for the length of the call. `all` has no real-time signals
    // that glibc keeps to itself.
    match unsafe { libc::sigwait(all.as_ref(), &raw mut number) } {
        0 => Ok(number),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn compare(directory: &str, one: &str, other: &str) -> io::Result<()> {
    // SAFETY: the probe has one thread; the child calls nothing that needs another.
    if let ForkResult::Parent { child } = unsafe { unistd::fork() }? {
        return say(&format!("compare {child}"));
    }
    let mut last = String::new();
    loop {
        let data = fs::File::open(format!("{directory}/..data"))?;
        let read =
            |name: &str| fs::read_to_string(format!("/proc/self/fd/{}/{name}", data.as_raw_fd()));
        // The generation may be retired in between: then it is not half of one, but gone.
        let (Ok(one), Ok(other)) = (read(one), read(other)) else {
            continue;
        };
        if one != other {
            say(&format!("mixed {one:?} {other:?}"))?;
        } else if one != last {
            say(&format!("pair {one}"))?;
            last = one;
        }
    }
}
