//! Who has a secret, by the record: services and their names for it, and the versions and values that they had.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Archive, Entry, Kind, LogError, Record, Secret};
use crate::model::{Compromised, Suspect, Why};

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A secret by its name; `None`: by a value.
    pub secret: Option<String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Of a value that leaked.
    pub fingerprints: BTreeSet<String>,
}

/// A launcher that has some of it, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, as it sees itself.
    pub pid: i32,
    /// The boot that it is of.
    pub boot: String,
    /// Its service.
    pub service: String,
    /// Its names for the secrets.
    pub secrets: BTreeSet<String>,
    /// It became the program.
    pub is_program: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Each once.
    pub suspects: BTreeMap<(String, String), Suspect>,
    /// Versions that were delivered.
    pub versions: BTreeSet<Compromised>,
    /// Fingerprints of their values.
    pub fingerprints: BTreeSet<String>,
    /// Launchers that had not ended, by id.
    pub holders: BTreeMap<String, Holder>,
    /// The names of all secrets on record, for a hint.
    pub names: BTreeSet<String>,
}

type Place = (String, String);

impl Found {
    /// Reads the log twice: first what was meant, then who else has the same.
    pub fn read(archive: &Archive, wanted: &Wanted) -> Result<Self, LogError> {
        let mut found = Self {
            fingerprints: wanted.fingerprints.clone(),
            ..Self::default()
        };
        let mut places: BTreeSet<Place> = BTreeSet::new();
        each(archive, |record, secret| {
            found.names.insert(secret.name.clone());
            let service = &*record.service;
            let is_service = wanted
                .service
                .as_ref()
                .is_none_or(|wanted| wanted == service);
            let is_named = wanted
                .secret
                .as_ref()
                .is_some_and(|name| *name == secret.name);
            let is_value = has_value(secret, &wanted.fingerprints);
            if is_service && (is_named || is_value) {
                let why = if is_named { Why::Named } else { Why::Value };
                found.add(service, secret, why);
                places.insert((secret.store.clone(), secret.asked.clone()));
            }
        })?;
        let values = found.fingerprints.clone();
        each(archive, |record, secret| {
            let place = (secret.store.clone(), secret.asked.clone());
            if has_value(secret, &values) {
                found.add(&record.service, secret, Why::Value);
            } else if places.contains(&place) && !secret.asked.is_empty() {
                found.add(&record.service, secret, Why::Store);
            }
        })?;
        found.hold(archive)?;
        Ok(found)
    }

    fn add(&mut self, service: &str, secret: &Secret, why: Why) {
        let key = (service.to_owned(), secret.name.clone());
        self.suspects.entry(key).or_insert_with(|| Suspect {
            service: service.to_owned(),
            secret: secret.name.clone(),
            store: secret.store.clone(),
            asked: secret.asked.clone(),
            classification: secret.classification.clone(),
            why,
        });
        self.versions.insert(Compromised {
            store: secret.store.clone(),
            asked: secret.asked.clone(),
            version: secret.version.clone(),
        });
        let values = secret.fingerprints.iter();
        self.fingerprints
            .extend(values.map(|value| value.as_str().to_owned()));
    }

    /// Launchers that were given some of it, and have not ended by the record.
    fn hold(&mut self, archive: &Archive) -> Result<(), LogError> {
        let suspects = &self.suspects;
        let holders = &mut self.holders;
        archive.lines(0, |line| {
            let Ok(record) = Record::parse(line.text) else {
                return Ok(true);
            };
            let entry = &record.entry;
            let is_suspect = |secret: &Secret| {
                suspects.contains_key(&(record.service.as_ref().to_owned(), secret.name.clone()))
            };
            match entry.kind {
                Kind::Release if entry.secrets.iter().any(is_suspect) => {
                    let launcher = record.launcher.as_ref().to_owned();
                    let holder = holders.entry(launcher).or_insert_with(|| Holder {
                        pid: record.pid,
                        boot: record.boot.as_ref().to_owned(),
                        service: record.service.as_ref().to_owned(),
                        secrets: BTreeSet::new(),
                        is_program: false,
                    });
                    let secrets = entry.secrets.iter().filter(|secret| is_suspect(secret));
                    holder
                        .secrets
                        .extend(secrets.map(|secret| secret.name.clone()));
                }
                Kind::End => end(holders, &record.launcher, entry),
                _ => {}
            }
            Ok(true)
        })
    }
}

/// One that became the program may still have it.
fn end(holders: &mut BTreeMap<String, Holder>, launcher: &str, entry: &Entry) {
    if entry.status_id == 1 && entry.message == crate::audit::BECOMES {
        if let Some(holder) = holders.get_mut(launcher) {
            holder.is_program = true;
        }
    } else {
        holders.remove(launcher);
    }
}

fn has_value(secret: &Secret, values: &BTreeSet<String>) -> bool {
    let mut fingerprints = secret.fingerprints.iter();
    fingerprints.any(|one| values.contains(one.as_str()))
}

/// Each secret of each release.
fn each(archive: &Archive, mut take: impl FnMut(&Record<'_>, &Secret)) -> Result<(), LogError> {
    archive.lines(0, |line| {
        if let Ok(record) = Record::parse(line.text)
            && record.entry.kind == Kind::Release
        {
            for secret in &record.entry.secrets {
                take(&record, secret);
            }
        }
        Ok(true)
    })
}
