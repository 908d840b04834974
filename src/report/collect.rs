//! Puts the graph together, record by record. Nothing of a record is kept but names, times and counts; of a
//! fingerprint, its first 128 bits.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::declared::{Declared, Manifest, Origin, Scan};
use super::figures::Figures;
use super::graph::{Approval, Host, PolicyUse, Program, Secret, Service, Store};
use super::line;
use super::line::{Facts, Line, Query};
use super::moment::Moment;
use super::table::{Table, clean};
use crate::model::{Plan, Site};

/// So many fingerprints are compared; later ones are counted alone.
const FINGERPRINTS: usize = 8 << 20;

/// So many approvals are listed, and digests of a program.
const LISTED: usize = 100_000;
const DIGESTS: usize = 64;

/// Records to graph.
#[derive(Debug, Default)]
pub struct Collector {
    pub(super) hosts: Table<Host>,
    pub(super) services: Table<Service>,
    pub(super) stores: Table<Store>,
    pub(super) secrets: Table<Row>,
    pub(super) programs: Table<Program>,
    pub(super) deliveries: Table<String>,
    pub(super) policies: Table<Ruled>,
    pub(super) reveals: HashMap<(u32, String, u32), (u64, Moment)>,
    pub(super) uses: HashMap<[u32; 4], Delivered>,
    pub(super) launchers: HashMap<(u32, u64), Launcher>,
    /// The last boot of each host.
    pub(super) boots: HashMap<u32, u64>,
    /// By host, boot and number: a bit for each record.
    pub(super) numbers: HashMap<(u32, u64, u64), Box<[u64; 64]>>,
    pub(super) fingerprints: HashMap<u128, u32>,
    /// Pairs of secrets with a fingerprint in common.
    pub(super) common: HashSet<(u32, u32)>,
    pub(super) approvals: Vec<Approval>,
    pub(super) declared: Declared,
    pub(super) figures: Figures,
    /// Later records are not taken.
    until: Option<Moment>,
    pub(super) newest: Moment,
    pub(super) records: u64,
    pub(super) duplicates: u64,
    pub(super) damaged: u64,
}

/// A secret, with what its store's name is and its current fingerprints.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub secret: Secret,
    pub values: Vec<u128>,
    /// When the version that is released next was made, as policy was told.
    pub dated: Moment,
}

/// A policy, and what it ruled on.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    pub policy: PolicyUse,
    pub secrets: BTreeSet<u32>,
    pub services: BTreeSet<u32>,
}

/// Releases of a secret to a service.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Of the last release.
    pub delivery: u32,
    pub first: Moment,
    pub last: Moment,
    pub releases: u64,
    pub running: u32,
}

/// A launcher that was not seen to end.
#[derive(Debug, Default)]
pub(super) struct Launcher {
    boot: u64,
    environment: String,
    uses: HashSet<[u32; 4]>,
}

fn put(field: &mut String, text: &str) {
    if !text.is_empty() && field != text {
        *field = clean(text).into_owned();
    }
}

impl Collector {
    /// One that counts what happens from one time on, and takes no record of after another one.
    pub fn of_period(since: Option<Moment>, until: Option<Moment>) -> Self {
        let mut collector = Self {
            until,
            ..Self::default()
        };
        collector.figures.since = since.unwrap_or_default();
        collector
    }

    /// Takes a line of a log. An error says why it is no record; it is counted.
    pub fn line(&mut self, origin: Origin, bytes: &[u8]) -> Result<(), &'static str> {
        let line = Line::parse(bytes).inspect_err(|_| self.damaged += 1)?;
        let time = Moment::parse(&line.time)
            .ok_or("its time is none")
            .inspect_err(|_| {
                self.damaged += 1;
            })?;
        if self.until.is_some_and(|until| time > until) {
            return Ok(());
        }
        let host = self.hosts.row(&[&line.host], || Host {
            name: clean(&line.host).into_owned(),
            ..Host::default()
        });
        if !self.is_new(host, &line) {
            self.duplicates += 1;
            return Ok(());
        }
        self.declared.seen(origin, host);
        self.records += 1;
        self.newest = self.newest.max(time);
        let row = self.hosts.get(host);
        row.first = row.first.earliest(time);
        row.last = row.last.max(time);
        row.records += 1;
        self.figures.take(host, number(&line.launcher), time, &line);
        self.take(host, time, &line);
        Ok(())
    }

    /// A line that is too long, or has no end.
    pub fn cut(&mut self) {
        self.damaged += 1;
    }

    /// Whether this record was not read before: sinks send some twice, and a log may be given twice.
    fn is_new(&mut self, host: u32, line: &Line<'_>) -> bool {
        let boot = number(&line.boot);
        self.boots.insert(host, boot);
        let key = (host, boot, line.seq >> 12);
        let seen = self.numbers.entry(key).or_insert_with(|| Box::new([0; 64]));
        let bit = 1 << (line.seq & 63);
        let part = &mut seen[(line.seq >> 6) as usize & 63];
        let is_new = *part & bit == 0;
        *part |= bit;
        is_new
    }

    fn take(&mut self, host: u32, time: Moment, line: &Line<'_>) {
        match &*line.kind {
            "decision" | "denied" => self.decision(host, line),
            "release" => self.release(host, time, line),
            "end" => self.ended(host, line),
            "reveal" | "revealed" => self.reveal(host, time, line),
            "approval_asked" | "approval_given" | "approval_spent" | "break_glass" => {
                self.approval(host, time, line);
            }
            _ => {}
        }
    }

    fn secret(&mut self, environment: &str, store: &str, kind: &str, asked: &str) -> u32 {
        let at = self.stores.row(&[store], || Store {
            name: clean(store).into_owned(),
            ..Store::default()
        });
        put(&mut self.stores.get(at).kind, kind);
        self.secrets.row(&[environment, store, asked], || Row {
            secret: Secret {
                name: clean(asked).into_owned(),
                environment: clean(environment).into_owned(),
                store: at,
                ..Secret::default()
            },
            ..Row::default()
        })
    }

    /// A secret that a manifest declares.
    pub(super) fn declared_secret(
        &mut self,
        environment: &str,
        store: (&str, &str),
        asked: &str,
    ) -> u32 {
        self.secret(environment, store.0, store.1, asked)
    }

    pub(super) fn service(&mut self, environment: &str, name: &str) -> u32 {
        self.services.row(&[environment, name], || Service {
            name: clean(name).into_owned(),
            environment: clean(environment).into_owned(),
            ..Service::default()
        })
    }

    pub(super) fn program(&mut self, path: &str) -> u32 {
        self.programs.row(&[path], || Program {
            path: clean(path).into_owned(),
            ..Program::default()
        })
    }

    fn launcher(&mut self, host: u32, line: &Line<'_>) -> &mut Launcher {
        let key = (host, number(&line.launcher));
        self.launchers.entry(key).or_insert_with(|| Launcher {
            boot: number(&line.boot),
            ..Launcher::default()
        })
    }

    fn facts(&mut self, host: u32, line: &Line<'_>, facts: &Facts<'_>) {
        put(
            &mut self.launcher(host, line).environment,
            &facts.environment,
        );
        if !facts.program.sha256.is_empty() && !line.service.is_empty() {
            let at = self.program(&line.program);
            let known = &mut self.programs.get(at).sha256;
            let sha256 = clean(&facts.program.sha256);
            if known.len() < DIGESTS && !known.iter().any(|known| *known == sha256) {
                known.push(sha256.into_owned());
            }
        }
        if !line.service.is_empty() {
            let at = self.service(&facts.environment, &line.service);
            put(
                &mut self.services.get(at).signed_by,
                &facts.manifest.signed_by,
            );
        }
    }

    fn asked_about(&mut self, query: &Query<'_>) -> u32 {
        let asked = &query.resource;
        let name = if asked.path.is_empty() {
            &asked.name
        } else {
            &asked.path
        };
        let at = self.secret(&asked.environment, &asked.store, &asked.store_type, name);
        let secret = &mut self.secrets.get(at).secret;
        put(&mut secret.owner, &asked.owner);
        put(&mut secret.classification, &asked.classification);
        at
    }

    fn decision(&mut self, host: u32, line: &Line<'_>) {
        let Some(query) = &line.query else {
            return;
        };
        self.facts(host, line, &query.context);
        if query.resource.kind != "Secret" {
            return;
        }
        let at = self.asked_about(query);
        if query.resource.age > 0
            && let Some(time) = Moment::parse(&line.time)
        {
            let age = std::time::Duration::from_secs(query.resource.age as u64);
            self.secrets.get(at).dated = time.before(age);
        }
        self.secrets.get(at).secret.denials += u64::from(line.kind == "denied");
        let is_service = query.principal.kind == "Service";
        let service = is_service.then(|| self.service_of(query));
        let Some(ruling) = &line.ruling else {
            return;
        };
        for id in &ruling.policies {
            let policy = self.policies.row(&[&id.0], || Ruled {
                policy: PolicyUse {
                    id: clean(&id.0).into_owned(),
                    ..PolicyUse::default()
                },
                ..Ruled::default()
            });
            let ruled = self.policies.get(policy);
            if ruling.effect == "allow" {
                ruled.policy.allowed += 1;
            } else {
                ruled.policy.denied += 1;
            }
            ruled.secrets.insert(at);
            ruled.services.extend(service);
        }
    }

    fn service_of(&mut self, query: &Query<'_>) -> u32 {
        let principal = &query.principal;
        let at = self.service(&query.context.environment, &principal.name);
        put(&mut self.services.get(at).owner, &principal.owner);
        at
    }

    fn release(&mut self, host: u32, time: Moment, line: &Line<'_>) {
        if let Some(facts) = &line.facts {
            self.facts(host, line, facts);
        }
        let launcher = self.launcher(host, line);
        let environment = launcher.environment.clone();
        let mut uses = std::mem::take(&mut launcher.uses);
        let service = self.service(&environment, &line.service);
        let program = self.program(&line.program);
        for secret in &line.secrets {
            let is_named = !secret.asked.is_empty();
            let asked = if is_named {
                &secret.asked
            } else {
                &secret.name
            };
            let at = self.secret(&environment, &secret.store, "", asked);
            self.released(at, time, secret);
            let key = [at, service, host, program];
            let places = secret.deliveries.iter();
            let delivery = self.delivery(places.map(|one| (&*one.kind, &*one.place)));
            let delivered = self.uses.entry(key).or_default();
            delivered.first = delivered.first.earliest(time);
            delivered.last = delivered.last.max(time);
            delivered.releases += 1;
            delivered.delivery = delivery;
            delivered.running += u32::from(uses.insert(key));
        }
        self.launcher(host, line).uses = uses;
    }

    /// The text of some deliveries.
    pub(super) fn delivery<'t>(
        &mut self,
        places: impl Iterator<Item = (&'t str, &'t str)> + Clone,
    ) -> u32 {
        let names: Vec<&str> = places.flat_map(|(kind, place)| [kind, place]).collect();
        self.deliveries.row(&names, || {
            let texts = names
                .chunks(2)
                .map(|one| clean(&one.join(" ")).into_owned());
            let mut texts: Vec<String> = texts.map(|text| text.trim_end().to_owned()).collect();
            texts.sort_unstable();
            texts.join(", ")
        })
    }

    fn released(&mut self, at: u32, time: Moment, released: &line::Secret<'_>) {
        let row = self.secrets.get(at);
        let secret = &mut row.secret;
        put(&mut secret.owner, &released.owner);
        put(&mut secret.classification, &released.classification);
        secret.first = secret.first.earliest(time);
        secret.releases += 1;
        let is_newest = time >= secret.last;
        secret.last = secret.last.max(time);
        let is_other = secret.current != clean(&released.version) || secret.versions == 0;
        if is_newest && is_other {
            secret.current = clean(&released.version).into_owned();
            secret.versions += 1;
            // A decision that said when it was made came just before.
            let dated = std::mem::take(&mut row.dated);
            secret.made = if dated.is_known() { dated } else { time };
        }
        let values = released.fingerprints.iter().filter_map(|one| short(&one.0));
        let mut values: Vec<u128> = values.collect();
        values.sort_unstable();
        if row.values == values || values.is_empty() {
            return;
        }
        for value in &values {
            let has_room = self.fingerprints.len() < FINGERPRINTS;
            match self.fingerprints.get(value) {
                Some(other) if *other != at => {
                    self.common.insert((at.min(*other), at.max(*other)));
                }
                None if has_room => {
                    self.fingerprints.insert(*value, at);
                }
                Some(_) | None => {}
            }
        }
        self.secrets.get(at).values = values;
    }

    fn ended(&mut self, host: u32, line: &Line<'_>) {
        let key = (host, number(&line.launcher));
        let Some(launcher) = self.launchers.remove(&key) else {
            return;
        };
        // It is the program now, which has what it was given.
        if line.message == "becomes the program" {
            return;
        }
        for key in launcher.uses {
            if let Some(delivered) = self.uses.get_mut(&key) {
                delivered.running -= 1;
            }
        }
    }

    fn reveal(&mut self, host: u32, time: Moment, line: &Line<'_>) {
        let Some(query) = &line.query else {
            return;
        };
        let at = self.asked_about(query);
        let person = clean(&query.principal.name).into_owned();
        let (times, last) = self.reveals.entry((at, person, host)).or_default();
        *times += u64::from(line.kind == "reveal");
        *last = (*last).max(time);
    }

    fn approval(&mut self, host: u32, time: Moment, line: &Line<'_>) {
        if self.approvals.len() < LISTED {
            self.approvals.push(Approval {
                time,
                host,
                seq: line.seq,
                service: clean(&line.service).into_owned(),
                kind: line.kind.clone().into_owned(),
                text: clean(&line.message).into_owned(),
            });
        }
    }

    /// What ran before a host's last boot does not run.
    pub(super) fn forget_former_boots(&mut self) {
        for ((host, _), launcher) in &self.launchers {
            if self
                .boots
                .get(host)
                .is_some_and(|boot| *boot == launcher.boot)
            {
                continue;
            }
            for key in &launcher.uses {
                if let Some(delivered) = self.uses.get_mut(key) {
                    delivered.running -= 1;
                }
            }
        }
    }

    /// Groups of secrets with equal values, and pairs with an equal part.
    pub(super) fn shared(&self) -> Vec<(Vec<u32>, bool)> {
        let mut whole: HashMap<&[u128], BTreeSet<u32>> = HashMap::new();
        let involved: BTreeSet<u32> = self.common.iter().flat_map(|(a, b)| [*a, *b]).collect();
        for at in involved {
            let values = self.secrets.rows[at as usize].values.as_slice();
            whole.entry(values).or_default().insert(at);
        }
        let is_whole = |(a, b): &&(u32, u32)| {
            let values = |at: &u32| &self.secrets.rows[*at as usize].values;
            values(a) == values(b)
        };
        let parts = self.common.iter().filter(|pair| !is_whole(pair));
        let parts = parts.map(|(a, b)| (vec![*a, *b], false));
        let groups = whole.into_values().filter(|group| group.len() > 1);
        let groups = groups.map(|group| (group.into_iter().collect(), true));
        groups.chain(parts).collect()
    }
}

/// An id in hex as a number; another one by its hash.
fn number(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or_else(|_| {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    })
}

/// The first 128 bits of a fingerprint in hex.
fn short(hex: &str) -> Option<u128> {
    u128::from_str_radix(hex.get(..32)?, 16).ok()
}

impl Collector {
    /// What an input is from: the number of a path that was named, and the part of it.
    pub fn origin(&mut self, root: u32, part: &str) -> Origin {
        let name = root.to_string();
        let part = self.declared.parts.row(&[&name, part], || part.to_owned());
        Origin { root, part }
    }

    /// Takes a manifest.
    pub fn manifest(&mut self, origin: Origin, plan: &Plan) {
        self.declared.manifests.push((origin, Manifest::of(plan)));
    }

    /// Takes a host's site.
    pub fn site(&mut self, origin: Origin, site: &Site) {
        let environment = site.environment.clone().unwrap_or_default();
        self.declared.sites.push((origin, environment));
    }

    /// Takes what `hushpipe scan --json` printed. False: these bytes are something else.
    pub fn scan(&mut self, origin: Origin, bytes: &[u8]) -> bool {
        match serde_json::from_slice::<Scan>(bytes) {
            Ok(scan) if scan.version == 1 && scan.findings.is_some() => {
                self.declared.scans.push((origin, scan));
                true
            }
            _ => false,
        }
    }
}
