//! What is tried again, without a server or a clock.

use std::time::{Duration, SystemTime};

use super::super::HttpError;
use super::super::retry::{
    FIRST_WAIT, LONGEST_WAIT, Limits, Tries, TryError, Weight, retry_after, transient,
};

const MINUTE: Duration = Duration::from_mins(1);

fn said(words: &str) -> TryError {
    TryError::new(Weight::Answered, words)
}

/// The server answered with such a status, and perhaps asked to wait.
fn refused(status: u16, wait: Option<Duration>) -> TryError {
    let transient = transient(status).expect("it is transient");
    super::super::retry::refused(status, transient, wait)
}

fn cause(tries: Tries) -> String {
    match tries.error(MINUTE) {
        HttpError::NoAnswer { address, cause, .. } => format!("{address}: {cause}"),
        HttpError::Deadline { .. } => "deadline".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_deadline_has_room_for_several_tries() {
    let limits = Limits::new(MINUTE, false);
    assert_eq!(limits.connect, Duration::from_secs(10));
    assert_eq!(limits.head, Duration::from_secs(20));
    assert_eq!(limits.pause, Duration::from_secs(10));
    assert!(limits.unacknowledged() < limits.connect);
}

#[test]
fn a_short_deadline_has_room_for_another_try() {
    let limits = Limits::new(Duration::from_secs(3), false);
    assert_eq!(limits.connect, Duration::from_secs(1));
    assert!(limits.head < Duration::from_secs(3) && limits.pause < Duration::from_secs(3));
}

#[test]
fn what_is_for_one_use_is_awaited_to_the_end() {
    assert_eq!(Limits::new(MINUTE, true).head, MINUTE);
}

#[test]
fn statuses_are_the_callers_but_those_that_pass() {
    let again: Vec<u16> = (200..600)
        .filter(|status| transient(*status).is_some())
        .collect();
    let expected: Vec<u16> = [429].into_iter().chain(500..600).collect();
    assert_eq!(again, expected);
}

#[test]
fn a_wait_is_seconds_or_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    for (value, seconds) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Sun, 06 Nov 1994 08:49:39 GMT", Some(2)),
        ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
        ("Sun Nov  6 08:49:37 1994", Some(0)),
        ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("soon", None),
        ("-1", None),
        ("", None),
    ] {
        let wait = retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(wait, seconds, "{value}");
    }
}

#[test]
fn waits_are_drawn_below_ceilings_that_double() {
    let mut tries = Tries::new(false);
    let mut ceiling = FIRST_WAIT;
    for _ in 0..8 {
        tries.failed("a", said("no"));
        assert_eq!(tries.next_round(MINUTE, u64::MAX), Some(ceiling));
        ceiling = (ceiling * 2).min(LONGEST_WAIT);
    }
    tries.failed("a", said("no"));
    assert_eq!(tries.next_round(MINUTE, 0), Some(Duration::ZERO));
}

#[test]
fn the_last_try_comes_near_the_deadline() {
    let mut tries = Tries::new(false);
    let mut left = MINUTE;
    let mut rounds = 0;
    tries.failed("a", said("no"));
    while let Some(wait) = tries.next_round(left, u64::MAX) {
        left -= wait;
        rounds += 1;
        tries.failed("a", said("no"));
    }
    assert!(left < Duration::from_millis(50), "{left:?}");
    assert!(rounds < 40, "{rounds}");
}

#[test]
fn what_a_server_asks_for_is_waited_for_and_no_more_is_tried_past_the_deadline() {
    let asked = refused(429, Some(Duration::from_secs(7)));
    let mut tries = Tries::new(false);
    tries.failed("a", asked);
    assert_eq!(tries.next_round(MINUTE, 0), Some(Duration::from_secs(7)));
    for wait in [MINUTE, Duration::MAX] {
        tries.failed("a", refused(503, Some(wait)));
        assert_eq!(tries.next_round(MINUTE, u64::MAX), None);
    }
}

#[test]
fn of_several_waits_the_shortest_counts() {
    let mut tries = Tries::new(false);
    tries.failed("a", refused(503, Some(Duration::from_secs(9))));
    tries.failed("b", refused(503, Some(Duration::from_secs(3))));
    tries.failed("c", said("no"));
    assert_eq!(tries.next_round(MINUTE, 0), Some(Duration::from_secs(3)));
}

#[test]
fn what_lasts_is_not_tried_again_unless_something_passes() {
    let mut tries = Tries::new(false);
    assert!(tries.failed("a", said("wrong name").lasting()));
    assert_eq!(tries.next_round(MINUTE, 0), None);
    let mut tries = Tries::new(false);
    tries.failed("a", said("wrong name").lasting());
    tries.failed("b", TryError::new(Weight::Unconnected, "refused"));
    assert!(tries.next_round(MINUTE, 0).is_some());
}

#[test]
fn what_may_have_been_done_is_not_done_again() {
    let mut tries = Tries::new(true);
    assert!(tries.failed("a", TryError::new(Weight::Unconnected, "refused")));
    assert!(tries.next_round(MINUTE, 0).is_some());
    assert!(!tries.failed("a", refused(500, None)));
    assert_eq!(tries.next_round(MINUTE, 0), None);
}

#[test]
fn too_many_requests_hold_for_all_addresses() {
    assert!(!Tries::new(false).failed("a", refused(429, None)));
    assert!(Tries::new(false).failed("a", refused(503, None)));
}

#[test]
fn a_round_that_the_deadline_cut_does_not_hide_the_one_before() {
    let cut = || TryError::new(Weight::Unfinished, "cut");
    let mut tries = Tries::new(false);
    tries.failed("a", said("sealed"));
    tries.next_round(MINUTE, 0);
    tries.failed("b", TryError::new(Weight::Unconnected, "refused"));
    tries.failed("a", cut());
    tries.next_round(Duration::ZERO, 0);
    assert_eq!(cause(tries), "a: sealed");
    let mut tries = Tries::new(false);
    tries.failed("a", cut());
    tries.next_round(Duration::ZERO, 0);
    assert_eq!(cause(tries), "deadline");
}

#[test]
fn a_whole_round_tells_how_it_is_now() {
    let mut tries = Tries::new(false);
    tries.failed("a", said("sealed"));
    tries.next_round(MINUTE, 0);
    tries.failed("a", TryError::new(Weight::Unconnected, "refused"));
    tries.next_round(Duration::ZERO, 0);
    assert_eq!(cause(tries), "a: refused");
}

#[test]
fn the_time_that_it_took_is_told_for_people() {
    for (took, told) in [(60_004, 60_000), (1_499, 1_000), (1_500, 2_000), (999, 999)] {
        let error = Tries::new(false).error(Duration::from_millis(took));
        let HttpError::Deadline { after } = error else {
            panic!("{error:?}");
        };
        assert_eq!(after, Duration::from_millis(told));
    }
}
