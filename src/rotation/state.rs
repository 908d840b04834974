//! The rotation as a pure machine: inputs in, actions out. No clock, no process, no I/O.
//!
//! ```text
//! steady → settling → fetching → staging → swapping → notifying → verifying → steady
//!                        │ fault, until swapped:        │ fault, with rollback:
//!                        │   retrying                   └→ swapping back → notifying back → steady
//!                        │ unchanged, refused: steady
//! ```

/// Where a rotation stands. At most one is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The program has the newest generation.
    Steady,
    /// A change was seen; more may come.
    Settling,
    /// The stores are being asked.
    Fetching,
    /// A store, or the system, failed; the stores will be asked again.
    Retrying,
    /// The new values are being checked, rendered and written beside the old ones.
    Staging,
    /// The new generation is being put in the old one's place.
    Swapping,
    /// The program is being told.
    Notifying,
    /// The program is being asked whether it is well.
    Verifying,
    /// The old generation is being put back.
    SwappingBack,
    /// The program is being told of the old generation.
    NotifyingBack,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A source may have a new version.
    Changed,
    /// Somebody asks for a rotation now.
    Rotate,
    /// The timer that was started last has run out.
    Elapsed,
    /// The stores gave something new.
    Fetched,
    /// The stores gave what the program has, or what is quarantined.
    Unchanged,
    /// The action in flight is done.
    Done,
    /// The new values failed a check or do not fit a template.
    Refused,
    /// The action in flight failed, which says nothing of the values.
    Failed,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the settle timer.
    Settle,
    /// Ask the stores for everything that is not pinned.
    Fetch,
    /// Start the backoff timer.
    RetryLater,
    /// The stores answer again.
    Recovered,
    /// Check, render and write the new generation.
    Stage,
    /// Put it in place.
    Swap,
    /// Tell the program.
    Notify,
    /// Ask whether the program is well.
    Verify,
    /// Remove the old generation; the new one is the program's now.
    Retire,
    /// Forget the new generation; its versions are not tried again until newer ones come.
    Quarantine,
    /// Forget the new generation; its versions are tried again.
    Discard,
    /// Put the old generation back in place.
    SwapBack,
}

/// What the manifest wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Whether the program is asked after the notification.
    pub verify: bool,
    /// Whether a fault after the swap puts the old generation back.
    pub rollback: bool,
}

/// What follows a rotation that is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    /// Another one, after the settle time.
    Settled,
    /// Another one, at once.
    Now,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    rules: Rules,
    state: State,
    /// A change came while a rotation was in flight.
    again: Option<Again>,
    /// The last fetch failed.
    outage: bool,
}

impl Machine {
    /// Starts steady.
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Steady,
            again: None,
            outage: false,
        }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Takes an input and gives what to do, in order. Inputs that do not fit the state (a timer that
    /// was overtaken) change nothing.
    #[must_use]
    pub fn step(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Changed => return self.changed(),
            Input::Rotate => return self.rotate(),
            _ => {}
        }
        match self.state {
            State::Steady => Vec::new(),
            State::Settling | State::Retrying => match input {
                Input::Elapsed => self.go(State::Fetching, &[Action::Fetch]),
                _ => Vec::new(),
            },
            State::Fetching => self.fetched(input),
            State::Staging => match input {
                Input::Done => self.go(State::Swapping, &[Action::Swap]),
                Input::Refused => self.rest(&[Action::Quarantine]),
                Input::Failed => self.retry(&[Action::Discard, Action::RetryLater]),
                _ => Vec::new(),
            },
            State::Swapping => match input {
                Input::Done => self.go(State::Notifying, &[Action::Notify]),
                Input::Failed => self.retry(&[Action::Discard, Action::RetryLater]),
                _ => Vec::new(),
            },
            State::Notifying => match input {
                Input::Done if self.rules.verify => self.go(State::Verifying, &[Action::Verify]),
                Input::Done => self.rest(&[Action::Retire]),
                Input::Failed => self.after_fault(),
                _ => Vec::new(),
            },
            State::Verifying => match input {
                Input::Done => self.rest(&[Action::Retire]),
                Input::Failed => self.after_fault(),
                _ => Vec::new(),
            },
            State::SwappingBack => match input {
                Input::Done => self.go(State::NotifyingBack, &[Action::Notify]),
                // The old generation cannot be put back: the program keeps the new one.
                Input::Failed => self.rest(&[Action::Retire]),
                _ => Vec::new(),
            },
            State::NotifyingBack => match input {
                Input::Done | Input::Failed => self.rest(&[Action::Quarantine]),
                _ => Vec::new(),
            },
        }
    }

    fn changed(&mut self) -> Vec<Action> {
        match self.state {
            State::Steady => self.go(State::Settling, &[Action::Settle]),
            // The window is not extended: a store that never rests must not starve the program.
            // While retrying, the store has just shown that it lives, so it is asked at once; or it is
            // polled, and a poll is as often as the manifest asks for, outage or not.
            State::Settling => Vec::new(),
            State::Retrying => self.go(State::Fetching, &[Action::Fetch]),
            _ => {
                self.again = self.again.max(Some(Again::Settled));
                Vec::new()
            }
        }
    }

    fn rotate(&mut self) -> Vec<Action> {
        match self.state {
            State::Steady | State::Settling | State::Retrying => {
                self.go(State::Fetching, &[Action::Fetch])
            }
            _ => {
                self.again = Some(Again::Now);
                Vec::new()
            }
        }
    }

    fn fetched(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if matches!(input, Input::Fetched | Input::Unchanged) && self.outage {
            self.outage = false;
            actions.push(Action::Recovered);
        }
        actions.extend(match input {
            Input::Fetched => self.go(State::Staging, &[Action::Stage]),
            Input::Unchanged => self.rest(&[]),
            Input::Failed => {
                self.outage = true;
                self.retry(&[Action::RetryLater])
            }
            _ => Vec::new(),
        });
        actions
    }

    fn after_fault(&mut self) -> Vec<Action> {
        if self.rules.rollback {
            self.go(State::SwappingBack, &[Action::SwapBack])
        } else {
            self.rest(&[Action::Retire])
        }
    }

    /// All is fetched anew: a change that came meanwhile will be in it.
    fn retry(&mut self, actions: &[Action]) -> Vec<Action> {
        let now = self.again.take() == Some(Again::Now);
        let mut actions = self.go(State::Retrying, actions);
        if now {
            actions.extend(self.rotate());
        }
        actions
    }

    fn go(&mut self, state: State, actions: &[Action]) -> Vec<Action> {
        self.state = state;
        actions.to_vec()
    }

    /// Back to steady, or to the next rotation when a change came meanwhile.
    fn rest(&mut self, actions: &[Action]) -> Vec<Action> {
        let mut actions = self.go(State::Steady, actions);
        actions.extend(match self.again.take() {
            Some(Again::Now) => self.rotate(),
            Some(Again::Settled) => self.changed(),
            None => Vec::new(),
        });
        actions
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Action as A;
    use Input as I;
    use State as S;

    /// Inputs, verify, rollback; then the last input's actions and the state.
    type Row<'a> = (&'a [Input], bool, bool, &'a [Action], State);

    fn machine(verify: bool, rollback: bool) -> Machine {
        Machine::new(Rules { verify, rollback })
    }

    /// Feeds inputs and collects the actions of the last one.
    fn last(machine: &mut Machine, inputs: &[Input]) -> Vec<Action> {
        inputs
            .iter()
            .map(|input| machine.step(*input))
            .last()
            .unwrap_or_default()
    }

    const TO_NOTIFY: [Input; 5] = [I::Changed, I::Elapsed, I::Fetched, I::Done, I::Done];

    #[test]
    fn every_transition() {
        let table: &[Row] = &[
            (&[I::Elapsed], false, false, &[], S::Steady),
            (&[I::Changed], false, false, &[A::Settle], S::Settling),
            (&[I::Changed, I::Changed], false, false, &[], S::Settling),
            (&[I::Rotate], false, false, &[A::Fetch], S::Fetching),
            (
                &[I::Changed, I::Rotate],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (&[I::Rotate, I::Rotate], false, false, &[], S::Fetching),
            (
                &[I::Rotate, I::Rotate, I::Changed, I::Unchanged],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (
                &[I::Rotate, I::Rotate, I::Failed],
                false,
                false,
                &[A::RetryLater, A::Fetch],
                S::Fetching,
            ),
            (
                &[I::Rotate, I::Failed, I::Rotate],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (&[I::Changed, I::Done], false, false, &[], S::Settling),
            (
                &[I::Changed, I::Elapsed],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (
                &[I::Changed, I::Elapsed, I::Unchanged],
                false,
                false,
                &[],
                S::Steady,
            ),
            (
                &[I::Changed, I::Elapsed, I::Elapsed],
                false,
                false,
                &[],
                S::Fetching,
            ),
            (
                &[I::Changed, I::Elapsed, I::Failed],
                false,
                false,
                &[A::RetryLater],
                S::Retrying,
            ),
            (
                &[I::Changed, I::Elapsed, I::Failed, I::Elapsed],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (
                &[I::Changed, I::Elapsed, I::Failed, I::Changed],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (
                &[I::Changed, I::Elapsed, I::Failed, I::Done],
                false,
                false,
                &[],
                S::Retrying,
            ),
            (
                &[I::Changed, I::Elapsed, I::Failed, I::Elapsed, I::Unchanged],
                false,
                false,
                &[A::Recovered],
                S::Steady,
            ),
            (
                &[I::Changed, I::Elapsed, I::Failed, I::Elapsed, I::Fetched],
                false,
                false,
                &[A::Recovered, A::Stage],
                S::Staging,
            ),
        ];
        check_all(table);
    }

    #[test]
    fn every_transition_before_the_swap() {
        let table: &[Row] = &[
            (
                &[I::Changed, I::Elapsed, I::Fetched],
                false,
                false,
                &[A::Stage],
                S::Staging,
            ),
            (
                &[I::Changed, I::Elapsed, I::Fetched, I::Elapsed],
                false,
                false,
                &[],
                S::Staging,
            ),
            (
                &[I::Changed, I::Elapsed, I::Fetched, I::Refused],
                false,
                false,
                &[A::Quarantine],
                S::Steady,
            ),
            (
                &[I::Changed, I::Elapsed, I::Fetched, I::Failed],
                false,
                false,
                &[A::Discard, A::RetryLater],
                S::Retrying,
            ),
            (
                &[
                    I::Changed,
                    I::Elapsed,
                    I::Fetched,
                    I::Changed,
                    I::Failed,
                    I::Elapsed,
                ],
                false,
                false,
                &[A::Fetch],
                S::Fetching,
            ),
            (&TO_NOTIFY[..4], false, false, &[A::Swap], S::Swapping),
            (&TO_NOTIFY, false, false, &[A::Notify], S::Notifying),
        ];
        check_all(table);
    }

    fn check_all(table: &[Row]) {
        for (inputs, verify, rollback, actions, state) in table {
            let mut machine = machine(*verify, *rollback);
            assert_eq!(last(&mut machine, inputs), *actions, "{inputs:?}");
            assert_eq!(machine.state(), *state, "{inputs:?}");
        }
    }

    #[test]
    fn every_transition_after_the_swap() {
        let table: &[Row] = &[
            (&[I::Done], false, false, &[A::Retire], S::Steady),
            (&[I::Elapsed], false, false, &[], S::Notifying),
            (&[I::Failed], false, false, &[A::Retire], S::Steady),
            (&[I::Done], true, false, &[A::Verify], S::Verifying),
            (&[I::Done, I::Done], true, false, &[A::Retire], S::Steady),
            (&[I::Done, I::Elapsed], true, false, &[], S::Verifying),
            (&[I::Done, I::Failed], true, false, &[A::Retire], S::Steady),
            (
                &[I::Done, I::Failed],
                true,
                true,
                &[A::SwapBack],
                S::SwappingBack,
            ),
            (&[I::Failed], false, true, &[A::SwapBack], S::SwappingBack),
            (&[I::Failed, I::Elapsed], false, true, &[], S::SwappingBack),
            (
                &[I::Failed, I::Done],
                false,
                true,
                &[A::Notify],
                S::NotifyingBack,
            ),
            (
                &[I::Failed, I::Failed],
                false,
                true,
                &[A::Retire],
                S::Steady,
            ),
            (
                &[I::Failed, I::Done, I::Elapsed],
                false,
                true,
                &[],
                S::NotifyingBack,
            ),
            (
                &[I::Failed, I::Done, I::Done],
                false,
                true,
                &[A::Quarantine],
                S::Steady,
            ),
            (
                &[I::Failed, I::Done, I::Failed],
                false,
                true,
                &[A::Quarantine],
                S::Steady,
            ),
            (
                &[I::Changed, I::Done],
                false,
                false,
                &[A::Retire, A::Settle],
                S::Settling,
            ),
        ];
        for (inputs, verify, rollback, actions, state) in table {
            let mut machine = machine(*verify, *rollback);
            assert_eq!(last(&mut machine, &TO_NOTIFY), [A::Notify]);
            assert_eq!(last(&mut machine, inputs), *actions, "{inputs:?}");
            assert_eq!(machine.state(), *state, "{inputs:?}");
        }
    }

    #[test]
    fn a_failed_swap_is_tried_again() {
        let mut machine = machine(true, true);
        last(&mut machine, &TO_NOTIFY[..4]);
        assert_eq!(machine.step(I::Elapsed), []);
        assert_eq!(machine.step(I::Failed), [A::Discard, A::RetryLater]);
        // The stores did not fail, so there is nothing for them to recover from.
        assert_eq!(machine.step(I::Elapsed), [A::Fetch]);
        assert_eq!(machine.step(I::Fetched), [A::Stage]);
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(I::Changed),
            Just(I::Rotate),
            Just(I::Elapsed),
            Just(I::Fetched),
            Just(I::Unchanged),
            Just(I::Done),
            Just(I::Refused),
            Just(I::Failed),
        ]
    }

    proptest! {
        /// No notification without a swap, no swap without a staged generation, and each generation
        /// that was staged is retired or quarantined exactly once.
        #[test]
        fn actions_come_in_order(
            inputs in proptest::collection::vec(any_input(), 0..200),
            verify: bool,
            rollback: bool,
        ) {
            let mut machine = machine(verify, rollback);
            let (mut staged, mut swapped, mut back) = (false, false, false);
            for input in inputs {
                for action in machine.step(input) {
                    match action {
                        A::Stage => { prop_assert!(!staged); staged = true; }
                        A::Swap => { prop_assert!(staged && !swapped); swapped = true; }
                        A::Notify => prop_assert!(swapped),
                        A::Verify => prop_assert!(swapped && verify),
                        A::SwapBack => { prop_assert!(swapped && rollback && !back); back = true; }
                        A::Retire | A::Quarantine | A::Discard => {
                            prop_assert!(staged);
                            (staged, swapped, back) = (false, false, false);
                        }
                        A::Settle | A::Fetch | A::RetryLater | A::Recovered => prop_assert!(!staged),
                    }
                }
                prop_assert_eq!(staged, !matches!(
                    machine.state(),
                    S::Steady | S::Settling | S::Fetching | S::Retrying
                ));
            }
        }
    }
}
