//! Every state with every input: what is not in the table changes nothing, and says nothing.

use super::tests::{ANEW, NEW, SAFE, ZERO, last, machine};
use super::*;
use Action as A;
use Input as I;
use Means::{Restart, Told};
use State as S;

const fn found(new: Option<Means>, outage: bool, short: bool) -> Input {
    I::Found(Found { new, outage, short })
}

const SAME: Input = found(None, false, false);
const DOWN: Input = found(None, true, false);
const PART: Input = found(Some(Told), true, false);
const SHORT: Input = found(None, false, true);

/// Every input, what the stores may give in each of its kinds.
const INPUTS: [Input; 16] = [
    I::Changed,
    I::Rotate,
    I::RollBack(Told),
    I::RollBack(Restart),
    I::Elapsed,
    NEW,
    ANEW,
    SAME,
    DOWN,
    PART,
    SHORT,
    I::Done,
    I::Refused,
    I::Failed,
    I::Expelled,
    I::Ended,
];

/// Without a catch-all, so that a new input is not forgotten above.
const fn kind(input: Input) -> usize {
    match input {
        I::Changed => 0,
        I::Rotate => 1,
        I::RollBack(_) => 2,
        I::Elapsed => 3,
        I::Found(_) => 4,
        I::Done => 5,
        I::Refused => 6,
        I::Failed => 7,
        I::Expelled => 8,
        I::Ended => 9,
    }
}

/// A state, and how the generation that is in flight comes to the program.
type At = (State, Means);

/// The one after, through all of them; without a catch-all, so that a new state is not forgotten.
const fn after((state, means): At) -> Option<At> {
    Some(match (state, means) {
        (S::Steady, _) => (S::Settling, Told),
        (S::Settling, _) => (S::Fetching, Told),
        (S::Fetching, _) => (S::Retrying, Told),
        (S::Retrying, _) => (S::Exhausted, Told),
        (S::Exhausted, _) => (S::Staging, Told),
        (S::Staging, Told) => (S::Staging, Restart),
        (S::Staging, Restart) => (S::Swapping, Told),
        (S::Swapping, _) => (S::Notifying, Told),
        (S::Notifying, _) => (S::Verifying, Told),
        (S::Verifying, Told) => (S::Verifying, Restart),
        (S::Verifying, Restart) => (S::SwappingBack, Told),
        (S::SwappingBack, _) => (S::NotifyingBack, Told),
        (S::NotifyingBack, _) => (S::Stopping, Restart),
        (S::Stopping, _) => (S::Starting, Restart),
        (S::Starting, _) => (S::StoppingBack, Restart),
        (S::StoppingBack, _) => (S::StartingBack, Restart),
        (S::StartingBack, _) => (S::Expelling, Told),
        (S::Expelling, _) => (S::Over, Told),
        (S::Over, _) => return None,
    })
}

fn all() -> impl Iterator<Item = At> {
    std::iter::successors(Some((S::Steady, Told)), |at| after(*at))
}

/// The inputs that lead there.
fn way(at: At) -> Vec<Input> {
    let then = |before: At, input: Input| {
        let mut way = way(before);
        way.push(input);
        way
    };
    match at {
        (S::Steady, _) => Vec::new(),
        (S::Settling, _) => then((S::Steady, Told), I::Changed),
        (S::Fetching, _) => then((S::Steady, Told), I::Rotate),
        (S::Retrying, _) => then((S::Fetching, Told), DOWN),
        (S::Exhausted, _) => then((S::Fetching, Told), SHORT),
        (S::Staging, Told) => then((S::Fetching, Told), NEW),
        (S::Staging, Restart) => then((S::Fetching, Told), ANEW),
        (S::Swapping, _) => then((S::Staging, Told), I::Done),
        (S::Notifying, _) => then((S::Swapping, Told), I::Done),
        (S::Verifying, Told) => then((S::Notifying, Told), I::Done),
        (S::Verifying, Restart) => then((S::Starting, Restart), I::Done),
        (S::SwappingBack, _) => then((S::Verifying, Told), I::Failed),
        (S::NotifyingBack, _) => then((S::SwappingBack, Told), I::Done),
        (S::Stopping, _) => then((S::Staging, Restart), I::Done),
        (S::Starting, _) => then((S::Stopping, Restart), I::Ended),
        (S::StoppingBack, _) => then((S::Verifying, Restart), I::Failed),
        (S::StartingBack, _) => then((S::StoppingBack, Restart), I::Ended),
        (S::Expelling, _) => then((S::Fetching, Told), I::Expelled),
        (S::Over, _) => then((S::Steady, Told), I::Ended),
    }
}

type Cell<'a> = (Input, &'a [Action], State);

const fn c(input: Input, actions: &'static [Action], state: State) -> Cell<'static> {
    (input, actions, state)
}

const ROLLS_BACK: [Cell; 2] = [
    (I::RollBack(Told), &[A::SwapBack], S::SwappingBack),
    (I::RollBack(Restart), &[A::Stop], S::StoppingBack),
];

const FETCHES: [Cell; 2] = [
    (I::Rotate, &[A::Fetch], S::Fetching),
    (I::Elapsed, &[A::Fetch], S::Fetching),
];

/// What each input does that does something; that the program ends, where nothing else is said, is the
/// end.
fn cells(at: At) -> Vec<Cell<'static>> {
    let refused = c(I::Refused, &[A::Quarantine, A::Fetch], S::Fetching);
    let tried_later = c(I::Failed, &[A::Discard, A::RetryLater], S::Retrying);
    let any = |actions: &'static [Action], state: State| {
        [Told, Restart].map(|means| c(I::RollBack(means), actions, state))
    };
    match at {
        (S::Steady, _) => [
            &[
                c(I::Changed, &[A::Settle], S::Settling),
                c(I::Rotate, &[A::Fetch], S::Fetching),
            ][..],
            &ROLLS_BACK,
        ]
        .concat(),
        (S::Settling, _) => [FETCHES, ROLLS_BACK].concat(),
        (S::Fetching, _) => vec![
            c(
                I::RollBack(Told),
                &[A::Abandon, A::SwapBack],
                S::SwappingBack,
            ),
            c(
                I::RollBack(Restart),
                &[A::Abandon, A::Stop],
                S::StoppingBack,
            ),
            c(I::Expelled, &[A::Expel], S::Expelling),
            c(NEW, &[A::Stage], S::Staging),
            c(ANEW, &[A::Stage], S::Staging),
            c(PART, &[A::Stage], S::Staging),
            c(SAME, &[], S::Steady),
            c(DOWN, &[A::RetryLater], S::Retrying),
            c(SHORT, &[A::Exhausted, A::WaitForRoom(ZERO)], S::Exhausted),
        ],
        (S::Retrying, _) => [
            &[c(I::Changed, &[A::Fetch], S::Fetching)][..],
            &FETCHES,
            &ROLLS_BACK,
        ]
        .concat(),
        (S::Exhausted, _) => [
            &[c(I::Changed, &[A::Settle], S::Settling)][..],
            &FETCHES,
            &ROLLS_BACK,
        ]
        .concat(),
        (S::Staging, Told) => vec![c(I::Done, &[A::Swap], S::Swapping), refused, tried_later],
        (S::Staging, Restart) => vec![c(I::Done, &[A::Stop], S::Stopping), refused, tried_later],
        (S::Swapping, _) => vec![c(I::Done, &[A::Notify], S::Notifying), tried_later],
        (S::Notifying, _) => [
            &[
                c(I::Done, &[A::Verify], S::Verifying),
                c(I::Failed, &[A::SwapBack], S::SwappingBack),
            ][..],
            &any(&[A::Abandon, A::SwapBack], S::SwappingBack),
        ]
        .concat(),
        (S::Verifying, Told) => [
            &[
                c(I::Done, &[A::Retire], S::Steady),
                c(I::Failed, &[A::SwapBack], S::SwappingBack),
            ][..],
            &any(&[A::Abandon, A::SwapBack], S::SwappingBack),
        ]
        .concat(),
        (S::Verifying, Restart) => [
            &[
                c(I::Done, &[A::Retire], S::Steady),
                c(I::Failed, &[A::Stop], S::StoppingBack),
                c(I::Ended, &[A::Abandon, A::StartBack], S::StartingBack),
            ][..],
            &any(&[A::Abandon, A::Stop], S::StoppingBack),
        ]
        .concat(),
        (S::SwappingBack, _) => vec![
            c(I::Done, &[A::Notify], S::NotifyingBack),
            c(I::Failed, &[A::Retire], S::Steady),
        ],
        (S::NotifyingBack, _) => vec![
            c(I::Done, &[A::Quarantine], S::Steady),
            c(I::Failed, &[A::Quarantine], S::Steady),
        ],
        (S::Stopping, _) => [
            &[c(I::Ended, &[A::Start], S::Starting)][..],
            &any(&[], S::StoppingBack),
        ]
        .concat(),
        (S::Starting, _) => vec![
            c(I::Done, &[A::Verify], S::Verifying),
            c(I::Failed, &[A::StartBack], S::StartingBack),
        ],
        (S::StoppingBack, _) => vec![c(I::Ended, &[A::StartBack], S::StartingBack)],
        (S::StartingBack, _) => vec![
            c(I::Done, &[A::Quarantine], S::Steady),
            c(I::Failed, &[A::GiveUp], S::Over),
        ],
        (S::Expelling | S::Over, _) => Vec::new(),
    }
}

fn at(at: At) -> Machine {
    let mut machine = machine(SAFE);
    last(&mut machine, &way(at));
    assert_eq!(machine.state(), at.0, "{at:?}");
    machine
}

#[test]
fn every_input_is_in_the_table() {
    let kinds: std::collections::BTreeSet<usize> = INPUTS.map(kind).into_iter().collect();
    assert!(kinds.into_iter().eq(0..10));
}

#[test]
fn every_state_takes_every_input() {
    let mut pairs = 0;
    for start in all() {
        let cells = cells(start);
        for input in INPUTS {
            let cell = cells.iter().find(|(known, ..)| *known == input);
            let (actions, state) = match (cell, input) {
                (Some((_, actions, state)), _) => (*actions, *state),
                (None, I::Ended) => (&[][..], S::Over),
                (None, _) => (&[][..], start.0),
            };
            let mut machine = at(start);
            assert_eq!(machine.step(input, ZERO), actions, "{start:?} {input:?}");
            assert_eq!(machine.state(), state, "{start:?} {input:?}");
            pairs += 1;
        }
        assert!(cells.iter().all(|(input, ..)| INPUTS.contains(input)));
    }
    assert_eq!(pairs, 19 * INPUTS.len());
}

/// What ends well what is in flight.
const fn good_end(state: State) -> Option<Input> {
    match state {
        S::Steady | S::Settling | S::Retrying | S::Exhausted | S::Expelling | S::Over => None,
        S::Fetching => Some(SAME),
        S::Stopping | S::StoppingBack => Some(I::Ended),
        S::Staging
        | S::Swapping
        | S::Notifying
        | S::Starting
        | S::Verifying
        | S::SwappingBack
        | S::NotifyingBack
        | S::StartingBack => Some(I::Done),
    }
}

#[test]
fn what_comes_while_something_is_in_flight_is_looked_at_after_it() {
    for start in all() {
        for (input, action) in [(I::Changed, A::Settle), (I::Rotate, A::Fetch)] {
            let mut machine = at(start);
            let mut actions = Vec::new();
            assert!(good_end(start.0).is_none() || machine.step(input, ZERO).is_empty());
            // The longest way is from staging to the end of a verification.
            for _ in 0..6 {
                if actions.contains(&action) {
                    break;
                }
                let Some(end) = good_end(machine.state()) else {
                    break;
                };
                actions = machine.step(end, ZERO);
            }
            let flies = good_end(start.0).is_some();
            assert_eq!(
                actions.last() == Some(&action),
                flies,
                "{start:?} {input:?}"
            );
        }
    }
}
