//! What is wrong with stores: each fault said once while it lasts, and its end once.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::app::failure::chain;
use crate::model::{Event, Observer, StoreName};
use crate::stores::{Fault, StoreError};

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
    message: String,
    by: BTreeSet<By>,
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
        for fault in faults {
            self.note(By::Asking, fault);
        }
        let lasting: BTreeSet<Kind> = faults.iter().map(kind_of).collect();
        self.over(By::Asking, |kind| lasting.contains(kind));
    }

    /// A store's watch met a fault.
    pub fn watch_is_down(&mut self, fault: &StoreError) {
        self.note(By::Watching, fault);
        let lasting = kind_of(fault);
        self.over(By::Watching, |kind| {
            kind.0 != fault.store || *kind == lasting
        });
    }

    /// A store's watch goes on.
    pub fn watch_is_up(&mut self, store: &StoreName) {
        self.over(By::Watching, |kind| kind.0 != *store);
    }

    fn note(&mut self, by: By, fault: &StoreError) {
        let outage = self.down.entry(kind_of(fault)).or_insert_with(|| {
            let message = chain(fault);
            self.observer.observe(&Event::StoreFault {
                store: fault.store.clone(),
                message: message.clone(),
            });
            Outage {
                message,
                by: BTreeSet::new(),
            }
        });
        outage.by.insert(by);
    }

    /// Forgets what does not last, and says which stores have no fault any more.
    fn over(&mut self, by: By, lasts: impl Fn(&Kind) -> bool) {
        let before = self.stores();
        self.down.retain(|kind, outage| {
            if !lasts(kind) {
                outage.by.remove(&by);
            }
            !outage.by.is_empty()
        });
        for store in before.difference(&self.stores()) {
            self.observer.observe(&Event::StoreRecovered {
                store: store.clone(),
            });
        }
    }

    fn stores(&self) -> BTreeSet<StoreName> {
        self.down.keys().map(|(store, ..)| store.clone()).collect()
    }
}

fn kind_of(fault: &StoreError) -> Kind {
    let asked = match fault.fault {
        // All of the store: which secret it was asked for first says nothing.
        Fault::Unreachable { .. }
        | Fault::NoAnswer { .. }
        | Fault::Program { .. }
        | Fault::Deadline { .. } => None,
        _ => fault.asked.clone(),
    };
    (fault.store.clone(), asked, fault.exit().code())
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
        let after = Duration::from_secs(1);
        let (address, cause) = ("http://x".to_owned(), "refused".to_owned());
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
        outages.watch_is_down(&no_answer("a", "x"));
        outages.watch_is_down(&no_answer("a", "y"));
        outages.asked(&[no_answer("a", "y"), missing("b", "x")]);
        outages.watch_is_up(&a);
        assert_eq!(outages.down.len(), 2);
        outages.asked(&[missing("b", "y")]);
        assert!(!outages.is_empty());
        outages.asked(&[]);
        assert!(outages.is_empty());
        let expected = ["a down", "b down", "b down", "a up", "b up"];
        assert_eq!(*said.0.borrow(), expected);
    }
}
