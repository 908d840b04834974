//! Questions on the terminal.

use std::fs::File;
use std::io::{self, Read, Write};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::SignalFd;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::os::fd::AsFd;

/// What a terminal line can hold (N_TTY_BUF_SIZE): the kernel drops what is typed past it.
const LINE: usize = 4096;

/// Asks on /dev/tty and reads a line that is not shown; gives it without its newline.
///
/// A signal that ends or stops hushpipe meanwhile does so after the terminal is as it was.
///
/// Errors: ENXIO without a terminal; `UnexpectedEof` when the line was cancelled (Ctrl-D);
/// `InvalidInput` when it is as long as a terminal's line can be, so that something may be missing.
pub fn hidden_line(prompt: &str) -> io::Result<Vec<u8>> {
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    loop {
        let quiet = Quiet::start(&terminal)?;
        (&terminal).write_all(prompt.as_bytes())?;
        if quiet.wait()? {
            return read_line(&terminal);
        }
        // Lets the signal act; whoever comes back from a stop is asked again.
        drop(quiet);
    }
}

fn read_line(mut terminal: &File) -> io::Result<Vec<u8>> {
    let mut line = vec![0; LINE];
    let length = terminal.read(&mut line)?;
    line.truncate(length);
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if length >= LINE - 1 {
        zeroize::Zeroize::zeroize(&mut line);
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

/// A terminal without echo, and the signals that would leave it so held back; both are as they were
/// when this ends.
struct Quiet<'a> {
    terminal: &'a File,
    modes: Termios,
    mask: SigSet,
    signals: SignalFd,
}

impl<'a> Quiet<'a> {
    fn start(terminal: &'a File) -> io::Result<Self> {
        let modes = tcgetattr(terminal)?;
        let held = held_back();
        let mut mask = SigSet::empty();
        let signals = SignalFd::new(&held)?;
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut mask))?;
        let quiet = Self {
            terminal,
            modes,
            mask,
            signals,
        };
        let mut silent = quiet.modes.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The newline is shown, so that what follows starts a line.
        silent.local_modes |= LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(quiet)
    }

    /// Waits for a line (true) or for a signal that is held back (false).
    fn wait(&self) -> io::Result<bool> {
        let mut both = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN),
        ];
        loop {
            match poll(&mut both, PollTimeout::NONE) {
                Ok(_) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(both[0].any() != Some(true))
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        if tcsetattr(self.terminal, OptionalActions::Now, &self.modes).is_err() {
            // A terminal that is gone (SIGHUP) has no modes to restore.
        }
        let unblocked = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
        debug_assert!(unblocked.is_ok(), "a mask that was got can be set");
    }
}

fn held_back() -> SigSet {
    [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGTSTP,
    ]
    .into_iter()
    .collect()
}
