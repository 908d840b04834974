//! The supervisor as a pure machine: what happens goes in, what is to be done comes out. It has no
//! clock, no process and no I/O.

use std::time::Duration;

use crate::model::{Forward, Leftovers, Rewrite, Signal, Stop};

/// Two SIGTERMs of the leader of hushpipe's group that come within this are one request: timeout(1)
/// signals the process and then the group. On a busy machine there is time between the two.
const SAME_REQUEST: Duration = Duration::from_millis(250);

/// How the program's process group stands to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No terminal: a group of its own.
    None,
    /// A job on a terminal: a group of its own, that gets the foreground when hushpipe's has it.
    Job,
    /// Part of a pipeline or a script: hushpipe's own group, that others are in as well.
    Shared,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: a terminal, a timer.
    Kernel,
    /// hushpipe itself.
    Itself,
    /// The program.
    Program,
    /// Another process of the program's group.
    Member(i32),
    /// The leader of hushpipe's own group, who may signal it as such once more.
    Leader(i32),
    /// Anyone else.
    Other(i32),
}

/// Whose process group has the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreground {
    /// hushpipe's.
    Ours,
    /// The program's.
    Programs,
    /// Another one's, or there is no terminal.
    Elsewhere,
}

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this code.
    Code(u8),
    /// By this signal.
    Signal(Signal),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A signal came.
    Signal {
        /// Which.
        signal: Signal,
        /// From whom.
        sender: Sender,
        /// When, on any steady clock.
        at: Duration,
    },
    /// The program is to be stopped, so that another can be started in its place.
    Replace {
        /// When, on the clock of the signals.
        at: Duration,
    },
    /// A signal came that whoever started hushpipe had ignored, as nohup(1) does with SIGHUP. It asks
    /// hushpipe for nothing; the program ignores it too, unless it chose otherwise.
    Ignored(Signal, Sender),
    /// The program was stopped by a signal.
    Stopped(Signal, Foreground),
    /// hushpipe was suspended and goes on; `slept` is false when the kernel would not stop it.
    Awake {
        /// Whether it was stopped at all.
        slept: bool,
        /// What it would have been stopped by.
        by: Signal,
        /// Who has the terminal now.
        foreground: Foreground,
    },
    /// The program goes on.
    Continued,
    /// The program ended.
    Ended(End),
    /// The timer ended.
    TimeUp,
    /// It is time to look for leftovers again: one ended, or a while has passed.
    Look,
    /// Nobody descends from hushpipe any more.
    Childless,
}

/// To whom a signal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The program alone.
    Program,
    /// Its process group.
    Group,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a signal that was received, perhaps as another.
    Forward {
        /// What was received.
        received: Signal,
        /// What to send.
        sent: Signal,
        /// To whom.
        to: To,
    },
    /// Send a signal of the supervisor's own.
    Send(Signal, To),
    /// Say that a stop began; `Forward` and `Timer` go with it.
    Stopping {
        /// What asks the program to end.
        signal: Signal,
        /// How long it may take.
        timeout: Duration,
    },
    /// Say that the program is killed; `Send` goes with it.
    Killed,
    /// Ask the stores for new values.
    Rotate,
    /// Let [`Input::TimeUp`] come after this; replaces a timer that runs.
    Timer(Duration),
    /// Hand the terminal's foreground to the program, if hushpipe has it.
    GiveTerminal,
    /// Take the terminal's foreground back, if the program has it.
    TakeTerminal,
    /// Stop hushpipe by this signal, then [`Input::Awake`].
    Suspend(Signal),
    /// Send a signal to everyone who descends from hushpipe and did not get it yet. [`Input::Look`]
    /// and [`Input::Childless`] follow.
    Sweep(Signal),
    /// It is over; `true`: leftovers could not be ended.
    End(End, bool),
}

/// What the machine has to know before it starts.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `run.stop:`
    pub stop: Stop,
    /// `run.signals:`
    pub forward: Forward,
    /// How the program's group stands to the terminal.
    pub control: Control,
    /// Whether hushpipe leads the session: a hang-up is then told to it alone.
    pub session_leader: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Asked to end, by whom and when; `late` once it was killed; `nudged` once it was continued
    /// after it stopped itself meanwhile.
    Stopping {
        by: Sender,
        at: Duration,
        nudged: bool,
        late: bool,
    },
    /// The program is gone, others are being ended; `hard`: killed.
    Sweeping {
        end: End,
        hard: bool,
    },
    Over,
}

/// What comes after the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The end of hushpipe.
    Nothing,
    /// Another one in its place, as long as nobody asks hushpipe to end.
    Another,
}

/// The machine; see [`State::on`].
#[derive(Debug)]
pub struct State {
    setting: Setting,
    phase: Phase,
    after: After,
    /// Somebody asked hushpipe to end after the program had ended.
    asked_late: bool,
    suspended: bool,
}

/// How long killed leftovers may take to go: one that hangs in the kernel, or that we may not
/// signal, does not keep hushpipe for ever.
pub const LAST_WAIT: Duration = Duration::from_secs(5);

impl State {
    /// A program that runs.
    pub const fn new(setting: Setting) -> Self {
        Self {
            setting,
            phase: Phase::Running,
            after: After::Nothing,
            asked_late: false,
            suspended: false,
        }
    }

    /// Whether another program is to be started in the place of this one.
    pub fn is_replaced(&self) -> bool {
        self.after == After::Another
    }

    /// Whether hushpipe was asked to end while the leftovers of a program were ended: no other program
    /// comes after it then, whatever becomes of a rotation.
    pub const fn is_asked_late(&self) -> bool {
        self.asked_late
    }

    /// Takes what happened, gives what to do, in order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        match (self.phase, input) {
            (Phase::Over, _) => Vec::new(),
            (Phase::Sweeping { end, hard }, input) => self.sweep(end, hard, input),
            (_, Input::Signal { signal, sender, at }) => self.signal(signal, sender, at),
            (Phase::Running, Input::Replace { at }) => self.replace(at),
            (_, Input::Ignored(signal, sender)) => self.ignored(signal, sender),
            (_, Input::Stopped(signal, foreground)) => self.stopped(signal, foreground),
            (
                _,
                Input::Awake {
                    slept,
                    by,
                    foreground,
                },
            ) => self.awake(slept, by, foreground),
            (_, Input::Continued) => {
                self.suspended = false;
                Vec::new()
            }
            (_, Input::Ended(end)) => self.ended(end),
            (Phase::Stopping { .. }, Input::TimeUp) => self.kill(),
            (_, Input::TimeUp | Input::Look | Input::Childless | Input::Replace { .. }) => {
                Vec::new()
            }
        }
    }

    fn signal(&mut self, signal: Signal, sender: Sender, at: Duration) -> Vec<Action> {
        let rewrite = self.setting.forward.rewrite.get(&signal).copied();
        if rewrite == Some(Rewrite::Rotate) {
            // Also when the program itself asks: it may know best that its values are no good.
            return vec![Action::Rotate];
        }
        let of_others = !matches!(sender, Sender::Itself | Sender::Program);
        if of_others && matches!(signal, Signal::INT | Signal::QUIT) {
            // Who interrupts a program does not want the next one.
            self.after = After::Nothing;
        }
        let sent = match rewrite {
            Some(Rewrite::Drop | Rewrite::Rotate) => None,
            Some(Rewrite::To(other)) => Some(other),
            None if signal == Signal::TERM => Some(self.setting.stop.signal),
            None => Some(signal),
        };
        match (signal, sent) {
            _ if self.is_not_to_be_passed_on(signal, sender) => Vec::new(),
            (Signal::TERM, Some(sent)) => self.stop(sent, sender, at),
            (Signal::CONT, sent) => {
                let mut actions = self.terminal(Action::GiveTerminal);
                actions.extend(sent.map(|sent| Action::Forward {
                    received: signal,
                    sent,
                    to: self.job(),
                }));
                actions
            }
            (_, Some(sent)) => self.pass_on(signal, sent, sender),
            (_, None) => Vec::new(),
        }
    }

    /// As it is. Only to rotate is hushpipe's own answer, as a program may have one.
    fn ignored(&self, signal: Signal, sender: Sender) -> Vec<Action> {
        match self.setting.forward.rewrite.get(&signal) {
            Some(Rewrite::Rotate) => vec![Action::Rotate],
            _ => self.pass_on(signal, signal, sender),
        }
    }

    fn pass_on(&self, received: Signal, sent: Signal, sender: Sender) -> Vec<Action> {
        if self.is_not_to_be_passed_on(received, sender) {
            return Vec::new();
        }
        let of_terminal = sender == Sender::Kernel && is_of_terminals(received);
        let to = if of_terminal {
            self.job()
        } else {
            self.target(sender)
        };
        vec![Action::Forward { received, sent, to }]
    }

    /// What hushpipe itself sent to a group that it is in, and what the sender's group has already:
    /// from a terminal, or from the program, which may have signalled the group that it shares with
    /// hushpipe. A program of another group means its init, and thereby itself: one that was written to
    /// be PID 1 does. It gets back what it sent, as from tini and dumb-init.
    fn is_not_to_be_passed_on(&self, signal: Signal, sender: Sender) -> bool {
        match sender {
            Sender::Itself => true,
            Sender::Program => self.setting.control == Control::Shared,
            Sender::Kernel => {
                self.setting.control == Control::Shared
                    && !self.setting.session_leader
                    && is_of_terminals(signal)
            }
            Sender::Member(_) | Sender::Leader(_) | Sender::Other(_) => false,
        }
    }

    /// As a request to stop does it, by the same signal; but hushpipe stays.
    fn replace(&mut self, at: Duration) -> Vec<Action> {
        self.after = After::Another;
        let sent = self.stop_signal();
        let mut actions = vec![Action::Send(sent, self.target(Sender::Itself))];
        actions.extend(self.stopping(Sender::Itself, at));
        actions
    }

    fn stop_signal(&self) -> Signal {
        match self.setting.forward.rewrite.get(&Signal::TERM) {
            Some(Rewrite::To(other)) => *other,
            _ => self.setting.stop.signal,
        }
    }

    /// The signal that has asked the program to end, if one has; SIGKILL once its time was up.
    pub fn asked_by(&self) -> Option<Signal> {
        match self.phase {
            Phase::Stopping { late: true, .. } => Some(Signal::KILL),
            Phase::Stopping { .. } => Some(self.stop_signal()),
            _ => None,
        }
    }

    fn stop(&mut self, sent: Signal, sender: Sender, at: Duration) -> Vec<Action> {
        let stopping = Action::Stopping {
            signal: sent,
            timeout: self.setting.stop.timeout,
        };
        if let Phase::Stopping { by, at: began, .. } = &mut self.phase {
            if sender == Sender::Program {
                // It was asked already: this is its answer, not somebody's second request.
                return Vec::new();
            }
            if std::mem::replace(&mut self.after, After::Nothing) == After::Another {
                // It is being stopped already. That nothing comes after it is the first request.
                (*by, *began) = (sender, at);
                return vec![stopping];
            }
            let (by, began) = (*by, *began);
            let again = by == sender && matches!(sender, Sender::Leader(_));
            if again && at.saturating_sub(began) < SAME_REQUEST {
                return Vec::new();
            }
            return self.kill();
        }
        let forward = Action::Forward {
            received: Signal::TERM,
            sent,
            to: self.target(sender),
        };
        let mut actions = vec![stopping, forward];
        actions.extend(self.stopping(sender, at));
        actions
    }

    /// What goes with the signal that asks the program to end.
    fn stopping(&mut self, by: Sender, at: Duration) -> Vec<Action> {
        self.phase = Phase::Stopping {
            by,
            at,
            nudged: false,
            late: false,
        };
        let mut actions = Vec::new();
        if self.suspended {
            actions.push(Action::Send(Signal::CONT, self.job()));
        }
        actions.push(Action::Timer(self.setting.stop.timeout));
        actions
    }

    fn kill(&mut self) -> Vec<Action> {
        if let Phase::Stopping { late, .. } = &mut self.phase
            && std::mem::replace(late, true)
        {
            return Vec::new();
        }
        let to = self.target(Sender::Itself);
        vec![Action::Killed, Action::Send(Signal::KILL, to)]
    }

    fn stopped(&mut self, signal: Signal, foreground: Foreground) -> Vec<Action> {
        self.suspended = true;
        if let Phase::Stopping { nudged, .. } = &mut self.phase {
            // Once: one that stops itself over and over is killed when its time is up.
            if std::mem::replace(nudged, true) {
                return Vec::new();
            }
            return vec![Action::Send(Signal::CONT, self.job())];
        }
        let of_jobs = matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU);
        match self.setting.control {
            Control::Job if wants_terminal(signal) && foreground == Foreground::Ours => {
                self.resume()
            }
            Control::Job | Control::Shared if of_jobs || foreground != Foreground::Elsewhere => {
                let mut actions = self.terminal(Action::TakeTerminal);
                actions.push(Action::Suspend(signal));
                actions
            }
            Control::None | Control::Job | Control::Shared => Vec::new(),
        }
    }

    fn awake(&mut self, slept: bool, by: Signal, foreground: Foreground) -> Vec<Action> {
        // Nobody would ever continue us. One that waits for a terminal that is not ours would only
        // be stopped again, so it stays.
        if !slept && wants_terminal(by) && foreground == Foreground::Elsewhere {
            return Vec::new();
        }
        self.resume()
    }

    fn resume(&mut self) -> Vec<Action> {
        self.suspended = false;
        let mut actions = self.terminal(Action::GiveTerminal);
        actions.push(Action::Send(Signal::CONT, self.job()));
        actions
    }

    fn ended(&mut self, end: End) -> Vec<Action> {
        let mut actions = self.terminal(Action::TakeTerminal);
        if self.setting.stop.leftovers == Leftovers::Leave {
            self.phase = Phase::Over;
            actions.push(Action::End(end, false));
            return actions;
        }
        match self.phase {
            Phase::Stopping { late: true, .. } => actions.extend(self.sweep_hard(end)),
            phase => {
                self.phase = Phase::Sweeping { end, hard: false };
                actions.push(Action::Sweep(Signal::TERM));
                if phase == Phase::Running {
                    actions.push(Action::Timer(self.setting.stop.timeout));
                }
            }
        }
        actions
    }

    fn sweep(&mut self, end: End, hard: bool, input: Input) -> Vec<Action> {
        if let Input::Signal { signal, sender, .. } = input {
            self.asked_late |= ends_the_wait(signal) && sender != Sender::Itself;
        }
        match input {
            Input::Childless => {
                self.phase = Phase::Over;
                vec![Action::End(end, false)]
            }
            Input::TimeUp if hard => {
                self.phase = Phase::Over;
                vec![Action::End(end, true)]
            }
            Input::TimeUp => self.sweep_hard(end),
            Input::Signal { signal, sender, .. }
                // What the program sent before it ended is no second request.
                if !hard
                    && ends_the_wait(signal)
                    && !matches!(sender, Sender::Itself | Sender::Program) =>
            {
                // The first one only says that nothing comes after it.
                match std::mem::replace(&mut self.after, After::Nothing) {
                    After::Another => Vec::new(),
                    After::Nothing => self.sweep_hard(end),
                }
            }
            Input::Look if hard => vec![Action::Sweep(Signal::KILL)],
            Input::Look => vec![Action::Sweep(Signal::TERM)],
            _ => Vec::new(),
        }
    }

    fn sweep_hard(&mut self, end: End) -> Vec<Action> {
        self.phase = Phase::Sweeping { end, hard: true };
        vec![Action::Timer(LAST_WAIT), Action::Sweep(Signal::KILL)]
    }

    /// Whom a forwarded signal goes to: never to the group of its sender, nor to a group that
    /// hushpipe and others are in.
    fn target(&self, sender: Sender) -> To {
        let group = self.setting.forward.to_group && self.setting.control != Control::Shared;
        match sender {
            Sender::Member(_) => To::Program,
            _ if group => To::Group,
            _ => To::Program,
        }
    }

    /// Whom job control is about: a terminal stops and a shell continues whole groups.
    fn job(&self) -> To {
        match self.setting.control {
            Control::Job => To::Group,
            Control::None | Control::Shared => self.target(Sender::Itself),
        }
    }

    /// The action where there is a terminal to hand over.
    fn terminal(&self, action: Action) -> Vec<Action> {
        match self.setting.control {
            Control::Job => vec![action],
            Control::None | Control::Shared => Vec::new(),
        }
    }
}

/// What terminals send to the foreground group.
const fn is_of_terminals(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::INT
            | Signal::QUIT
            | Signal::HUP
            | Signal::TSTP
            | Signal::TTIN
            | Signal::TTOU
            | Signal::CONT
            | Signal::WINCH
    )
}

const fn wants_terminal(signal: Signal) -> bool {
    matches!(signal, Signal::TTIN | Signal::TTOU)
}

/// When only leftovers are waited for, these end the waiting.
const fn ends_the_wait(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT
    )
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "replacing_tests.rs"]
mod replacing_tests;

#[cfg(test)]
#[path = "state_properties.rs"]
mod properties;
