//! What is wrong with stores: each reason reported once while it lasts, and the end of all once.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::model::{Event, Observer, Outcome, StoreName, chain};
use crate::stores::{Fault, LastLine, StoreError};

/// Who met a fault: it lasts until the same one meets it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Who asked for values.
    Asking,
    /// Who looks for changes and renews leases.
    Watching,
}

/// What a store did not give, and why. The text is no part of it, as a command's last words can
/// differ at each try.
type Kind = (StoreName, Option<String>, u8);

struct Outage {
    outcome: Outcome,
    /// The last one that was reported, in words.
    message: String,
    /// The same whenever it is met.
    same: String,
    /// The reasons that each one met last.
    by: BTreeMap<By, BTreeSet<String>>,
}

impl Outage {
    /// Whether a reason lasts that was reported.
    fn has(&self, same: &String) -> bool {
        self.by.values().any(|reasons| reasons.contains(same))
    }

    fn shows(&mut self, fault: &StoreError) {
        self.outcome = fault.outcome();
        self.message = chain(fault);
        self.same = same(fault);
    }
}

/// The faults that last.
pub struct Outages {
    down: BTreeMap<Kind, Outage>,
    observer: Rc<dyn Observer>,
}

impl Outages {
    /// There are none.
    pub fn new(observer: Rc<dyn Observer>) -> Self {
        Self {
            down: BTreeMap::new(),
            observer,
        }
    }

    /// Whether every store answers.
    pub fn is_empty(&self) -> bool {
        self.down.is_empty()
    }

    /// One of them, in words.
    pub fn first(&self) -> Option<&str> {
        let first = self.down.values().next();
        first.map(|outage| outage.message.as_str())
    }

    /// The stores were asked, and these faults met.
    pub fn asked(&mut self, faults: &[StoreError]) {
        self.note(By::Asking, faults);
        let lasting: BTreeSet<Kind> = faults.iter().map(kind_of).collect();
        self.over(By::Asking, |kind| lasting.contains(kind));
    }

    /// A store's watch meets these faults, and no others.
    pub fn watch_is_down(&mut self, faults: &[StoreError]) {
        self.note(By::Watching, faults);
        let stores: BTreeSet<&StoreName> = faults.iter().map(|fault| &fault.store).collect();
        let lasting: BTreeSet<Kind> = faults.iter().map(kind_of).collect();
        self.over(By::Watching, |kind| {
            !stores.contains(&kind.0) || lasting.contains(kind)
        });
    }

    /// A store's watch goes on.
    pub fn watch_is_up(&mut self, store: &StoreName) {
        self.over(By::Watching, |kind| kind.0 != *store);
    }

    /// Nothing is wrong with a store whose people take their time: it says itself what it waits for.
    fn note(&mut self, by: By, faults: &[StoreError]) {
        let mut kinds: BTreeMap<Kind, Vec<&StoreError>> = BTreeMap::new();
        for fault in faults {
            if !matches!(fault.fault, Fault::Unapproved { .. }) {
                kinds.entry(kind_of(fault)).or_default().push(fault);
            }
        }
        for (kind, faults) in kinds {
            self.note_kind(by, kind, &faults);
        }
    }

    /// Each reason is reported once while it lasts. If one of several ends, who asks for the status gets
    /// one that lasts.
    fn note_kind(&mut self, by: By, kind: Kind, faults: &[&StoreError]) {
        let outage = self.down.entry(kind).or_insert_with(|| Outage {
            outcome: faults[0].outcome(),
            message: String::new(),
            same: String::new(),
            by: BTreeMap::new(),
        });
        let mut reasons = BTreeSet::new();
        for fault in faults {
            let same = same(fault);
            if !outage.has(&same) && !reasons.contains(&same) {
                outage.shows(fault);
                self.observer.observe(&Event::StoreFault {
                    store: fault.store.clone(),
                    outcome: outage.outcome,
                    message: outage.message.clone(),
                });
            }
            reasons.insert(same);
        }
        outage.by.insert(by, reasons);
        if !outage.has(&outage.same)
            && let Some(fault) = faults.last()
        {
            outage.shows(fault);
            self.observer.observe(&Event::StoreStill {
                store: fault.store.clone(),
                outcome: outage.outcome,
                message: outage.message.clone(),
            });
        }
    }

    /// Forgets what does not last, and says which stores have no fault any more.
    fn over(&mut self, by: By, lasts: impl Fn(&Kind) -> bool) {
        let mut less = BTreeSet::new();
        self.down.retain(|kind, outage| {
            if !lasts(kind) {
                outage.by.remove(&by);
            }
            if outage.by.is_empty() {
                less.insert(kind.0.clone());
            }
            !outage.by.is_empty()
        });
        for store in less {
            let last = self.down.iter().find(|(kind, _)| kind.0 == store);
            let event = match last.map(|(_, outage)| (outage.outcome, outage.message.clone())) {
                Some((outcome, message)) => Event::StoreStill {
                    store,
                    outcome,
                    message,
                },
                None => Event::StoreRecovered { store },
            };
            self.observer.observe(&event);
        }
    }
}

fn kind_of(fault: &StoreError) -> Kind {
    let asked = fault.asked.clone().filter(|_| !fault.is_of_the_store());
    (fault.store.clone(), asked, fault.exit().code())
}

/// In words that do not tell one secret of the store from another, nor one time from another: what a
/// command said last may be another thing at each try.
fn same(fault: &StoreError) -> String {
    let mut same = fault.at_any_time();
    same.asked = None;
    if let Fault::Program { last_line, .. } = &mut same.fault {
        *last_line = LastLine::None;
    }
    chain(&same)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Said(RefCell<Vec<String>>);

    impl Observer for Said {
        fn observe(&self, event: &Event) {
            self.0.borrow_mut().push(match event {
                Event::StoreFault { store, .. } => format!("{store} down"),
                Event::StoreStill { store, message, .. } => format!("{store} still: {message}"),
                Event::StoreRecovered { store } => format!("{store} up"),
                other => format!("{other:?}"),
            });
        }
    }

    fn fault(store: &str, asked: &str, fault: Fault) -> StoreError {
        StoreError {
            store: StoreName::new(store).unwrap(),
            asked: Some(asked.to_owned()),
            fault,
        }
    }

    fn no_answer(store: &str, asked: &str) -> StoreError {
        no_answer_as(store, asked, "refused", 1)
    }

    fn no_answer_as(store: &str, asked: &str, cause: &str, seconds: u64) -> StoreError {
        let after = Duration::from_secs(seconds);
        let (address, cause) = ("http://x".to_owned(), cause.to_owned());
        fault(
            store,
            asked,
            Fault::NoAnswer {
                address,
                after,
                cause,
            },
        )
    }

    fn missing(store: &str, asked: &str) -> StoreError {
        let hint = String::new();
        fault(store, asked, Fault::Missing { hint })
    }

    #[test]
    fn a_fault_is_said_once_and_its_end_when_nobody_meets_it_any_more() {
        let said = Rc::new(Said::default());
        let mut outages = Outages::new(Rc::clone(&said) as Rc<dyn Observer>);
        let a = StoreName::new("a").unwrap();
        outages.watch_is_down(&[no_answer("a", "x")]);
        outages.watch_is_down(&[no_answer("a", "y")]);
        outages.asked(&[no_answer("a", "y"), missing("b", "x")]);
        outages.watch_is_up(&a);
        assert_eq!(outages.down.len(), 2);
        outages.asked(&[missing("b", "y")]);
        assert!(!outages.is_empty());
        outages.asked(&[]);
        assert!(outages.is_empty());
        let still = format!("b still: {}", chain(&missing("b", "y")));
        let expected = ["a down", "b down", "b down", "a up", &still, "b up"];
        assert_eq!(*said.0.borrow(), expected);
    }

    #[test]
    fn another_reason_is_reported_once_and_not_at_each_poll() {
        let said = Rc::new(Said::default());
        let mut outages = Outages::new(Rc::clone(&said) as Rc<dyn Observer>);
        let polls = [
            ("sealed", 1),
            ("sealed", 2),
            ("refused", 3),
            ("refused", 5),
            ("sealed", 6),
        ];
        for (cause, seconds) in polls {
            let fault = [no_answer_as("a", "x", cause, seconds)];
            outages.watch_is_down(&fault);
            outages.asked(&fault);
            assert_eq!(
                outages.first(),
                Some(chain(&no_answer_as("a", "x", cause, said_at(seconds))).as_str())
            );
        }
        outages.asked(&[]);
        outages.watch_is_up(&StoreName::new("a").unwrap());
        assert_eq!(*said.0.borrow(), ["a down", "a down", "a down", "a up"]);
    }

    /// When the reason was reported that is met after so long.
    fn said_at(seconds: u64) -> u64 {
        match seconds {
            2 => 1,
            5 => 3,
            other => other,
        }
    }

    #[test]
    fn two_reasons_at_once_are_not_changes_of_one_another() {
        let said = Rc::new(Said::default());
        let mut outages = Outages::new(Rc::clone(&said) as Rc<dyn Observer>);
        for seconds in 1..4 {
            outages.watch_is_down(&[
                no_answer_as("a", "x", "refused", seconds),
                no_answer_as("a", "y", "sealed", seconds),
            ]);
            outages.asked(&[no_answer_as("a", "z", "reset", seconds)]);
        }
        assert_eq!(*said.0.borrow(), ["a down", "a down", "a down"]);
        outages.asked(&[]);
        outages.watch_is_down(&[no_answer_as("a", "x", "refused", 9)]);
        let still = chain(&no_answer_as("a", "x", "refused", 9));
        let last = said.0.borrow().last().cloned();
        assert_eq!(last, Some(format!("a still: {still}")));
    }

    #[test]
    fn what_a_command_said_last_is_no_reason() {
        let said = Rc::new(Said::default());
        let mut outages = Outages::new(Rc::clone(&said) as Rc<dyn Observer>);
        for (ended, line) in [
            ("exit code 1", "at 10:01"),
            ("exit code 1", "at 10:02"),
            ("exit code 2", "at 10:03"),
        ] {
            let program = Fault::Program {
                program: "pass".to_owned(),
                ended: ended.to_owned(),
                last_line: LastLine::Shown(line.to_owned()),
            };
            outages.asked(&[fault("a", "x", program)]);
        }
        assert_eq!(*said.0.borrow(), ["a down", "a down"]);
    }

    #[test]
    fn a_fault_that_lasts_does_not_hide_another() {
        let said = Rc::new(Said::default());
        let mut outages = Outages::new(Rc::clone(&said) as Rc<dyn Observer>);
        let lasting = || missing("a", "x");
        outages.watch_is_down(&[lasting()]);
        outages.watch_is_down(&[lasting(), no_answer("a", "y")]);
        outages.watch_is_down(&[lasting()]);
        outages.watch_is_up(&StoreName::new("a").unwrap());
        let still = format!("a still: {}", chain(&lasting()));
        let expected = ["a down", "a down", &still, "a up"];
        assert_eq!(*said.0.borrow(), expected);
    }
}
