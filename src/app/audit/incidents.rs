//! What is recorded of incidents, by a command.

use super::keys::open;
use super::recorder::{PATIENCE, writer};
use crate::audit::{Draft, Entry, Writer};
use crate::model::{AuditSpec, chain};

/// The site's log, for one command.
pub struct IncidentLog<'a> {
    spec: &'a AuditSpec,
    writer: Writer,
}

impl<'a> IncidentLog<'a> {
    /// It is opened with each entry: what keeps it from being written may pass.
    pub fn of(spec: &'a AuditSpec) -> Self {
        let writer = writer("", "hushpipe incident");
        Self { spec, writer }
    }

    /// Puts an entry on record, signed; the error is for a person.
    pub fn put(&self, entry: Entry) -> Result<(), String> {
        let written = open(self.spec).and_then(|mut log| {
            let mut hold = log.hold(PATIENCE)?;
            hold.append(&[Draft::now(entry)], &self.writer, true)?;
            hold.sign()
        });
        written.map_err(|error| format!("the incident is not on record: {}", chain(&error)))
    }
}
