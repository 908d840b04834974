//! Leftovers: whoever descends from the program and outlived it.

use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;

use crate::model::Signal;
use crate::sys::pidfd;
use crate::sys::process::{self, Process};

/// How often one sweep looks again for processes that were forked meanwhile.
const ROUNDS: usize = 64;

/// Ends descendants. Each gets each signal once.
#[derive(Debug, Default)]
pub struct Sweeper {
    told: HashSet<(i32, u64, Signal)>,
    blind: HashSet<Signal>,
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Who got the signal.
    pub told: Vec<i32>,
    /// Who could not get it, and why.
    pub refused: Vec<(i32, io::Error)>,
}

impl Sweeper {
    /// Sends the signal to all descendants that did not get it yet, until no new ones are found.
    /// `program` is the pidfd of the program, whose group is all that is known without /proc.
    pub fn sweep(&mut self, signal: Signal, program: Option<BorrowedFd<'_>>) -> io::Result<Swept> {
        let mut swept = Swept::default();
        for _ in 0..ROUNDS {
            let Ok(mut found) = process::descendants() else {
                self.sweep_blindly(signal, program)?;
                break;
            };
            found.retain(|each| self.told.insert((each.pid, each.started, signal)));
            if found.is_empty() {
                break;
            }
            for each in found {
                match tell(each, signal) {
                    Ok(true) => swept.told.push(each.pid),
                    Ok(false) => {}
                    Err(error) => swept.refused.push((each.pid, error)),
                }
            }
        }
        Ok(swept)
    }

    /// Without /proc: as PID 1 everybody, else the program's own group.
    fn sweep_blindly(&mut self, signal: Signal, program: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if !self.blind.insert(signal) && signal != Signal::KILL {
            return Ok(());
        }
        for signal in [signal.number(), Signal::CONT.number()] {
            if process::is_init() {
                pidfd::send_all_as_init(signal)?;
            } else if let Some(program) = program {
                pidfd::send_group(program, None, signal)?;
            }
        }
        Ok(())
    }
}

/// `false`: it is gone. The number is looked up again once it is held, as it may be another's by now.
fn tell(process: Process, signal: Signal) -> io::Result<bool> {
    let fd = match pidfd::open(process.pid) {
        Ok(fd) => fd,
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        Err(error) => return Err(error),
    };
    if process::look_up(process.pid).is_none_or(|now| now.started != process.started) {
        return Ok(false);
    }
    let sent = pidfd::send(&fd, signal.number())?;
    if process.stopped && signal != Signal::KILL {
        pidfd::send(&fd, Signal::CONT.number())?;
    }
    Ok(sent)
}
