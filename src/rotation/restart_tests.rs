//! Restarts: their transitions, the way back, and the budget.

use super::tests::{ANEW, PLAIN, SAFE, VERIFIED, ZERO, check, last, machine};
use super::*;
use Action as A;
use Input as I;
use Means::{Restart, Told};
use State as S;

#[test]
fn a_restart() {
    check(
        &[I::Rotate, ANEW, I::Done],
        &[
            (PLAIN, &[], &[], S::Stopping),
            (PLAIN, &[I::Elapsed], &[], S::Stopping),
            (PLAIN, &[I::Done], &[], S::Stopping),
            (PLAIN, &[I::Ended], &[A::Start], S::Starting),
            (PLAIN, &[I::Ended, I::Done], &[A::Retire], S::Steady),
            (PLAIN, &[I::Ended, I::RollBack(Told)], &[], S::Starting),
            (VERIFIED, &[I::Ended, I::Done], &[A::Verify], S::Verifying),
            (
                VERIFIED,
                &[I::Ended, I::Done, I::Done],
                &[A::Retire],
                S::Steady,
            ),
            (
                VERIFIED,
                &[I::Ended, I::Done, I::Failed],
                &[A::Retire],
                S::Steady,
            ),
            (VERIFIED, &[I::Ended, I::Done, I::Ended], &[], S::Over),
            (SAFE, &[I::Ended, I::Done, I::Done, I::Ended], &[], S::Over),
            (
                PLAIN,
                &[I::Changed, I::Ended, I::Done],
                &[A::Retire, A::Settle],
                S::Settling,
            ),
        ],
    );
    let staged: &[Input] = &[I::Rotate, ANEW, I::Done];
    assert_eq!(last(&mut machine(PLAIN), staged), [A::Stop]);
}

#[test]
fn a_restart_that_is_taken_back() {
    check(
        &[I::Rotate, ANEW, I::Done, I::Ended],
        &[
            // Nothing runs: whatever the rules are.
            (PLAIN, &[I::Failed], &[A::StartBack], S::StartingBack),
            (
                PLAIN,
                &[I::Failed, I::Done],
                &[A::Discard, A::RetryLater],
                S::Retrying,
            ),
            (PLAIN, &[I::Failed, I::Failed], &[A::GiveUp], S::Over),
            (SAFE, &[I::Done, I::Failed], &[A::Stop], S::StoppingBack),
            (
                SAFE,
                &[I::Done, I::Failed, I::Ended],
                &[A::StartBack],
                S::StartingBack,
            ),
            (
                SAFE,
                &[I::Done, I::Failed, I::Ended, I::Done],
                &[A::Quarantine],
                S::Steady,
            ),
            (
                SAFE,
                &[I::Done, I::Failed, I::Ended, I::Failed],
                &[A::GiveUp],
                S::Over,
            ),
            // The new program could not live with the new values.
            (
                SAFE,
                &[I::Done, I::Ended],
                &[A::Abandon, A::StartBack],
                S::StartingBack,
            ),
            (
                SAFE,
                &[I::Done, I::RollBack(Told)],
                &[A::Abandon, A::Stop],
                S::StoppingBack,
            ),
        ],
    );
    check(
        &[I::Rotate, ANEW, I::Done],
        &[
            (PLAIN, &[I::RollBack(Told)], &[], S::StoppingBack),
            (
                PLAIN,
                &[I::RollBack(Told), I::Ended],
                &[A::StartBack],
                S::StartingBack,
            ),
            (
                PLAIN,
                &[I::RollBack(Told), I::Ended, I::Done],
                &[A::Quarantine],
                S::Steady,
            ),
        ],
    );
    check(
        &[I::RollBack(Restart), I::Ended],
        &[
            (PLAIN, &[I::Done], &[A::Quarantine], S::Steady),
            (PLAIN, &[I::Failed], &[A::GiveUp], S::Over),
        ],
    );
}

#[test]
fn a_restart_waits_for_room_and_says_so_once() {
    let mut machine = machine(PLAIN);
    let restart = [I::Rotate, ANEW, I::Done, I::Ended, I::Done];
    let at = Duration::from_secs;
    for second in [0, 40] {
        for input in restart {
            let actions = machine.step(input, at(second));
            assert!(!actions.contains(&A::Exhausted));
        }
    }
    assert_eq!(machine.restarts_left(at(50)), 0);
    assert_eq!(machine.step(I::Rotate, at(50)), [A::Fetch]);
    let wait = A::WaitForRoom(at(50));
    assert_eq!(machine.step(ANEW, at(50)), [A::Exhausted, wait]);
    assert_eq!(machine.state(), S::Exhausted);
    // A change may be one that needs no restart.
    assert_eq!(machine.step(I::Changed, at(60)), [A::Settle]);
    assert_eq!(machine.step(I::Elapsed, at(60)), [A::Fetch]);
    let both = Found {
        new: Some(Told),
        outage: false,
        short: true,
    };
    assert_eq!(machine.step(I::Found(both), at(60)), [A::Stage]);
    for input in [I::Done, I::Done] {
        assert!(!machine.step(input, at(61)).is_empty());
    }
    let wait = A::WaitForRoom(at(39));
    assert_eq!(machine.step(I::Done, at(61)), [A::Retire, wait]);
    assert_eq!(machine.step(I::Elapsed, at(100)), [A::Fetch]);
    assert_eq!(machine.step(ANEW, at(100)), [A::Stage]);
    assert_eq!(machine.step(I::Done, at(100)), [A::Stop]);
}

#[test]
fn a_restart_that_is_rolled_back_counts_once_and_the_way_back_is_never_refused() {
    let failed = [I::Rotate, ANEW, I::Done, I::Ended, I::Done, I::Failed];
    let died = [I::Rotate, ANEW, I::Done, I::Ended, I::Done, I::Ended];
    let unstarted = [I::Rotate, ANEW, I::Done, I::Ended, I::Failed];
    for (way, back) in [
        (&failed[..], &[I::Ended, I::Done][..]),
        (&died[..], &[I::Done][..]),
        (&unstarted[..], &[I::Done][..]),
    ] {
        let mut machine = machine(SAFE);
        let most = machine.restarts_left(ZERO);
        for left in (0..most).rev() {
            last(&mut machine, way);
            last(&mut machine, back);
            assert_eq!(machine.restarts_left(ZERO), left);
        }
        // None is left for what is new; what a person asks for is done.
        last(&mut machine, &[I::Rotate]);
        let actions = machine.step(ANEW, ZERO);
        assert!(actions.contains(&A::Exhausted), "{actions:?}");
        assert_eq!(last(&mut machine, &[I::RollBack(Restart)]), [A::Stop]);
        last(&mut machine, &[I::Ended, I::Done]);
        assert_eq!(machine.restarts_left(ZERO), 0);
    }
}
