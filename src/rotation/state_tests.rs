//! Every transition of the machine, as tables: what goes in, what comes out.

use proptest::prelude::*;

use super::*;
use Action as A;
use Input as I;
use Means::{Restart, Told};
use State as S;

pub(super) const ZERO: Duration = Duration::ZERO;
const PER: Duration = Duration::from_secs(100);

/// What is there to be handed over, or not.
const fn found(new: Option<Means>) -> Input {
    let (outage, short) = (false, false);
    I::Found(Found { new, outage, short })
}

pub(super) const NEW: Input = found(Some(Told));
pub(super) const ANEW: Input = found(Some(Restart));
const SAME: Input = found(None);
const DOWN: Input = I::Found(Found {
    new: None,
    outage: true,
    short: false,
});
/// Something new, and a store that is down.
const PART: Input = I::Found(Found {
    new: Some(Told),
    outage: true,
    short: false,
});
/// Nothing but what needs a restart that there is no room for.
const SHORT: Input = I::Found(Found {
    new: None,
    outage: false,
    short: true,
});

pub(super) const PLAIN: (bool, bool) = (false, false);
pub(super) const VERIFIED: (bool, bool) = (true, false);
pub(super) const SAFE: (bool, bool) = (true, true);

pub(super) fn machine((verify, rollback): (bool, bool)) -> Machine {
    Machine::new(Rules {
        verify,
        rollback,
        restarts: RestartBudget { max: 2, per: PER },
    })
}

/// Feeds inputs and collects the actions of the last one.
pub(super) fn last(machine: &mut Machine, inputs: &[Input]) -> Vec<Action> {
    let actions = inputs.iter().map(|input| machine.step(*input, ZERO));
    actions.last().unwrap_or_default()
}

/// Rules, inputs, the last input's actions and the state after it.
pub(super) type Row<'a> = ((bool, bool), &'a [Input], &'a [Action], State);

pub(super) fn check(before: &[Input], rows: &[Row]) {
    for (rules, inputs, actions, state) in rows {
        let mut machine = machine(*rules);
        last(&mut machine, before);
        assert_eq!(last(&mut machine, inputs), *actions, "{rules:?} {inputs:?}");
        assert_eq!(machine.state(), *state, "{rules:?} {inputs:?}");
    }
}

#[test]
fn from_steady() {
    check(
        &[],
        &[
            (PLAIN, &[I::Changed], &[A::Settle], S::Settling),
            (PLAIN, &[I::Rotate], &[A::Fetch], S::Fetching),
            (PLAIN, &[I::Elapsed], &[], S::Steady),
            (PLAIN, &[I::Done], &[], S::Steady),
            (PLAIN, &[I::Refused], &[], S::Steady),
            (PLAIN, &[I::Failed], &[], S::Steady),
            (PLAIN, &[NEW], &[], S::Steady),
            (PLAIN, &[I::Ended], &[], S::Over),
            (PLAIN, &[I::RollBack(Told)], &[A::SwapBack], S::SwappingBack),
            (PLAIN, &[I::RollBack(Restart)], &[A::Stop], S::StoppingBack),
        ],
    );
}

#[test]
fn from_settling() {
    check(
        &[I::Changed],
        &[
            (PLAIN, &[I::Changed], &[], S::Settling),
            (PLAIN, &[I::Done], &[], S::Settling),
            (PLAIN, &[I::Elapsed], &[A::Fetch], S::Fetching),
            (PLAIN, &[I::Rotate], &[A::Fetch], S::Fetching),
            (PLAIN, &[I::Ended], &[], S::Over),
            (PLAIN, &[I::RollBack(Told)], &[A::SwapBack], S::SwappingBack),
            // The change is looked at afterwards.
            (
                PLAIN,
                &[I::RollBack(Told), I::Done, I::Done],
                &[A::Quarantine, A::Settle],
                S::Settling,
            ),
        ],
    );
}

#[test]
fn from_fetching() {
    check(
        &[I::Rotate],
        &[
            (PLAIN, &[NEW], &[A::Stage], S::Staging),
            (PLAIN, &[ANEW], &[A::Stage], S::Staging),
            (PLAIN, &[PART], &[A::Stage], S::Staging),
            (PLAIN, &[SAME], &[], S::Steady),
            (PLAIN, &[DOWN], &[A::RetryLater], S::Retrying),
            (
                PLAIN,
                &[SHORT],
                &[A::Exhausted, A::WaitForRoom(ZERO)],
                S::Exhausted,
            ),
            (PLAIN, &[I::Elapsed], &[], S::Fetching),
            (PLAIN, &[I::Done], &[], S::Fetching),
            (PLAIN, &[I::Failed], &[], S::Fetching),
            (PLAIN, &[I::Ended], &[], S::Over),
            (PLAIN, &[I::Changed], &[], S::Fetching),
            (PLAIN, &[I::Changed, SAME], &[A::Settle], S::Settling),
            (PLAIN, &[I::Rotate, SAME], &[A::Fetch], S::Fetching),
            (
                PLAIN,
                &[I::Rotate, I::Changed, SAME],
                &[A::Fetch],
                S::Fetching,
            ),
            // What came meanwhile will be in what is fetched then.
            (PLAIN, &[I::Changed, DOWN], &[A::RetryLater], S::Retrying),
            (PLAIN, &[I::Rotate, DOWN], &[A::Fetch], S::Fetching),
            (
                PLAIN,
                &[I::RollBack(Told)],
                &[A::Abandon, A::SwapBack],
                S::SwappingBack,
            ),
            (
                PLAIN,
                &[I::RollBack(Restart)],
                &[A::Abandon, A::Stop],
                S::StoppingBack,
            ),
            (PLAIN, &[I::RollBack(Told), NEW], &[], S::SwappingBack),
        ],
    );
}

#[test]
fn from_retrying() {
    check(
        &[I::Rotate, DOWN],
        &[
            (PLAIN, &[I::Elapsed], &[A::Fetch], S::Fetching),
            (PLAIN, &[I::Changed], &[A::Fetch], S::Fetching),
            (PLAIN, &[I::Rotate], &[A::Fetch], S::Fetching),
            (PLAIN, &[I::Done], &[], S::Retrying),
            (PLAIN, &[I::Ended], &[], S::Over),
            (PLAIN, &[I::Elapsed, SAME], &[A::Recovered], S::Steady),
            (
                PLAIN,
                &[I::Elapsed, NEW],
                &[A::Recovered, A::Stage],
                S::Staging,
            ),
            (PLAIN, &[I::Elapsed, DOWN], &[A::RetryLater], S::Retrying),
            (PLAIN, &[I::Elapsed, PART], &[A::Stage], S::Staging),
            (PLAIN, &[I::RollBack(Told)], &[A::SwapBack], S::SwappingBack),
        ],
    );
}

#[test]
fn a_store_that_is_down_is_asked_again_after_the_others_have_rotated() {
    let placed = [I::Rotate, PART, I::Done, I::Done];
    check(
        &placed,
        &[
            (PLAIN, &[I::Done], &[A::Retire, A::RetryLater], S::Retrying),
            (
                PLAIN,
                &[I::Changed, I::Done],
                &[A::Retire, A::Settle],
                S::Settling,
            ),
            (
                PLAIN,
                &[I::Rotate, I::Done],
                &[A::Retire, A::Fetch],
                S::Fetching,
            ),
        ],
    );
}

#[test]
fn from_staging_and_swapping() {
    check(
        &[I::Rotate, NEW],
        &[
            (PLAIN, &[I::Done], &[A::Swap], S::Swapping),
            (
                PLAIN,
                &[I::Failed],
                &[A::Discard, A::RetryLater],
                S::Retrying,
            ),
            // The others may be good.
            (
                PLAIN,
                &[I::Refused],
                &[A::Quarantine, A::Fetch],
                S::Fetching,
            ),
            (PLAIN, &[I::Changed, I::Refused, SAME], &[], S::Steady),
            (PLAIN, &[I::Elapsed], &[], S::Staging),
            (PLAIN, &[NEW], &[], S::Staging),
            (PLAIN, &[I::RollBack(Told)], &[], S::Staging),
            (PLAIN, &[I::Ended], &[], S::Over),
            (
                PLAIN,
                &[I::Changed, I::Failed],
                &[A::Discard, A::RetryLater],
                S::Retrying,
            ),
            (
                PLAIN,
                &[I::Rotate, I::Failed],
                &[A::Discard, A::Fetch],
                S::Fetching,
            ),
            (PLAIN, &[I::Done, I::Done], &[A::Notify], S::Notifying),
            (
                PLAIN,
                &[I::Done, I::Failed],
                &[A::Discard, A::RetryLater],
                S::Retrying,
            ),
            (PLAIN, &[I::Done, I::Elapsed], &[], S::Swapping),
            (PLAIN, &[I::Done, I::RollBack(Told)], &[], S::Swapping),
            (PLAIN, &[I::Done, I::Ended], &[], S::Over),
            // The stores did not fail, so there is nothing for them to recover from.
            (
                PLAIN,
                &[I::Failed, I::Elapsed, NEW],
                &[A::Stage],
                S::Staging,
            ),
        ],
    );
}

#[test]
fn from_notifying_and_verifying() {
    let back: &[Action] = &[A::SwapBack];
    check(
        &[I::Rotate, NEW, I::Done, I::Done],
        &[
            (PLAIN, &[I::Done], &[A::Retire], S::Steady),
            (PLAIN, &[I::Failed], &[A::Retire], S::Steady),
            (PLAIN, &[I::Elapsed], &[], S::Notifying),
            (PLAIN, &[I::Refused], &[], S::Notifying),
            (PLAIN, &[I::Ended], &[], S::Over),
            (
                PLAIN,
                &[I::Changed, I::Done],
                &[A::Retire, A::Settle],
                S::Settling,
            ),
            (
                PLAIN,
                &[I::Rotate, I::Done],
                &[A::Retire, A::Fetch],
                S::Fetching,
            ),
            (
                PLAIN,
                &[I::RollBack(Restart)],
                &[A::Abandon, A::SwapBack],
                S::SwappingBack,
            ),
            (SAFE, &[I::Failed], back, S::SwappingBack),
            (VERIFIED, &[I::Done], &[A::Verify], S::Verifying),
            (VERIFIED, &[I::Done, I::Done], &[A::Retire], S::Steady),
            (VERIFIED, &[I::Done, I::Failed], &[A::Retire], S::Steady),
            (VERIFIED, &[I::Done, I::Elapsed], &[], S::Verifying),
            (SAFE, &[I::Done, I::Failed], back, S::SwappingBack),
            (SAFE, &[I::Done, I::Changed], &[], S::Verifying),
            // A program that ends by itself is the end.
            (SAFE, &[I::Done, I::Ended], &[], S::Over),
            (
                VERIFIED,
                &[I::Done, I::RollBack(Told)],
                &[A::Abandon, A::SwapBack],
                S::SwappingBack,
            ),
        ],
    );
}

#[test]
fn on_the_way_back() {
    check(
        &[I::Rotate, NEW, I::Done, I::Done, I::Failed],
        &[
            (SAFE, &[I::Done], &[A::Notify], S::NotifyingBack),
            (SAFE, &[I::Done, I::Done], &[A::Quarantine], S::Steady),
            (SAFE, &[I::Done, I::Failed], &[A::Quarantine], S::Steady),
            (SAFE, &[I::Failed], &[A::Retire], S::Steady),
            (SAFE, &[I::Elapsed], &[], S::SwappingBack),
            (SAFE, &[I::RollBack(Told)], &[], S::SwappingBack),
            (SAFE, &[I::Done, I::RollBack(Told)], &[], S::NotifyingBack),
            (SAFE, &[I::Done, I::Elapsed], &[], S::NotifyingBack),
            (SAFE, &[I::Ended], &[], S::Over),
            (SAFE, &[I::Done, I::Ended], &[], S::Over),
            (
                SAFE,
                &[I::Changed, I::Done, I::Done],
                &[A::Quarantine, A::Settle],
                S::Settling,
            ),
        ],
    );
    check(
        &[I::RollBack(Told)],
        &[
            (PLAIN, &[I::Done], &[A::Notify], S::NotifyingBack),
            (PLAIN, &[I::Done, I::Done], &[A::Quarantine], S::Steady),
            (PLAIN, &[I::Failed], &[A::Discard], S::Steady),
        ],
    );
}

#[test]
fn when_it_is_over_it_is_over() {
    let mut machine = machine(SAFE);
    last(&mut machine, &[I::Ended]);
    for input in [
        I::Changed,
        I::Rotate,
        I::RollBack(Told),
        I::Elapsed,
        NEW,
        I::Done,
        I::Refused,
        I::Failed,
        I::Ended,
    ] {
        assert_eq!(machine.step(input, ZERO), []);
        assert_eq!(machine.state(), S::Over);
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    let means = prop_oneof![Just(Told), Just(Restart)];
    let given = (
        proptest::option::of(means.clone()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(new, outage, short)| I::Found(Found { new, outage, short }));
    prop_oneof![
        1 => Just(I::Changed),
        1 => Just(I::Rotate),
        1 => means.prop_map(I::RollBack),
        1 => Just(I::Elapsed),
        3 => given,
        6 => Just(I::Done),
        1 => Just(I::Refused),
        2 => Just(I::Failed),
        2 => Just(I::Ended),
    ]
}

proptest! {
    /// Whatever comes: nothing is put in place that was not staged, nobody is told of what is not in
    /// place, no program is started before the one before it has ended, and what was staged comes to
    /// one end.
    #[test]
    fn actions_come_in_order(
        inputs in proptest::collection::vec((any_input(), 0_u64..30), 0..300),
        verify: bool,
        rollback: bool,
    ) {
        let mut machine = machine((verify, rollback));
        let (mut staged, mut placed, mut alive, mut now) = (false, false, true, ZERO);
        for (input, wait) in inputs {
            now += Duration::from_secs(wait);
            let starting = matches!(machine.state(), S::Starting | S::StartingBack);
            if input == I::Ended || (starting && input == I::Failed) {
                alive = false;
            }
            if machine.state() == S::Over {
                prop_assert_eq!(machine.step(input, now), []);
                continue;
            }
            for action in machine.step(input, now) {
                match action {
                    A::Stage => { prop_assert!(!staged && !placed); staged = true; }
                    A::Swap => { prop_assert!(staged && !placed); placed = true; }
                    A::Start => { prop_assert!(staged && !alive); alive = true; placed = true; }
                    A::StartBack => { prop_assert!(!alive); alive = true; placed = true; }
                    A::SwapBack => placed = true,
                    A::Stop => prop_assert!(alive),
                    A::Expel => prop_assert!(!staged && !placed && alive),
                    A::Notify | A::Verify => prop_assert!(placed && alive),
                    A::Retire => { prop_assert!(placed); (staged, placed) = (false, false); }
                    A::Quarantine | A::Discard => {
                        prop_assert!(staged || placed);
                        (staged, placed) = (false, false);
                    }
                    A::GiveUp => prop_assert_eq!(machine.state(), S::Over),
                    A::Settle | A::Fetch | A::RetryLater | A::Exhausted | A::WaitForRoom(_) => {
                        prop_assert!(!staged && !placed && alive);
                    }
                    A::Recovered => prop_assert!(!staged),
                    A::Abandon => {}
                }
            }
        }
    }
}
