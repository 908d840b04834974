//! A program that is stopped so that another one can take its place, and signals that mean `rotate`.

use std::collections::BTreeMap;

use super::tests::{
    CODE, OTHER, SWEEP, TIMEOUT, at, forward, hard, killing, number, play, setting, signal,
};
use super::*;

const REPLACE: Input = Input::Replace { at: Duration::ZERO };

fn replacing(signal: Signal) -> Vec<Action> {
    vec![Action::Send(signal, To::Program), Action::Timer(TIMEOUT)]
}

fn end() -> Vec<Action> {
    vec![Action::End(CODE, false)]
}

/// Plays, and tells whether another program follows.
fn replaced(setting: Setting, steps: &[(Input, Vec<Action>)]) -> bool {
    play(setting.clone(), steps);
    let mut state = State::new(setting);
    for (input, _) in steps {
        state.on(*input);
    }
    state.is_replaced()
}

#[test]
fn it_is_stopped_as_by_a_request_and_its_leftovers_ended() {
    let steps = [
        (REPLACE, replacing(Signal::TERM)),
        (REPLACE, vec![]),
        (Input::Ended(CODE), vec![SWEEP]),
        (Input::Childless, end()),
    ];
    assert!(replaced(setting(Control::None), &steps));
    let late = [
        (REPLACE, replacing(Signal::TERM)),
        (Input::TimeUp, killing(To::Program)),
        (Input::Ended(CODE), hard()),
        (Input::Childless, end()),
    ];
    assert!(replaced(setting(Control::None), &late));
}

#[test]
fn it_gets_the_signal_that_a_request_would_send() {
    for (rewrite, sent) in [
        (Rewrite::To(Signal::QUIT), Signal::QUIT),
        (Rewrite::Drop, Signal::TERM),
    ] {
        let mut setting = setting(Control::None);
        setting.forward.rewrite = BTreeMap::from([(Signal::TERM, rewrite)]);
        assert!(replaced(setting, &[(REPLACE, replacing(sent))]));
    }
}

#[test]
fn a_stopped_program_is_continued_so_that_it_can_be_replaced() {
    let resumed = vec![
        Action::Send(Signal::TERM, To::Program),
        Action::Send(Signal::CONT, To::Program),
        Action::Timer(TIMEOUT),
    ];
    let stopped = Input::Stopped(Signal::STOP, Foreground::Elsewhere);
    assert!(replaced(
        setting(Control::None),
        &[(stopped, vec![]), (REPLACE, resumed)]
    ));
}

/// What is said when a request makes the stop the last one.
fn said() -> Vec<Action> {
    let (signal, timeout) = (Signal::TERM, TIMEOUT);
    vec![Action::Stopping { signal, timeout }]
}

#[test]
fn a_request_meanwhile_is_the_first_and_nothing_follows() {
    let steps = [
        (REPLACE, replacing(Signal::TERM)),
        (at(Signal::TERM, OTHER, 10), said()),
        (Input::Ended(CODE), vec![SWEEP]),
        (Input::Childless, end()),
    ];
    assert!(!replaced(setting(Control::None), &steps));
    let second = [
        (REPLACE, replacing(Signal::TERM)),
        (at(Signal::TERM, OTHER, 10), said()),
        (at(Signal::TERM, OTHER, 20), killing(To::Program)),
    ];
    assert!(!replaced(setting(Control::None), &second));
    // timeout(1) signals the process and then the group: still one request.
    let leader = Sender::Leader(7);
    let twice = [
        (REPLACE, replacing(Signal::TERM)),
        (at(Signal::TERM, leader, 10), said()),
        (at(Signal::TERM, leader, 12), vec![]),
    ];
    assert!(!replaced(setting(Control::None), &twice));
}

#[test]
fn a_request_while_leftovers_are_ended_is_the_first_too() {
    for request in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let steps = [
            (REPLACE, replacing(Signal::TERM)),
            (Input::Ended(CODE), vec![SWEEP]),
            (signal(request, OTHER), vec![]),
            (signal(request, OTHER), hard()),
            (Input::Childless, end()),
        ];
        assert!(!replaced(setting(Control::None), &steps));
    }
}

#[test]
fn who_interrupts_does_not_want_the_next_one() {
    for interrupt in [Signal::INT, Signal::QUIT] {
        let steps = [
            (REPLACE, replacing(Signal::TERM)),
            (
                signal(interrupt, OTHER),
                vec![forward(interrupt, To::Program)],
            ),
            (Input::Ended(CODE), vec![SWEEP]),
        ];
        assert!(!replaced(setting(Control::None), &steps));
        // The terminal has told the whole group already.
        let steps = [
            (REPLACE, replacing(Signal::TERM)),
            (signal(interrupt, Sender::Kernel), vec![]),
        ];
        assert!(!replaced(setting(Control::Shared), &steps));
    }
    let own = [
        (REPLACE, replacing(Signal::TERM)),
        (
            signal(Signal::INT, Sender::Program),
            vec![forward(Signal::INT, To::Program)],
        ),
        (
            signal(Signal::HUP, OTHER),
            vec![forward(Signal::HUP, To::Program)],
        ),
    ];
    assert!(replaced(setting(Control::None), &own));
}

#[test]
fn a_program_that_ends_by_itself_or_by_request_is_not_replaced() {
    let by_itself = [
        (Input::Ended(CODE), vec![SWEEP, Action::Timer(TIMEOUT)]),
        (REPLACE, vec![]),
        (Input::Childless, end()),
        (REPLACE, vec![]),
    ];
    assert!(!replaced(setting(Control::None), &by_itself));
    let mut stopping = setting(Control::None);
    stopping.stop.leftovers = Leftovers::Leave;
    let mut state = State::new(stopping);
    state.on(signal(Signal::TERM, OTHER));
    assert_eq!(state.on(REPLACE), []);
    assert!(!state.is_replaced());
}

#[test]
fn a_signal_that_means_rotate_goes_nowhere_else() {
    let mut rotating = setting(Control::None);
    rotating.forward.rewrite = BTreeMap::from([(number(libc::SIGUSR1), Rewrite::Rotate)]);
    play(
        rotating,
        &[
            (signal(number(libc::SIGUSR1), OTHER), vec![Action::Rotate]),
            // The program may ask as well.
            (
                signal(number(libc::SIGUSR1), Sender::Program),
                vec![Action::Rotate],
            ),
        ],
    );
}

/// One that dies while a rotation looks whether it is well would have another after it.
#[test]
fn a_request_while_leftovers_of_a_dead_program_are_ended_is_remembered() {
    for (asks, remembered) in [(Signal::TERM, true), (Signal::USR1, false)] {
        let mut state = State::new(setting(Control::None));
        state.on(Input::Ended(End::Signal(Signal::KILL)));
        assert!(!state.is_asked_late());
        state.on(signal(asks, OTHER));
        state.on(Input::Childless);
        assert_eq!(state.is_asked_late(), remembered, "{asks}");
    }
}
