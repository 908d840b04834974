//! Events on their way to the log: they wait in the launcher, and nothing waits for them.

use std::rc::Rc;

use super::entries;
use super::recorder::AuditRecorder;
use crate::model::{Event, Observer};

/// Shows each event to the log, and to another observer.
pub struct Auditing {
    recorder: Rc<AuditRecorder>,
    next: Rc<dyn Observer>,
}

impl Auditing {
    /// In front of another observer.
    pub fn new(recorder: &Rc<AuditRecorder>, next: &Rc<dyn Observer>) -> Self {
        Self {
            recorder: Rc::clone(recorder),
            next: Rc::clone(next),
        }
    }
}

impl Observer for Auditing {
    fn observe(&self, event: &Event) {
        if let Event::Exited { code, .. } = event {
            self.recorder.exited(*code);
        }
        if let Some(entry) = entries::event(event) {
            self.recorder.spool(entry);
        }
        self.next.observe(event);
    }
}
