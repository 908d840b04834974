//! Opens, shows and closes incidents.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use super::contain::{self, Affected, Setting};
use super::place::Place;
use super::suspects::{Found, Wanted};
use crate::app::audit::{IncidentLog, Reading, failed};
use crate::app::control;
use crate::app::failure::{Failure, Failures};
use crate::audit::{Archive, Entry, Kind, Secret};
use crate::model::nearest::nearest;
use crate::model::printable::printable;
use crate::model::{
    AuditSpec, Closing, Detected, Exit, Incident, IncidentNote, IncidentState, Playbook,
    Quarantined, Site, Step, random,
};
use crate::monitor::{Alert, read_alerts, rfc3339};
use crate::sys::{filesystem, host};

/// How long all launchers have to say who they are.
const GLANCE: Duration = Duration::from_secs(5);

/// What an incident is opened with.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Whose secret, or value.
    pub wanted: Wanted,
    /// Why.
    pub reason: &'a str,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What is said while a playbook runs.
#[derive(Debug)]
pub enum Progress<'a> {
    /// It is on the disk: its values are refused from now on.
    Opened(&'a Incident),
    /// A step is done.
    Step(&'a Step),
    /// Something did not work that keeps nothing from going on.
    Warning(String),
}

/// What came of opening one.
#[derive(Debug)]
pub struct Opened {
    /// As it is on the disk.
    pub incident: Incident,
    /// How many launchers have the secret.
    pub launchers: usize,
    /// Not all of it is on record.
    pub unrecorded: bool,
}

/// What a site has for incidents.
struct Host<'a> {
    site: &'a Site,
    audit: &'a AuditSpec,
}

fn wrong(exit: Exit, text: impl Into<String>) -> Failures {
    vec![Failure::new(exit, text.into())]
}

fn os(why: String) -> Failures {
    wrong(Exit::Os, why)
}

impl<'a> Host<'a> {
    fn of(site: Option<&'a Site>) -> Result<Self, Failures> {
        let text = "this host's site has no `audit`: who has a secret is not on record";
        let site = site.ok_or_else(|| wrong(Exit::Manifest, text))?;
        let audit = site
            .audit
            .as_ref()
            .ok_or_else(|| wrong(Exit::Manifest, text))?;
        Ok(Self { site, audit })
    }

    fn place(&self) -> Result<Option<Place>, Failures> {
        Place::open(&self.site.incidents.directory).map_err(os)
    }

    fn all(&self) -> Result<Vec<Incident>, Failures> {
        match self.place()? {
            Some(place) => place.every_one().map_err(os),
            None => Ok(Vec::new()),
        }
    }

    fn playbook(&self, affected: &Affected) -> Playbook {
        let mut playbooks = self.site.incidents.playbooks.iter();
        let found = playbooks.find(|playbook| playbook.fits(&affected.suspect));
        found.cloned().unwrap_or_default()
    }
}

/// Fingerprints of a value that is read from there.
pub fn value(site: Option<&Site>, from: impl Read) -> Result<BTreeSet<String>, Failures> {
    let reading = Reading::new(site, None)?;
    let found = reading.fingerprints(from)?;
    Ok(found.iter().map(|one| one.as_str().to_owned()).collect())
}

/// All incidents, oldest first.
pub fn list(site: Option<&Site>) -> Result<Vec<Incident>, Failures> {
    Host::of(site)?.all()
}

/// Opens an incident, or runs the playbook of an open one again.
pub fn open(
    site: Option<&Site>,
    opening: &Opening<'_>,
    show: &mut dyn FnMut(Progress<'_>),
) -> Result<Opened, Failures> {
    let host = Host::of(site)?;
    let began = Instant::now();
    let archive = Archive::open(&host.audit.directory).map_err(|error| failed(&error))?;
    let found = Found::read(&archive, &opening.wanted).map_err(|error| failed(&error))?;
    if found.suspects.is_empty() {
        return Err(unknown(&opening.wanted, &found));
    }
    let mut incident = incident(&host, opening, &found)?;
    let listing = control::list(GLANCE).map_err(|error| wrong(error.exit(), error.to_string()))?;
    let boot = host::setting("kernel/random/boot_id").unwrap_or_default();
    let holders: Vec<_> = found.holders.into_values().collect();
    let affected = contain::affected(&incident, &listing.seen, &holders, &boot);
    incident.quarantine = quarantine(&host, &affected);
    let launchers = affected.len();
    if opening.dry_run {
        show(Progress::Opened(&incident));
        return Ok(Opened {
            incident,
            launchers,
            unrecorded: false,
        });
    }
    let place = Place::make(&host.site.incidents.directory).map_err(os)?;
    place.write(&incident).map_err(os)?;
    let mut log = Recorded::new(&host);
    log.put(entry(&incident, Kind::IncidentOpened), show);
    show(Progress::Opened(&incident));
    let is_rid = contain(&host, &affected, (&mut incident, &place), &mut log, show);
    incident.state = if is_rid {
        IncidentState::Contained
    } else {
        IncidentState::Open
    };
    let took = began.elapsed().as_millis() as u64;
    incident.contained_ms = is_rid.then_some(incident.contained_ms.unwrap_or(took));
    place.write(&incident).map_err(os)?;
    log.put(settled(&incident), show);
    Ok(Opened {
        incident,
        launchers,
        unrecorded: log.has_failed,
    })
}

/// Runs the playbook on each launcher. `true`: none has any more what it had.
fn contain(
    host: &Host<'_>,
    affected: &[Affected],
    (incident, place): (&mut Incident, &Place),
    log: &mut Recorded<'_>,
    show: &mut dyn FnMut(Progress<'_>),
) -> bool {
    let before = incident.clone();
    let mut is_rid = true;
    for one in affected {
        let setting = Setting {
            playbook: host.playbook(one),
            incident: &before,
        };
        let mut note = |step: Step| {
            log.put(stepped(incident, &step), show);
            show(Progress::Step(&step));
            incident.steps.push(step);
            if let Err(why) = place.write(incident) {
                show(Progress::Warning(why));
            }
        };
        is_rid &= contain::contain(setting, one, &mut note);
    }
    is_rid
}

/// How the playbook came out.
fn settled(incident: &Incident) -> Entry {
    let entry = entry(incident, Kind::IncidentStep).saying(incident.state.word());
    match incident.state {
        IncidentState::Contained => entry,
        _ => entry.failed(),
    }
}

/// The strictest of all that fit.
fn quarantine(host: &Host<'_>, affected: &[Affected]) -> Quarantined {
    let all_by_value = !affected.is_empty()
        && affected
            .iter()
            .all(|one| host.playbook(one).quarantine == Quarantined::Value);
    if all_by_value {
        Quarantined::Value
    } else {
        Quarantined::Secret
    }
}

fn unknown(wanted: &Wanted, found: &Found) -> Failures {
    let Some(name) = &wanted.secret else {
        return wrong(
            Exit::No,
            "no service of this host was given that value, by the record",
        );
    };
    let names = || found.names.iter().map(String::as_str);
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean {}?", printable(near)),
        None if found.names.is_empty() => "no secret is on record yet".to_owned(),
        None => "`hushpipe audit show --kind release` lists what was delivered".to_owned(),
    };
    let of = wanted.service.as_ref();
    let of = of.map_or_else(String::new, |service| {
        format!(" of service {}", printable(service))
    });
    let name = printable(name);
    wrong(
        Exit::Usage,
        format!("no secret {name}{of} is on record: {help}"),
    )
}

/// A new one; or one that is open for the same secret, as it was opened.
fn incident(host: &Host<'_>, opening: &Opening<'_>, found: &Found) -> Result<Incident, Failures> {
    let suspects = found.suspects.values().cloned().collect();
    if let (Some(secret), Some(place)) = (&opening.wanted.secret, host.place()?) {
        let open = place.open_ones().map_err(os)?;
        if let Some(known) = open.into_iter().find(|known| known.secret == *secret) {
            return Ok(Incident {
                suspects,
                state: IncidentState::Containing,
                ..known
            });
        }
    }
    let time = SystemTime::now();
    let stamp: String = humantime::format_rfc3339_seconds(time).to_string();
    let stamp = stamp.replace(['-', ':'], "");
    Ok(Incident {
        version: 1,
        id: format!("{stamp}-{:04x}", random() as u16),
        secret: opening.wanted.secret.clone().unwrap_or_default(),
        reason: printable(opening.reason),
        opened: contain::now(),
        uid: filesystem::effective_uid(),
        detected: detected(host, found),
        state: IncidentState::Containing,
        quarantine: Quarantined::Secret,
        suspects,
        versions: found.versions.clone(),
        fingerprints: found.fingerprints.clone(),
        steps: Vec::new(),
        contained_ms: None,
        closed: None,
    })
}

/// The last alert of the monitor about one of the secrets. What it keeps is another user's, and only shown.
fn detected(host: &Host<'_>, found: &Found) -> Option<Detected> {
    let alerts = read_alerts(&host.site.monitor.directory).unwrap_or_default();
    let is_about = |alert: &Alert| {
        let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
        found
            .suspects
            .contains_key(&(label("service"), label("secret")))
    };
    let last = alerts
        .into_iter()
        .filter(is_about)
        .max_by_key(|alert| alert.fired)?;
    Some(Detected {
        rule: printable(&last.rule),
        began: rfc3339(last.started),
        at: rfc3339(last.fired),
        after_ms: last.fired.saturating_sub(last.started),
    })
}

/// Closes one: nothing is refused for it any more.
pub fn close(
    site: Option<&Site>,
    id: Option<&str>,
    reason: &str,
    warn: &mut dyn FnMut(Progress<'_>),
) -> Result<Opened, Failures> {
    let host = Host::of(site)?;
    let place = host.place()?;
    let open = match &place {
        Some(place) => place.open_ones().map_err(os)?,
        None => Vec::new(),
    };
    let known: Vec<String> = open.iter().map(|one| one.id.clone()).collect();
    let mut fits = open
        .into_iter()
        .filter(|one| id.is_none_or(|id| id == one.id));
    let (Some(mut incident), None, Some(place)) = (fits.next(), fits.next(), &place) else {
        return Err(wrong(
            Exit::Usage,
            match (id, known.as_slice()) {
                (_, []) => "no incident is open".to_owned(),
                (Some(id), known) => {
                    format!(
                        "no incident {} is open: there is {}",
                        printable(id),
                        known.join(", ")
                    )
                }
                (None, known) => {
                    format!("several incidents are open, name one: {}", known.join(", "))
                }
            },
        ));
    };
    incident.state = IncidentState::Closed;
    incident.closed = Some(Closing {
        at: contain::now(),
        uid: filesystem::effective_uid(),
        reason: printable(reason),
    });
    let mut log = Recorded::new(&host);
    let mut closed = entry(&incident, Kind::IncidentClosed);
    closed.message = printable(reason);
    log.put(closed, warn);
    if log.has_failed && host.audit.required {
        let text = "the incident stays open, as its end cannot be recorded";
        return Err(wrong(Exit::Deadline, text));
    }
    place.write(&incident).map_err(os)?;
    Ok(Opened {
        incident,
        launchers: 0,
        unrecorded: log.has_failed,
    })
}

/// The log: what cannot be recorded keeps nothing from being contained.
struct Recorded<'a> {
    log: IncidentLog<'a>,
    has_failed: bool,
}

impl<'a> Recorded<'a> {
    fn new(host: &Host<'a>) -> Self {
        Self {
            log: IncidentLog::of(host.audit),
            has_failed: false,
        }
    }

    fn put(&mut self, entry: Entry, show: &mut dyn FnMut(Progress<'_>)) {
        if let Err(why) = self.log.put(entry)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            show(Progress::Warning(why));
        }
    }
}

/// What is recorded of an incident.
fn entry(incident: &Incident, kind: Kind) -> Entry {
    let secrets = incident.suspects.iter().map(|suspect| Secret {
        name: suspect.secret.clone(),
        store: suspect.store.clone(),
        asked: suspect.asked.clone(),
        classification: suspect.classification.clone(),
        ..Secret::default()
    });
    Entry {
        secrets: secrets.collect(),
        incident: Some(Box::new(IncidentNote {
            id: incident.id.clone(),
            step: None,
            service: String::new(),
            pid: None,
            took_ms: None,
            detected_ms: incident.detected.as_ref().map(|detected| detected.after_ms),
            contained_ms: incident.contained_ms,
        })),
        ..Entry::new(kind)
            .saying(incident.reason.clone())
            .by(Some((crate::sys::process::id(), incident.uid)))
    }
}

fn stepped(incident: &Incident, step: &Step) -> Entry {
    let mut entry = entry(incident, Kind::IncidentStep);
    let outcome = match step.worked {
        Some(true) => "ok",
        Some(false) => "failed",
        None => "not needed",
    };
    entry.message = format!("{} {outcome}: {}", step.step, step.detail);
    entry.secrets.retain(|secret| secret.name == step.secret);
    entry.secrets.truncate(1);
    if let Some(note) = &mut entry.incident {
        note.step = Some(step.step);
        note.service.clone_from(&step.service);
        note.pid = step.pid;
        note.took_ms = Some(step.took_ms);
    }
    if step.worked == Some(false) {
        entry = entry.failed();
    }
    entry
}
