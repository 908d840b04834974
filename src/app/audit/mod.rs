//! The site's audit log: releases are recorded before they are delivered, and everything else beside the
//! program.

#[cfg(feature = "monitor")]
mod cosign;
#[cfg(feature = "monitor")]
mod direct;
mod entries;
#[cfg(feature = "monitor")]
mod incidents;
mod keys;
mod looks;
mod observer;
mod reading;
mod recorder;
#[cfg(feature = "monitor")]
mod witness;

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use super::failure::{Failure, Failures};
#[cfg(feature = "monitor")]
pub use cosign::Cosigner;
#[cfg(feature = "monitor")]
pub use incidents::IncidentLog;
use keys::fingerprint_key;
use observer::Auditing;
pub use reading::{Compared, Filter, Reading, Row};
#[cfg(feature = "monitor")]
pub use reading::{failed, witness_key};
use recorder::{AuditRecorder, Shared};
#[cfg(feature = "monitor")]
pub use witness::{WitnessPlace, print_key, serve as serve_witness};

use crate::audit::Kind;
use crate::model::query::Query;
use crate::model::words::Words as _;
use crate::model::{
    AuditError, AuditSpec, Exit, NoSite, Observer, Plan, Recorder, SecretName, chain,
};
use crate::secret::{FingerprintKey, SecretBytes, Value};

/// The kinds of records, by name.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    Kind::TABLE.iter().map(|(word, _)| *word)
}

/// Who writes records.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The launcher of this plan.
    Launcher(&'a Plan),
    /// A command, by its words, on secrets of a service, if it is about one.
    Command(&'static str, Option<&'a Plan>),
}

fn why(failures: &Failures) -> Option<String> {
    let first = failures.first()?;
    Some(chain(&*first.error))
}

/// A site's log, where it has one.
#[derive(Clone, Default)]
pub struct Audit {
    recorder: Option<Rc<AuditRecorder>>,
    fingerprints: Option<Rc<FingerprintKey>>,
}

impl Audit {
    /// The log that a site wants. It is not opened yet; the key of fingerprints is read.
    pub fn of(
        spec: Option<&AuditSpec>,
        by: By<'_>,
        observer: &Rc<dyn Observer>,
    ) -> Result<Self, Failures> {
        let Some(spec) = spec else {
            return Ok(Self::default());
        };
        if cfg!(not(feature = "monitor")) && spec.direct.is_some() {
            let text = "the site's `audit.direct` needs a build with the feature `monitor`";
            return Err(vec![Failure::new(Exit::Manifest, text.to_owned())]);
        }
        let fingerprints = fingerprint_key(spec)?;
        let (service, program) = match by {
            By::Launcher(plan) => (&*plan.service, plan.run.shown().swap_remove(0)),
            By::Command(words, plan) => (plan.map_or("", |plan| &*plan.service), words.to_owned()),
        };
        let writer = recorder::writer(service, &program);
        let recorder = AuditRecorder::new(spec, writer, observer);
        if matches!(by, By::Launcher(_)) {
            recorder.started();
        }
        Ok(Self {
            recorder: Some(Rc::new(recorder)),
            fingerprints,
        })
    }

    /// What sees the events of a launch.
    pub fn observer(&self, next: &Rc<dyn Observer>) -> Rc<dyn Observer> {
        match &self.recorder {
            Some(recorder) => Rc::new(Auditing::new(recorder, next)),
            None => Rc::clone(next),
        }
    }

    /// What the gate records by.
    pub fn recorder(&self) -> Box<dyn Recorder> {
        match &self.recorder {
            Some(recorder) => Box::new(Shared(Rc::clone(recorder))),
            None => Box::new(NoSite),
        }
    }

    /// Of values, where the site has a key for that.
    pub fn fingerprints(
        &self,
        values: &BTreeMap<SecretName, Rc<Value>>,
    ) -> Vec<(SecretName, Vec<[u8; 32]>)> {
        let Some(key) = &self.fingerprints else {
            return Vec::new();
        };
        let values = values.iter();
        values
            .map(|(name, value)| (name.clone(), key.of_value(value)))
            .collect()
    }

    /// Puts on record which version of sealed secrets a person is about to see. Nothing of it is shown before.
    pub fn revealed(
        &self,
        queries: &[Query],
        version: u64,
        value: &SecretBytes,
    ) -> Result<(), Failures> {
        let Some(recorder) = &self.recorder else {
            return Ok(());
        };
        let fingerprint = self.fingerprints.as_ref().map(|key| key.of(value.expose()));
        let entry = entries::revealed(queries, version, fingerprint);
        let recorded = recorder.put_at_once(entry.into_iter().collect());
        let recorded = recorded.and_then(|()| recorder.confirm_now());
        recorded.map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }

    /// Writes what comes beside a launch, and its end.
    pub async fn beside<T>(
        &self,
        launch: impl Future<Output = Result<T, Failures>>,
    ) -> Result<T, Failures> {
        let Some(recorder) = &self.recorder else {
            return launch.await;
        };
        let ended = tokio::select! {
            biased;
            ended = launch => ended,
            never = recorder.run() => match never {},
        };
        recorder.end(ended.as_ref().err().and_then(why));
        recorder.feed().await;
        ended
    }

    /// Writes what a command left to be written, and signs.
    pub fn settle(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.settle();
            recorder.feed_now();
        }
    }

    /// Ends when all is on record that came before, and signed: hushpipe is about to become the program.
    pub async fn leave(&self) -> Result<(), Failures> {
        let Some(recorder) = &self.recorder else {
            return Ok(());
        };
        let left = recorder.leave().await;
        left.map_err(|error| vec![Failure::new(AuditError::EXIT, error)])
    }

    /// hushpipe did not become the program after all.
    pub fn stayed(&self, failures: &Failures) {
        if let Some(recorder) = &self.recorder {
            recorder.stayed(why(failures));
        }
    }

    /// Records that a status was asked for: no event says that.
    pub fn status_read(&self, (pid, uid): (i32, u32)) {
        if let Some(recorder) = &self.recorder {
            recorder.status_read((pid, uid));
        }
    }
}
