//! Every transition of the machine, as tables: what goes in, what comes out.

use std::collections::BTreeMap;

use super::*;

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const OTHER: Sender = Sender::Other(77);
const USR2: i32 = 12;

pub(super) fn setting(control: Control) -> Setting {
    Setting {
        stop: Stop {
            signal: Signal::TERM,
            timeout: TIMEOUT,
            leftovers: Leftovers::Terminate,
        },
        forward: Forward::default(),
        control,
        session_leader: false,
    }
}

pub(super) fn number(number: i32) -> Signal {
    Signal::from_number(number).unwrap()
}

pub(super) fn signal(signal: Signal, sender: Sender) -> Input {
    at(signal, sender, 0)
}

pub(super) fn at(signal: Signal, sender: Sender, milliseconds: u64) -> Input {
    let at = Duration::from_millis(milliseconds);
    Input::Signal { signal, sender, at }
}

pub(super) fn forward(signal: Signal, to: To) -> Action {
    Action::Forward {
        received: signal,
        sent: signal,
        to,
    }
}

pub(super) fn stopping(signal: Signal, to: To) -> Vec<Action> {
    let timeout = TIMEOUT;
    vec![
        Action::Stopping { signal, timeout },
        Action::Forward {
            received: Signal::TERM,
            sent: signal,
            to,
        },
        Action::Timer(TIMEOUT),
    ]
}

pub(super) fn killing(to: To) -> Vec<Action> {
    vec![Action::Killed, Action::Send(Signal::KILL, to)]
}

pub(super) const CODE: End = End::Code(3);
pub(super) const SWEEP: Action = Action::Sweep(Signal::TERM);

pub(super) fn hard() -> Vec<Action> {
    vec![Action::Timer(LAST_WAIT), Action::Sweep(Signal::KILL)]
}

/// Feeds the inputs in a row and compares what each gives.
pub(super) fn play(setting: Setting, steps: &[(Input, Vec<Action>)]) {
    let mut state = State::new(setting);
    for (step, (input, expected)) in steps.iter().enumerate() {
        assert_eq!(&state.on(*input), expected, "step {step}: {input:?}");
    }
}

#[test]
fn every_signal_but_term_and_cont_is_passed_on_as_it_is() {
    for n in (1..=64).filter(|n| !matches!(*n, libc::SIGTERM | libc::SIGCONT)) {
        for (to_group, to) in [(false, To::Program), (true, To::Group)] {
            let mut setting = setting(Control::None);
            setting.forward.to_group = to_group;
            play(
                setting,
                &[(signal(number(n), OTHER), vec![forward(number(n), to)])],
            );
        }
    }
}

#[test]
fn rewriting_replaces_or_drops() {
    let mut rewritten = setting(Control::None);
    rewritten.forward.rewrite = BTreeMap::from([
        (Signal::HUP, Rewrite::To(number(USR2))),
        (Signal::WINCH, Rewrite::Drop),
        (Signal::CONT, Rewrite::Drop),
        (Signal::TERM, Rewrite::To(Signal::QUIT)),
        (Signal::INT, Rewrite::To(Signal::TERM)),
    ]);
    let as_usr2 = Action::Forward {
        received: Signal::HUP,
        sent: number(USR2),
        to: To::Program,
    };
    let int_as_term = Action::Forward {
        received: Signal::INT,
        sent: Signal::TERM,
        to: To::Program,
    };
    play(
        rewritten,
        &[
            (signal(Signal::HUP, OTHER), vec![as_usr2]),
            (signal(Signal::WINCH, OTHER), vec![]),
            (signal(Signal::CONT, OTHER), vec![]),
            // Passed on, and no stop: only what is received as SIGTERM is a request to stop.
            (signal(Signal::INT, OTHER), vec![int_as_term]),
            (Input::TimeUp, vec![]),
            (
                signal(Signal::TERM, OTHER),
                stopping(Signal::QUIT, To::Program),
            ),
        ],
    );
    let mut dropped = setting(Control::None);
    dropped.forward.rewrite = BTreeMap::from([(Signal::TERM, Rewrite::Drop)]);
    play(
        dropped,
        &[
            (signal(Signal::TERM, OTHER), vec![]),
            (Input::TimeUp, vec![]),
        ],
    );
}

#[test]
fn what_comes_back_to_hushpipe_goes_no_further() {
    for control in [Control::None, Control::Job, Control::Shared] {
        let mut setting = setting(control);
        setting.forward.to_group = true;
        play(
            setting,
            &[
                (signal(Signal::HUP, Sender::Itself), vec![]),
                (signal(Signal::TERM, Sender::Itself), vec![]),
                // A member of the group wants the program to have it, not the group with itself.
                (
                    signal(Signal::HUP, Sender::Member(9)),
                    vec![forward(Signal::HUP, To::Program)],
                ),
            ],
        );
    }
}

#[test]
fn a_program_that_signals_its_init_signals_itself() {
    for (to_group, to) in [(false, To::Program), (true, To::Group)] {
        for control in [Control::None, Control::Job] {
            let mut setting = setting(control);
            setting.forward.to_group = to_group;
            play(
                setting,
                &[
                    (
                        signal(Signal::HUP, Sender::Program),
                        vec![forward(Signal::HUP, to)],
                    ),
                    (
                        signal(Signal::TERM, Sender::Program),
                        stopping(Signal::TERM, to),
                    ),
                    (Input::TimeUp, killing(to)),
                ],
            );
        }
    }
    // Its group is hushpipe's: it may have signalled that, and has it already.
    play(
        setting(Control::Shared),
        &[
            (signal(Signal::HUP, Sender::Program), vec![]),
            (signal(Signal::TERM, Sender::Program), vec![]),
        ],
    );
}

#[test]
fn a_program_that_answers_a_stop_with_the_same_is_not_killed_for_it() {
    for first in [OTHER, Sender::Program] {
        play(
            setting(Control::None),
            &[
                (
                    signal(Signal::TERM, first),
                    stopping(Signal::TERM, To::Program),
                ),
                (signal(Signal::TERM, Sender::Program), vec![]),
                (signal(Signal::TERM, Sender::Program), vec![]),
                (signal(Signal::TERM, OTHER), killing(To::Program)),
            ],
        );
    }
}

#[test]
fn what_the_terminal_sent_to_the_whole_group_is_not_sent_twice() {
    for of_terminal in [
        Signal::INT,
        Signal::QUIT,
        Signal::HUP,
        Signal::TSTP,
        Signal::WINCH,
    ] {
        play(
            setting(Control::Shared),
            &[(signal(of_terminal, Sender::Kernel), vec![])],
        );
        let to_program = vec![forward(of_terminal, To::Program)];
        play(
            setting(Control::Shared),
            &[(signal(of_terminal, OTHER), to_program.clone())],
        );
        // The program's group is another: what came to ours did not come to it.
        let to_group = vec![forward(of_terminal, To::Group)];
        play(
            setting(Control::Job),
            &[(signal(of_terminal, Sender::Kernel), to_group)],
        );
        play(
            setting(Control::None),
            &[(signal(of_terminal, Sender::Kernel), to_program)],
        );
    }
    let alarm = number(libc::SIGALRM);
    play(
        setting(Control::Shared),
        &[(
            signal(alarm, Sender::Kernel),
            vec![forward(alarm, To::Program)],
        )],
    );
}

#[test]
fn a_shared_group_is_never_signalled() {
    let mut setting = setting(Control::Shared);
    setting.forward.to_group = true;
    play(
        setting,
        &[
            (
                signal(Signal::HUP, OTHER),
                vec![forward(Signal::HUP, To::Program)],
            ),
            (
                signal(Signal::TERM, OTHER),
                stopping(Signal::TERM, To::Program),
            ),
            (Input::TimeUp, killing(To::Program)),
        ],
    );
}

#[test]
fn a_stop_is_a_signal_then_a_kill_at_its_time() {
    let mut custom = setting(Control::None);
    custom.stop.signal = Signal::INT;
    play(
        custom,
        &[
            (
                signal(Signal::TERM, OTHER),
                stopping(Signal::INT, To::Program),
            ),
            (
                signal(Signal::HUP, OTHER),
                vec![forward(Signal::HUP, To::Program)],
            ),
            (Input::TimeUp, killing(To::Program)),
            (Input::TimeUp, vec![]),
            (Input::Ended(End::Signal(Signal::KILL)), hard()),
            (
                Input::Childless,
                vec![Action::End(End::Signal(Signal::KILL), false)],
            ),
        ],
    );
}

#[test]
fn a_second_request_kills_at_once_but_the_same_one_twice_does_not() {
    let leader = Sender::Leader(7);
    play(
        setting(Control::Shared),
        &[
            (
                at(Signal::TERM, leader, 1000),
                stopping(Signal::TERM, To::Program),
            ),
            (at(Signal::TERM, leader, 1249), vec![]),
            (at(Signal::TERM, leader, 1250), killing(To::Program)),
            (at(Signal::TERM, leader, 2000), vec![]),
        ],
    );
    play(
        setting(Control::None),
        &[
            (
                at(Signal::TERM, OTHER, 0),
                stopping(Signal::TERM, To::Program),
            ),
            (at(Signal::TERM, OTHER, 0), killing(To::Program)),
        ],
    );
    let someone_else = Sender::Other(78);
    let mut to_group = setting(Control::None);
    to_group.forward.to_group = true;
    play(
        to_group,
        &[
            (
                at(Signal::TERM, OTHER, 0),
                stopping(Signal::TERM, To::Group),
            ),
            (at(Signal::TERM, someone_else, 0), killing(To::Group)),
        ],
    );
}

#[test]
fn a_stopped_program_is_continued_so_that_it_can_end() {
    let mut steps = stopping(Signal::TERM, To::Program);
    steps.insert(2, Action::Send(Signal::CONT, To::Program));
    play(
        setting(Control::None),
        &[
            (Input::Stopped(Signal::STOP, Foreground::Elsewhere), vec![]),
            (signal(Signal::TERM, OTHER), steps),
            (Input::Continued, vec![]),
            (
                Input::Stopped(Signal::TSTP, Foreground::Elsewhere),
                vec![Action::Send(Signal::CONT, To::Program)],
            ),
            // One that stops itself over and over waits for its SIGKILL.
            (Input::Stopped(Signal::TSTP, Foreground::Elsewhere), vec![]),
            (Input::TimeUp, killing(To::Program)),
        ],
    );
    play(
        setting(Control::None),
        &[
            (Input::Stopped(Signal::STOP, Foreground::Elsewhere), vec![]),
            (Input::Continued, vec![]),
            (
                signal(Signal::TERM, OTHER),
                stopping(Signal::TERM, To::Program),
            ),
        ],
    );
}

#[test]
fn a_job_that_stops_stops_hushpipe_and_goes_on_with_it() {
    let resumed = vec![Action::GiveTerminal, Action::Send(Signal::CONT, To::Group)];
    for by in [Signal::TSTP, Signal::STOP] {
        let awake = |slept| Input::Awake {
            slept,
            by,
            foreground: Foreground::Ours,
        };
        for slept in [true, false] {
            play(
                setting(Control::Job),
                &[
                    (
                        Input::Stopped(by, Foreground::Programs),
                        vec![Action::TakeTerminal, Action::Suspend(by)],
                    ),
                    (awake(slept), resumed.clone()),
                    (
                        signal(Signal::TERM, OTHER),
                        stopping(Signal::TERM, To::Program),
                    ),
                ],
            );
        }
    }
}

#[test]
fn a_program_that_wants_the_terminal_gets_it_when_it_is_ours_to_give() {
    for by in [Signal::TTIN, Signal::TTOU] {
        let awake = |slept, foreground| Input::Awake {
            slept,
            by,
            foreground,
        };
        let resumed = vec![Action::GiveTerminal, Action::Send(Signal::CONT, To::Group)];
        let stopped = Input::Stopped(by, Foreground::Elsewhere);
        let suspended = vec![Action::TakeTerminal, Action::Suspend(by)];
        let job = || setting(Control::Job);
        play(
            job(),
            &[(Input::Stopped(by, Foreground::Ours), resumed.clone())],
        );
        play(
            job(),
            &[
                (stopped, suspended.clone()),
                (awake(true, Foreground::Elsewhere), resumed),
            ],
        );
        // Nobody would continue us, and the program would only be stopped again.
        play(
            job(),
            &[
                (stopped, suspended),
                (awake(false, Foreground::Elsewhere), vec![]),
            ],
        );
    }
}

#[test]
fn a_stop_is_followed_only_where_there_is_job_control() {
    let elsewhere = Foreground::Elsewhere;
    for signal in [Signal::TSTP, Signal::STOP, Signal::TTIN] {
        play(
            setting(Control::None),
            &[(Input::Stopped(signal, elsewhere), vec![])],
        );
    }
    // kill -STOP of a job in the background: nobody at a terminal waits for it.
    for control in [Control::Job, Control::Shared] {
        play(
            setting(control),
            &[(Input::Stopped(Signal::STOP, elsewhere), vec![])],
        );
    }
    play(
        setting(Control::Shared),
        &[
            (
                Input::Stopped(Signal::TSTP, Foreground::Ours),
                vec![Action::Suspend(Signal::TSTP)],
            ),
            (
                Input::Awake {
                    slept: true,
                    by: Signal::TSTP,
                    foreground: Foreground::Ours,
                },
                vec![Action::Send(Signal::CONT, To::Program)],
            ),
        ],
    );
}

#[test]
fn a_continuation_goes_to_the_whole_job_and_brings_the_terminal() {
    let cont = signal(Signal::CONT, OTHER);
    let (program, group) = (
        forward(Signal::CONT, To::Program),
        forward(Signal::CONT, To::Group),
    );
    play(setting(Control::None), &[(cont, vec![program])]);
    play(setting(Control::Shared), &[(cont, vec![program])]);
    play(
        setting(Control::Job),
        &[(cont, vec![Action::GiveTerminal, group])],
    );
}

#[test]
fn leftovers_are_ended_softly_then_hard_then_given_up() {
    let ended = (
        Input::Ended(CODE),
        vec![Action::TakeTerminal, SWEEP, Action::Timer(TIMEOUT)],
    );
    play(
        setting(Control::Job),
        &[
            ended.clone(),
            (Input::Look, vec![SWEEP]),
            (signal(Signal::WINCH, OTHER), vec![]),
            (Input::Continued, vec![]),
            (Input::Childless, vec![Action::End(CODE, false)]),
            (Input::Look, vec![]),
            (signal(Signal::TERM, OTHER), vec![]),
        ],
    );
    play(
        setting(Control::Job),
        &[
            ended,
            (Input::TimeUp, hard()),
            (Input::Look, vec![Action::Sweep(Signal::KILL)]),
            (signal(Signal::TERM, OTHER), vec![]),
            (Input::TimeUp, vec![Action::End(CODE, true)]),
        ],
    );
}

#[test]
fn a_request_to_end_does_not_wait_for_leftovers() {
    for request in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        play(
            setting(Control::None),
            &[
                (Input::Ended(CODE), vec![SWEEP, Action::Timer(TIMEOUT)]),
                (signal(request, Sender::Itself), vec![]),
                (signal(request, OTHER), hard()),
                (Input::Childless, vec![Action::End(CODE, false)]),
            ],
        );
    }
}

#[test]
fn leftovers_have_what_remains_of_the_time() {
    play(
        setting(Control::None),
        &[
            (
                signal(Signal::TERM, OTHER),
                stopping(Signal::TERM, To::Program),
            ),
            // No new timer: the one that runs goes on.
            (Input::Ended(CODE), vec![SWEEP]),
            (Input::TimeUp, hard()),
        ],
    );
}

#[test]
fn leftovers_are_left_where_it_is_asked_for() {
    let mut leave = setting(Control::Job);
    leave.stop.leftovers = Leftovers::Leave;
    play(
        leave,
        &[
            (
                Input::Ended(CODE),
                vec![Action::TakeTerminal, Action::End(CODE, false)],
            ),
            (Input::TimeUp, vec![]),
        ],
    );
}

#[test]
fn what_belongs_to_later_does_nothing_while_the_program_runs() {
    for input in [
        Input::Look,
        Input::Childless,
        Input::TimeUp,
        Input::Continued,
    ] {
        play(setting(Control::Job), &[(input, vec![])]);
    }
}

#[test]
fn what_the_caller_ignored_asks_hushpipe_for_nothing() {
    let mut rewriting = setting(Control::None);
    let rewrites = [
        (Signal::HUP, Rewrite::To(Signal::TERM)),
        (Signal::INT, Rewrite::Drop),
        (Signal::USR1, Rewrite::Rotate),
    ];
    rewriting.forward.rewrite = BTreeMap::from(rewrites);
    let ignored = |signal| Input::Ignored(signal, OTHER);
    let passed = |signal| (ignored(signal), vec![forward(signal, To::Program)]);
    play(
        rewriting,
        &[
            passed(Signal::HUP),
            passed(Signal::INT),
            (ignored(Signal::USR1), vec![Action::Rotate]),
            // No request to stop.
            passed(Signal::TERM),
            passed(Signal::TERM),
            (
                Input::Ignored(Signal::HUP, Sender::Program),
                vec![forward(Signal::HUP, To::Program)],
            ),
            (Input::Ended(CODE), vec![SWEEP, Action::Timer(TIMEOUT)]),
            (ignored(Signal::INT), vec![]),
            (Input::Childless, vec![Action::End(CODE, false)]),
            (ignored(Signal::INT), vec![]),
        ],
    );
    let shared = Input::Ignored(Signal::INT, Sender::Kernel);
    play(setting(Control::Shared), &[(shared, vec![])]);
}
