//! The event loop: signals, children, the timer and the work beside, one at a time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::Supervisor;
use super::error::Error;
use super::exit::{Ended, end_of};
use super::gate::Gate;
use super::notify::Relay;
use super::running::{Running, at_gate, gone};
use super::search::Search;
use super::state::{Action, Control, End, Foreground, Input, To};
use super::stop::Swept;

use crate::model::{Event, Exited, Signal, Topic};
use crate::sys::clock::until;
use crate::sys::process;
use crate::sys::reaper::{Change, Status};
use crate::sys::signals::{self, Received, Signals};

/// How long after a sweep leftovers are looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What woke the loop.
enum Woken {
    Signal(Received),
    More,
    Replace,
    TimeUp,
    Look,
    OtherEnded,
    /// The program named another main process.
    Named(io::Result<i32>),
    /// A process of the tree wants to execute.
    Gate(io::Result<()>),
    /// It is time to look for the daemon.
    Search,
    /// The process that is followed ended, and whoever has it as a child reaps it.
    Gone(io::Result<()>),
}

fn at_execve(error: io::Error) -> Error {
    Error::new("cannot watch over what the program executes", error)
}

async fn named(relay: Option<&Relay>, program: i32) -> io::Result<i32> {
    match relay {
        Some(relay) => relay.next(program).await,
        None => std::future::pending().await,
    }
}

impl Supervisor {
    /// Supervises the program that was adopted until it and its leftovers are gone. `other` is done
    /// beside, and dropped when the program has ended; where another program is to take its place,
    /// when its leftovers have. Fails when the system refuses what supervision cannot be without; the
    /// program is then killed when hushpipe ends.
    pub async fn run(&mut self, other: impl Future<Output = ()>) -> Result<Ended, Error> {
        let mut running = self.running.take().ok_or_else(|| {
            let error = io::Error::other("no program was adopted");
            Error::new("cannot supervise", error)
        })?;
        self.recall(&mut running)?;
        let mut other = Some(Box::pin(other));
        loop {
            if let Some(end) = running.over {
                if running.state.is_asked_late() {
                    self.handle.is_asked_to_stop();
                }
                return Ok(Ended {
                    exited: end.into(),
                    replaced: running.state.is_replaced(),
                });
            }
            if !self.handle.is_alive() {
                if !running.state.is_replaced() {
                    other = None;
                }
                if !self.more && self.childless()? {
                    self.feed(&mut running, Input::Childless)?;
                    continue;
                }
            }
            self.turn(&mut running, &mut other).await?;
        }
    }

    /// Waits for one thing to happen and does what follows from it.
    async fn turn<F: Future<Output = ()>>(
        &mut self,
        running: &mut Running,
        other: &mut Option<Pin<Box<F>>>,
    ) -> Result<(), Error> {
        let more = self.more;
        let woken = tokio::select! {
            received = self.signals.next() => Woken::Signal(
                received.map_err(|error| Error::new("cannot receive signals", error))?,
            ),
            () = tokio::task::yield_now(), if more => Woken::More,
            () = self.handle.replacement_asked() => Woken::Replace,
            () = until(running.timer) => Woken::TimeUp,
            () = until(running.look) => Woken::Look,
            () = async {
                match other {
                    Some(other) => other.as_mut().await,
                    None => std::future::pending().await,
                }
            } => Woken::OtherEnded,
            named = named(self.relay.as_ref(), running.pid) => Woken::Named(named),
            () = until(running.search.as_ref().and_then(Search::due)) => Woken::Search,
            ready = at_gate(running.gate.as_ref()) => Woken::Gate(ready),
            gone = gone(running.followed.as_ref()) => Woken::Gone(gone),
        };
        match woken {
            Woken::Signal(received) => self.signal(running, received),
            Woken::More => self.reap_beside(running),
            Woken::Replace => {
                let at = self.began.elapsed();
                self.feed(running, Input::Replace { at })
            }
            Woken::TimeUp => {
                running.timer = None;
                self.feed(running, Input::TimeUp)
            }
            Woken::Look => {
                running.look = None;
                self.feed(running, Input::Look)
            }
            Woken::OtherEnded => {
                *other = None;
                Ok(())
            }
            Woken::Named(named) => {
                self.named(running, named.map(|pid| vec![pid]));
                Ok(())
            }
            Woken::Gate(ready) => {
                let gate = running.gate.as_mut();
                let answered = ready.and_then(|()| gate.map_or(Ok(()), Gate::answer));
                answered.map_err(at_execve)
            }
            Woken::Gone(gone) => self.gone(running, gone),
            Woken::Search => self.search(running),
        }
    }

    fn signal(&mut self, running: &mut Running, received: Received) -> Result<(), Error> {
        let Some(signal) = Signal::from_number(received.signal) else {
            return Ok(());
        };
        if signal == Signal::CHLD {
            return self.reap_beside(running);
        }
        if signal == Signal::CONT && std::mem::take(&mut running.answered) {
            return Ok(());
        }
        let sender = running.sender(&received);
        // SIGCONT goes on for one who ignores it all the same.
        if signal != Signal::CONT && Signals::ignored_by_caller(received.signal) {
            return self.feed(running, Input::Ignored(signal, sender));
        }
        let at = self.began.elapsed();
        self.feed(running, Input::Signal { signal, sender, at })
    }

    pub(super) fn reap_beside(&mut self, running: &mut Running) -> Result<(), Error> {
        if let Some(relay) = &self.relay {
            let drained = relay.drain(running.pid);
            self.named(running, drained);
        }
        for change in self.reap()? {
            if let Some(gate) = &mut running.gate
                && gate.changed(change).map_err(at_execve)?
            {
                continue;
            }
            if change.pid == running.pid && self.handle.is_alive() {
                self.changed(running, change)?;
            } else if let Some(search) = &mut running.search {
                search.ended(change);
            }
        }
        Ok(())
    }

    fn changed(&mut self, running: &mut Running, change: Change) -> Result<(), Error> {
        let input = match change.status {
            Status::Stopped(signal) => Signal::from_number(signal)
                .map(|signal| Input::Stopped(signal, self.foreground(running))),
            Status::Continued => Some(Input::Continued),
            status => end_of(status).map(Input::Ended),
        };
        match input {
            Some(Input::Ended(_)) if self.succeeded(running) => Ok(()),
            Some(Input::Ended(End::Code(0))) if running.begins_search() => Ok(()),
            Some(Input::Ended(end)) => self.ended(running, end),
            Some(input) => self.feed(running, input),
            None => Ok(()),
        }
    }

    pub(super) fn ended(&mut self, running: &mut Running, end: End) -> Result<(), Error> {
        self.handle.has_ended();
        let Exited { code, signal } = end.into();
        self.observer.observe(&Event::Exited { code, signal });
        self.feed(running, Input::Ended(end))
    }

    /// A program that ended before it was adopted.
    fn recall(&mut self, running: &mut Running) -> Result<(), Error> {
        let reaped = self
            .handle
            .is_reaped()
            .map_err(|error| Error::new("cannot ask for the program", error))?;
        let early = std::mem::take(&mut self.early);
        let end = early.into_iter().rfind(|change| change.pid == running.pid);
        match end {
            Some(change) if reaped => self.changed(running, change),
            _ => Ok(()),
        }
    }

    fn feed(&mut self, running: &mut Running, input: Input) -> Result<(), Error> {
        for action in running.state.on(input) {
            self.act(running, action)?;
        }
        Ok(())
    }

    fn act(&mut self, running: &mut Running, action: Action) -> Result<(), Error> {
        match action {
            Action::Forward { received, sent, to } => {
                if self.send(sent, to) {
                    self.observer.observe(&Event::Forwarded { received, sent });
                }
            }
            Action::Send(signal, to) => {
                self.send(signal, to);
            }
            Action::Stopping { signal, timeout } => {
                self.handle.is_asked_to_stop();
                self.observer.observe(&Event::Stopping { signal, timeout });
            }
            Action::Killed => self.observer.observe(&Event::Killed),
            Action::Rotate => self.handle.rotate(),
            Action::Timer(after) => running.timer = Instant::now().checked_add(after),
            Action::GiveTerminal => {
                self.say(running.job.give(running.pid), "hand the terminal over");
            }
            Action::TakeTerminal => {
                self.say(running.job.take(running.pid), "take the terminal back");
            }
            Action::Suspend(by) => return self.suspend(running, by),
            Action::Sweep(signal) => self.sweep(running, signal),
            Action::End(end, survivors) => {
                if survivors {
                    self.fault("processes that the program left could not be ended".to_owned());
                }
                running.over = Some(end);
            }
        }
        Ok(())
    }

    /// Sends to the program; a refusal is told, and does not end supervision.
    pub(super) fn send(&self, signal: Signal, to: To) -> bool {
        self.handle.send_to(signal, to).unwrap_or_else(|error| {
            self.fault(format!("cannot send {signal} to the program: {error}"));
            false
        })
    }

    fn suspend(&mut self, running: &mut Running, by: Signal) -> Result<(), Error> {
        let refused = |error| Error::new("cannot suspend hushpipe", error);
        // A shell may have continued the job before hushpipe followed the program into its stop. A
        // SIGCONT that is answered already is of the suspension before.
        let overtaken = !running.answered && self.signals.is_continued().map_err(refused)?;
        let slept = overtaken || signals::suspend(by.number()).map_err(refused)?;
        running.answered = slept;
        // In a group that both are in, the shell has continued the program too: no second SIGCONT.
        let is_stopped = process::look_up(running.pid).is_none_or(|found| found.stopped);
        if running.job.control() == Control::Shared && !is_stopped {
            return self.feed(running, Input::Continued);
        }
        let foreground = self.foreground(running);
        self.feed(
            running,
            Input::Awake {
                slept,
                by,
                foreground,
            },
        )
    }

    /// Who has the terminal. One that does not answer is nobody's: the program goes on without job
    /// control, as without a terminal.
    fn foreground(&self, running: &mut Running) -> Foreground {
        running.job.foreground(running.pid).unwrap_or_else(|error| {
            if !std::mem::replace(&mut running.mute, true) {
                self.fault(format!("cannot ask the terminal whose turn it is: {error}"));
            }
            Foreground::Elsewhere
        })
    }

    fn sweep(&self, running: &mut Running, signal: Signal) {
        // Set also when the sweep fails: the timer ends the waiting for what cannot be signalled.
        running.look = Some(Instant::now() + LOOK_AGAIN);
        let swept = self
            .handle
            .with_leader(|leader| running.sweeper.sweep(signal, leader));
        match swept {
            Ok(Swept { told, refused }) => {
                for pid in told {
                    self.observer.observe(&Event::Leftover { pid });
                }
                for (pid, error) in refused {
                    self.fault(format!(
                        "cannot send {signal} to process {pid}, which the program left: {error}"
                    ));
                }
            }
            Err(error) => self.fault(format!("cannot signal what the program left: {error}")),
        }
    }

    fn childless(&self) -> Result<bool, Error> {
        self.reaper
            .is_childless()
            .map_err(|error| Error::new("cannot wait for children", error))
    }

    fn say(&self, result: io::Result<()>, what: &str) {
        if let Err(error) = result {
            self.fault(format!("cannot {what}: {error}"));
        }
    }

    pub(super) fn fault(&self, message: String) {
        self.observer.observe(&Event::Fault {
            about: Topic::Program,
            message,
        });
    }
}
