//! The first exec of a program with hidden variables: hushpipe holds it before its first instruction and
//! writes them to its stack. A child that cannot get them ends.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::channel::{Channel, Report};
use super::error::{At, ChildError, Step};
use super::prepare::Prepared;
use crate::sys::trace::{DeliverError, Stop, Tracee};
use crate::sys::{reaper, trace};

/// Takes the listener from a child that was told to go on, follows it to its exec, delivers, and lets it
/// go. `Ok` as well when the child ended before: the channel says why.
pub(super) fn attend(
    pid: i32,
    channel: &Channel,
    prepared: &Prepared,
) -> Result<OwnedFd, ChildError> {
    let listener = match channel.receive() {
        Ok(Report::Listener(listener)) => listener,
        Ok(Report::Fault(fault)) => return Err(prepared.error(fault)),
        Ok(Report::Closed) => return Err(prepared.fault(At::Vanished, Errno::CHILD)),
        Ok(Report::Directory(..)) => return Err(prepared.fault(At::Channel, Errno::PROTO)),
        Err(errno) => return Err(prepared.fault(At::Channel, errno)),
    };
    let Some(tracee) = follow(pid, prepared)? else {
        return Ok(listener);
    };
    deliver(prepared, tracee).inspect_err(|_| tracee.kill())?;
    Ok(listener)
}

/// Waits until the child is the program; `None`: it has ended, or failed.
fn follow(pid: i32, prepared: &Prepared) -> Result<Option<Tracee>, ChildError> {
    let fault = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::PERM);
        prepared.fault(At::Trace, errno)
    };
    if reaper::next_stop(pid).map_err(fault)?.is_none() {
        return Ok(None);
    }
    let tracee = trace::follow(pid).map_err(fault)?;
    while let Some(code) = reaper::next_stop(pid).map_err(fault)? {
        match Stop::of(code) {
            Stop::Executed => return Ok(Some(tracee)),
            Stop::Signal(signal) if signal != libc::SIGSTOP => tracee.go_on(signal),
            // A SIGSTOP would stop it without end, before anybody could continue it.
            Stop::Signal(_) | Stop::Call | Stop::Group => tracee.go_on(0),
        }
        .map_err(fault)?;
    }
    Ok(None)
}

fn deliver(prepared: &Prepared, tracee: Tracee) -> Result<(), ChildError> {
    let Some(hidden) = &prepared.spec.hidden else {
        return Ok(());
    };
    let mask = trace::bits(&prepared.spec.mask);
    let delivered = trace::deliver(tracee, hidden).and_then(|()| {
        tracee.set_mask(mask)?;
        Ok(tracee.release()?)
    });
    delivered.map_err(|error| {
        let program = prepared.program();
        let (step, errno) = match error {
            DeliverError::Raised => (Step::Raised(program), Errno::PERM),
            DeliverError::TooLarge => (Step::TooLarge(program), Errno::NOMEM),
            DeliverError::Unknown => (Step::Stack(program), Errno::NOEXEC),
            DeliverError::System(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::PERM);
                (Step::Stack(program), errno)
            }
        };
        ChildError { step, errno }
    })
}
