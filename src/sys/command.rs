//! Programs that hushpipe runs for their output: spawned here, awaited through [`Reaper`].

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::pipe::PipeFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;

use super::child::Child;
use super::origin;
use super::pidfd;
use super::reaper::{Exits, Reaper, Status};

/// How long a program has to end after SIGKILL before it is left to the kernel (a process that waits
/// for a device or for NFS).
const KILLED: Duration = Duration::from_secs(1);

/// How long a program that is let go of may take to die of SIGKILL: nothing else goes on meanwhile.
const DYING: Duration = Duration::from_millis(200);

/// A program that runs, in a process group of its own. Dropped before its end was seen: the group is
/// killed.
pub struct Running {
    pid: i32,
    pidfd: AsyncFd<OwnedFd>,
    exits: Exits,
    reaper: Reaper,
    ended: bool,
}

/// A program and what it writes.
pub struct Spawned {
    /// The program.
    pub running: Running,
    /// Its standard output.
    pub stdout: Receiver,
    /// Its standard error.
    pub stderr: Receiver,
}

/// Starts a program with this environment and no other, `/dev/null` as its input, default signal
/// dispositions, an empty signal mask and no descriptor of hushpipe's. It is killed when hushpipe
/// dies. no_new_privs is not set: tools may need setuid helpers.
///
/// The error is that of execvp(3): ENOENT, EACCES. Needs a tokio runtime with I/O.
pub fn spawn(
    argv: &[String],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    reaper: &Reaper,
) -> io::Result<Spawned> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (stdout, stdout_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (stdout, stderr) = (receiver(stdout)?, receiver(stderr)?);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(stdout_end)
        .stderr(stderr_end)
        .process_group(0);
    if let Some(directory) = origin::left().filter(|directory| directory.is_dir()) {
        command.current_dir(directory);
    }
    let parent = rustix::process::getpid();
    // SAFETY: `prepare` makes system calls alone: nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(move || prepare(parent)) };
    // A program that cannot be executed is reaped by std within the call; no other child is.
    let child = command.spawn()?;
    let pid = child.id().cast_signed();
    // Dropping std's handle neither waits nor kills: from here on the reaper has the child.
    drop(child);
    let running = pidfd::open(pid).and_then(|pidfd| Running::new(pid, pidfd, reaper));
    let running = running.inspect_err(|_| {
        // SAFETY: the child was not reaped yet, so its id and group are nobody else's.
        unsafe { libc::kill(-pid, libc::SIGKILL) };
    })?;
    Ok(Spawned {
        running,
        stdout,
        stderr,
    })
}

/// Runs a program that asks its user at the terminal what it needs (a passphrase, a touch): in hushpipe's
/// own process group, with hushpipe's standard error and this input, and as [`spawn`] otherwise. Gives
/// whether it succeeded, and what it wrote, cut after `most` bytes. It is waited for here: for commands that
/// have no other child.
pub fn converse(
    argv: &[OsString],
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    input: OwnedFd,
    most: u64,
) -> io::Result<(bool, Vec<u8>)> {
    let (program, arguments) = argv
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(input)
        .stdout(Stdio::piped());
    let parent = rustix::process::getpid();
    // SAFETY: `prepare` makes system calls alone: nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(move || prepare(parent)) };
    let mut child = command.spawn()?;
    let mut written = Vec::new();
    let read = match child.stdout.take() {
        Some(stdout) => stdout.take(most).read_to_end(&mut written),
        None => Ok(0),
    };
    let status = child.wait()?;
    read?;
    Ok((status.success(), written))
}

/// Runs a shell command at this process's terminal, with one argument after it, and waits for its end: an
/// editor. For commands that start nothing else. Whether it succeeded.
pub fn at_terminal(script: &OsStr, argument: &OsStr) -> io::Result<bool> {
    let mut whole = script.to_owned();
    whole.push(" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(whole).arg("sh").arg(argument);
    let mut child = command.spawn()?;
    Ok(child.wait()?.success())
}

fn receiver(end: OwnedFd) -> io::Result<Receiver> {
    Receiver::from_owned_fd(end)
}

fn registered(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the registration owns the descriptor, and nothing closes it before.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// In the child, before execve(2).
fn prepare(parent: rustix::process::Pid) -> io::Result<()> {
    // SAFETY: all are system calls on this process; the sets and actions live as long as the calls.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The system call itself, as the C library refuses its own signals 32 and 33. All zero is
        // SIG_DFL without flags, in the kernel's layout (at most 32 bytes, a mask of 8).
        let default = [0_u64; 4];
        for signal in 1..=64 {
            // Refused for KILL and STOP, which need no reset.
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                old,
                8_usize,
            );
        }
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    if rustix::process::getppid() != Some(parent) {
        // hushpipe died in between.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    close_on_exec();
    Ok(())
}

/// Every descriptor but the standard three closes at exec; also std's own, which tells a failure.
fn close_on_exec() {
    // SAFETY: the call takes three integers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        return;
    }
    // Before Linux 5.11: one by one, up to the limit.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or(1 << 20, |limit| limit.min(1 << 20)) as i32;
    for number in 3..limit {
        // SAFETY: a number that is no descriptor gives EBADF, which is as good.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

impl Running {
    fn new(pid: i32, pidfd: OwnedFd, reaper: &Reaper) -> io::Result<Self> {
        Ok(Self {
            pid,
            exits: reaper.expect(pid),
            pidfd: registered(pidfd)?,
            reaper: reaper.clone(),
            ended: false,
        })
    }

    /// A child that was started in a group of its own just now: the event loop had no turn since.
    /// Needs a tokio runtime with I/O.
    pub fn adopt(child: Child, reaper: &Reaper) -> io::Result<Self> {
        let Child { pid, pidfd, .. } = child;
        let spare = pidfd.try_clone();
        Self::new(pid, pidfd, reaper).inspect_err(|_| {
            // Without a duplicate of the pidfd it lives until hushpipe dies.
            if let Ok(pidfd) = spare {
                pidfd::send_group(pidfd, Some(pid), libc::SIGKILL).ok();
            }
        })
    }

    /// Waits for its end. Can be dropped and called again.
    pub async fn ended(&mut self) -> io::Result<Status> {
        let watched = async {
            loop {
                // Readable once it has ended (pidfd_open(2)): nobody need listen to SIGCHLD.
                let mut ready = self.pidfd.readable().await?;
                self.reaper.collect(self.pid)?;
                ready.clear_ready();
            }
        };
        let status = first(&mut self.exits, watched).await?;
        self.ended = true;
        Ok(status)
    }

    /// Ends the whole group: SIGTERM, and SIGKILL after `grace`.
    pub async fn stop(&mut self, grace: Duration) -> io::Result<()> {
        for (signal, patience) in [(libc::SIGTERM, grace), (libc::SIGKILL, KILLED)] {
            pidfd::send_group(self.pidfd.get_ref(), Some(self.pid), signal)?;
            if let Ok(ended) = tokio::time::timeout(patience, self.ended()).await {
                ended?;
                break;
            }
        }
        Ok(())
    }
}

/// The end, or why it cannot be waited for.
async fn first(
    exits: &mut Exits,
    watched: impl Future<Output = io::Result<Infallible>>,
) -> io::Result<Status> {
    let watched = pin!(watched);
    tokio::select! {
        biased;
        status = exits => Ok(status),
        result = watched => match result {
            Err(error) => Err(error),
        },
    }
}

impl Drop for Running {
    /// The group is gone when this returns, or as good as: a program that a device holds is not
    /// waited for.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let killed = pidfd::send_group(self.pidfd.get_ref(), Some(self.pid), libc::SIGKILL);
        let collected = killed.and_then(|_| {
            pidfd::wait_for_end(self.pidfd.get_ref(), DYING)?;
            self.reaper.collect(self.pid)
        });
        if collected.is_err() {
            // It is gone, or not ours to kill (a setuid tool): PDEATHSIG and its closed pipes remain.
        }
    }
}
