//! What holds whatever comes, in whatever order: the machine is fed at random.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

fn a_signal() -> impl Strategy<Value = Signal> {
    // Every third one is a request to end.
    let some = [15, 15, 15, 1, 2, 3, 10, 18, 20, 28, 34];
    prop::sample::select(some.to_vec()).prop_map(|number| Signal::from_number(number).unwrap())
}

fn a_sender() -> impl Strategy<Value = Sender> {
    prop::sample::select(vec![
        Sender::Kernel,
        Sender::Itself,
        Sender::Program,
        Sender::Member(5),
        Sender::Leader(6),
        Sender::Other(7),
    ])
}

fn a_foreground() -> impl Strategy<Value = Foreground> {
    prop::sample::select(vec![
        Foreground::Ours,
        Foreground::Programs,
        Foreground::Elsewhere,
    ])
}

fn an_input() -> impl Strategy<Value = Input> {
    let at = (0_u64..2000).prop_map(Duration::from_millis);
    let stops = prop::sample::select(vec![Signal::STOP, Signal::TSTP, Signal::TTIN]);
    let awake = (any::<bool>(), stops.clone(), a_foreground());
    prop_oneof![
        8 => (a_signal(), a_sender(), at.clone())
            .prop_map(|(signal, sender, at)| Input::Signal { signal, sender, at }),
        2 => (a_signal(), a_sender()).prop_map(|(signal, sender)| Input::Ignored(signal, sender)),
        2 => at.prop_map(|at| Input::Replace { at }),
        2 => (stops, a_foreground()).prop_map(|(by, whose)| Input::Stopped(by, whose)),
        1 => awake.prop_map(|(slept, by, foreground)| Input::Awake { slept, by, foreground }),
        1 => Just(Input::Continued),
        2 => Just(Input::Ended(End::Code(3))),
        2 => Just(Input::TimeUp),
        1 => Just(Input::Look),
        1 => Just(Input::Childless),
    ]
}

fn a_rewrite() -> impl Strategy<Value = BTreeMap<Signal, Rewrite>> {
    let to = prop_oneof![
        a_signal().prop_map(Rewrite::To),
        Just(Rewrite::Drop),
        Just(Rewrite::Rotate)
    ];
    prop::collection::btree_map(a_signal(), to, 0..3)
}

fn a_setting() -> impl Strategy<Value = Setting> {
    let control = prop::sample::select(vec![Control::None, Control::Job, Control::Shared]);
    let leftovers = prop::sample::select(vec![Leftovers::Terminate, Leftovers::Leave]);
    let flags = (any::<bool>(), any::<bool>());
    (control, leftovers, flags, a_rewrite()).prop_map(|(control, leftovers, flags, rewrite)| {
        let (to_group, session_leader) = flags;
        Setting {
            stop: Stop {
                signal: Signal::TERM,
                timeout: TIMEOUT,
                leftovers,
            },
            forward: Forward { to_group, rewrite },
            control,
            session_leader,
        }
    })
}

/// What was seen of a machine so far.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // Each is or is not, whatever the others are.
struct Seen {
    ended: bool,
    over: bool,
    killed: bool,
    stopping: bool,
    /// Somebody else than the program asked hushpipe to end.
    asked: bool,
}

impl Seen {
    fn input(&mut self, setting: &Setting, input: Input) {
        let Input::Signal { signal, sender, .. } = input else {
            self.ended |= matches!(input, Input::Ended(_));
            return;
        };
        let of_others = !matches!(sender, Sender::Itself | Sender::Program | Sender::Kernel);
        let rewrite = setting.forward.rewrite.get(&signal);
        let kept = matches!(rewrite, Some(Rewrite::Drop | Rewrite::Rotate));
        self.asked |= of_others && signal == Signal::TERM && !kept && !self.over;
    }

    fn action(&mut self, setting: &Setting, input: Input, action: Action) {
        assert!(!self.over, "{action:?} after the end");
        if self.ended {
            let of_the_end = matches!(
                action,
                Action::TakeTerminal | Action::Sweep(_) | Action::Timer(_) | Action::End(..)
            );
            assert!(of_the_end, "{action:?} to a program that is gone");
        }
        match action {
            Action::Forward { .. } => {
                let (Input::Signal { sender, .. } | Input::Ignored(_, sender)) = input else {
                    panic!("{action:?} of {input:?}");
                };
                assert_ne!(sender, Sender::Itself, "an echo");
            }
            Action::Send(Signal::KILL, _) => {
                assert!(!std::mem::replace(&mut self.killed, true), "killed twice");
                assert!(self.stopping, "killed, and nobody asked");
            }
            Action::Timer(_) => self.stopping = true,
            Action::Suspend(_) => assert_ne!(setting.control, Control::None),
            Action::GiveTerminal | Action::TakeTerminal => {
                assert_eq!(setting.control, Control::Job);
            }
            Action::End(..) => self.over = true,
            _ => {}
        }
        if let Action::Forward { to, .. } | Action::Send(_, to) = action {
            let others_too = to == To::Group && setting.control == Control::Shared;
            assert!(!others_too, "{action:?} to a group that others are in");
        }
    }

    fn feed(&mut self, state: &mut State, setting: &Setting, input: Input) -> Vec<Action> {
        let actions = state.on(input);
        self.input(setting, input);
        for action in &actions {
            self.action(setting, input, *action);
        }
        assert!(
            !(self.asked && state.is_replaced() && !state.is_asked_late()),
            "another program after a request to end"
        );
        actions
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_nobody_is_signalled_twice_late_or_wrongly(
        setting in a_setting(),
        inputs in prop::collection::vec(an_input(), 0..40),
    ) {
        let mut state = State::new(setting.clone());
        let mut seen = Seen::default();
        for input in inputs {
            // A program ends once, and has no children of hushpipe's left before it has ended.
            let again = seen.ended && matches!(input, Input::Ended(_));
            if !again {
                seen.feed(&mut state, &setting, input);
            }
        }
        // From wherever it is, it comes to an end: by the program's, or by its kill.
        if seen.stopping && !seen.ended && !seen.killed {
            let actions = seen.feed(&mut state, &setting, Input::TimeUp);
            let kill = |action: &Action| matches!(action, Action::Send(Signal::KILL, _));
            prop_assert!(actions.iter().any(kill), "{actions:?}");
        }
        if !seen.ended {
            seen.feed(&mut state, &setting, Input::Ended(End::Code(3)));
        }
        // Leftovers that stay are killed and then given up.
        for _ in 0..2 {
            seen.feed(&mut state, &setting, Input::TimeUp);
        }
        prop_assert!(seen.over);
    }
}
