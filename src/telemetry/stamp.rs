//! Puts events into envelopes, for all who take them.

use std::cell::Cell;
use std::time::SystemTime;

use crate::model::{Envelope, Event, Generation, Observer};
use crate::sys::process;

/// Takes events: the log; audit and metrics.
pub trait Sink {
    /// Takes note of one.
    fn take(&self, envelope: &Envelope<'_>);
}

/// A launcher's observer: numbers its events and hands each to every sink, the first sink first.
pub struct Stamp {
    service: String,
    seq: Cell<u64>,
    generation: Cell<Generation>,
    sinks: Vec<Box<dyn Sink>>,
}

impl Stamp {
    /// For a launch of this service; empty, where there is none.
    pub fn new(service: &str, sinks: Vec<Box<dyn Sink>>) -> Self {
        Self {
            service: service.to_owned(),
            seq: Cell::new(0),
            generation: Cell::new(Generation::FIRST),
            sinks,
        }
    }
}

impl Observer for Stamp {
    fn observe(&self, event: &Event) {
        self.seq.set(self.seq.get() + 1);
        if let Event::Delivered { generation, .. }
        | Event::Rotated { generation, .. }
        | Event::RolledBack { generation, .. } = event
        {
            self.generation.set(*generation);
        }
        let envelope = Envelope {
            seq: self.seq.get(),
            time: SystemTime::now(),
            launcher: process::id() as u32,
            service: &self.service,
            generation: self.generation.get(),
            event,
        };
        for sink in &self.sinks {
            sink.take(&envelope);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;

    type Numbers = Rc<RefCell<Vec<(u64, u64)>>>;

    struct Taken(Numbers);

    impl Sink for Taken {
        fn take(&self, envelope: &Envelope<'_>) {
            let numbers = (envelope.seq, envelope.generation.0);
            self.0.borrow_mut().push(numbers);
        }
    }

    #[test]
    fn events_are_numbered_and_belong_to_a_generation() {
        let taken = Numbers::default();
        let sinks: [Box<dyn Sink>; 2] = [
            Box::new(Taken(Rc::clone(&taken))),
            Box::new(Taken(Rc::clone(&taken))),
        ];
        let stamp = Stamp::new("app", sinks.into());
        stamp.observe(&Event::Killed);
        stamp.observe(&Event::Rotated {
            generation: Generation(2),
            took: Duration::ZERO,
            changes: Vec::new(),
        });
        stamp.observe(&Event::Killed);
        let expected = [(1, 1), (1, 1), (2, 2), (2, 2), (3, 2), (3, 2)];
        assert_eq!(*taken.borrow(), expected);
    }
}
