//! Ends the collection: joins what is declared to what was recorded, and sorts everything, so that the same
//! input gives the same graph.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::collect::{Collector, Delivered, Row, Ruled};
use super::declared::{Declared, Entry, Found, Manifest, Origin, Scan};
use super::graph::{Approval, Finding, Graph, Host, PolicyUse, Reveal, Secret, Shared, Use};
use super::moment::Moment;
use super::table::{clean, sorted};

impl Collector {
    /// The graph, as of a time: else of the newest record.
    pub fn finish(mut self, at: Option<Moment>) -> Graph {
        self.forget_former_boots();
        let declared = std::mem::take(&mut self.declared);
        let uses = declared.apply(&mut self);
        let scanned = declared.scanned(&mut self);
        let shared = self.shared();
        let has_values = |row: &&Row| !row.values.is_empty();
        let fingerprinted = self.secrets.rows.iter().filter(has_values).count() as u64;
        let (stores, store_rows) = sorted(self.stores.rows, |row| row.name.clone());
        let (hosts, host_rows) = sorted(self.hosts.rows, |row| row.name.clone());
        let (programs, mut program_rows) = sorted(self.programs.rows, |row| row.path.clone());
        for row in &mut program_rows {
            row.sha256.sort_unstable();
        }
        let (services, service_rows) = sorted(self.services.rows, |row| {
            (row.environment.clone(), row.name.clone())
        });
        let rows = self.secrets.rows.into_iter().map(|row| Secret {
            store: stores[row.secret.store as usize],
            ..row.secret
        });
        let (secrets, secret_rows) = sorted(rows.collect(), |row| {
            (row.environment.clone(), row.store, row.name.clone())
        });
        let (deliveries, delivery_rows) = sorted(self.deliveries.rows, Clone::clone);
        let places = Places {
            secrets,
            services,
            hosts,
            programs,
            deliveries,
        };
        let recorded = self.uses.iter();
        let mut all = recorded
            .map(|(key, delivered)| places.recorded(*key, delivered))
            .collect();
        join(&mut all, uses, &places);
        let shared = places.shared(shared, &secret_rows);
        let mut findings = declared.findings(&scanned, &secret_rows, at);
        found_as_well(&mut findings, &shared);
        Graph {
            version: 1,
            at: at.unwrap_or(self.newest),
            records: self.records,
            duplicates: self.duplicates,
            damaged: self.damaged,
            scans: declared.scans.len() as u64,
            fingerprinted,
            hosts: host_rows,
            services: service_rows,
            stores: store_rows,
            deliveries: delivery_rows,
            uses: all,
            policies: places.policies(self.policies.rows),
            approvals: places.approvals(self.approvals),
            reveals: places.reveals(self.reveals),
            findings,
            shared,
            secrets: secret_rows,
            programs: program_rows,
            figures: self.figures,
        }
    }
}

/// The hosts whose records are below a directory: by the path that was named, and the one from there.
type Beneath<'d> = HashMap<(u32, &'d str), BTreeSet<u32>>;

/// A directory and all above it, up to the one that was named, which is empty.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        let up = path.rsplit_once('/').map_or("", |(up, _)| up);
        Some(up).filter(|_| !path.is_empty())
    })
}

/// Where each row is in the graph.
#[derive(Debug)]
struct Places {
    secrets: Vec<u32>,
    services: Vec<u32>,
    hosts: Vec<u32>,
    programs: Vec<u32>,
    deliveries: Vec<u32>,
}

impl Places {
    fn recorded(&self, key: [u32; 4], delivered: &Delivered) -> Use {
        let [secret, service, host, program] = key.map(|at| at as usize);
        Use {
            secret: self.secrets[secret],
            service: self.services[service],
            host: Some(self.hosts[host]),
            program: Some(self.programs[program]),
            delivery: self.deliveries[delivered.delivery as usize],
            first: delivered.first,
            last: delivered.last,
            releases: delivered.releases,
            running: delivered.running > 0,
            declared: false,
        }
    }

    fn policies(&self, rows: Vec<Ruled>) -> Vec<PolicyUse> {
        let placed = |numbers: &BTreeSet<u32>, places: &[u32]| {
            let mut placed: Vec<u32> = numbers.iter().map(|at| places[*at as usize]).collect();
            placed.sort_unstable();
            placed
        };
        let mut policies: Vec<PolicyUse> = rows
            .into_iter()
            .map(|row| PolicyUse {
                secrets: placed(&row.secrets, &self.secrets),
                services: placed(&row.services, &self.services),
                ..row.policy
            })
            .collect();
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        policies
    }

    fn approvals(&self, mut rows: Vec<Approval>) -> Vec<Approval> {
        for row in &mut rows {
            row.host = self.hosts[row.host as usize];
        }
        rows.sort_by_key(|row| (row.time, row.host, row.seq));
        rows
    }

    fn reveals(&self, rows: HashMap<(u32, String, u32), (u64, Moment)>) -> Vec<Reveal> {
        let mut reveals: Vec<Reveal> = rows
            .into_iter()
            .map(|((secret, person, host), (times, last))| Reveal {
                secret: self.secrets[secret as usize],
                person,
                host: self.hosts[host as usize],
                times,
                last,
            })
            .collect();
        reveals.sort_by(|a, b| (a.secret, &a.person, a.host).cmp(&(b.secret, &b.person, b.host)));
        reveals
    }

    fn shared(&self, groups: Vec<(Vec<u32>, bool)>, secrets: &[Secret]) -> Vec<Shared> {
        let mut shared: Vec<Shared> = groups
            .into_iter()
            .map(|(group, whole)| {
                let mut numbers: Vec<u32> =
                    group.iter().map(|at| self.secrets[*at as usize]).collect();
                numbers.sort_unstable();
                let environments = numbers.iter().map(|at| &secrets[*at as usize].environment);
                let environments: BTreeSet<&String> = environments.collect();
                Shared {
                    environments: environments.into_iter().cloned().collect(),
                    secrets: numbers,
                    whole,
                }
            })
            .collect();
        shared.sort_unstable();
        shared
    }
}

/// A use that a manifest declares, by the collector's numbers.
#[derive(Debug)]
struct DeclaredUse {
    secret: u32,
    service: u32,
    host: Option<u32>,
    program: Option<u32>,
    delivery: u32,
}

impl Declared {
    /// The hosts whose records were in each directory, or below it.
    fn beneath(&self) -> Beneath<'_> {
        let mut beneath = Beneath::new();
        for (origin, host) in &self.seen {
            let path = self.parts.rows[origin.part as usize].as_str();
            for above in above(path) {
                beneath
                    .entry((origin.root, above))
                    .or_default()
                    .insert(*host);
            }
        }
        beneath
    }

    /// The host that an input is of: the only one whose records are in the nearest directory above it that has
    /// records; where there are several, the one that is called as what leads on from there.
    fn host(&self, origin: Origin, hosts: &Beneath<'_>, collector: &mut Collector) -> Option<u32> {
        let path = self.parts.rows[origin.part as usize].as_str();
        let mut below = "";
        for above in above(path) {
            let found = hosts
                .get(&(origin.root, above))
                .filter(|found| !found.is_empty());
            match found {
                Some(found) if found.len() == 1 => return found.first().copied(),
                Some(_) => break,
                None => below = above,
            }
        }
        let name = below.rsplit('/').next().unwrap_or_default();
        if name.is_empty() {
            return None;
        }
        Some(collector.hosts.row(&[name], || Host {
            name: clean(name).into_owned(),
            ..Host::default()
        }))
    }

    /// Puts it into the graph; gives the uses that manifests declare.
    fn apply(&self, collector: &mut Collector) -> Vec<DeclaredUse> {
        let hosts = self.beneath();
        for (origin, environment) in &self.sites {
            if let Some(host) = self.host(*origin, &hosts, collector) {
                let host = collector.hosts.get(host);
                host.site = true;
                host.environment = clean(environment).into_owned();
            }
        }
        let mut uses = Vec::new();
        for (origin, manifest) in &self.manifests {
            let host = self.host(*origin, &hosts, collector);
            manifest.apply(host, collector, &mut uses);
        }
        uses
    }

    /// Of the newest scan of each host and set of paths, with the secrets that they are.
    fn findings(
        &self,
        hosts: &[Option<String>],
        secrets: &[Secret],
        until: Option<Moment>,
    ) -> Vec<Finding> {
        let mut named: HashMap<&str, Vec<u32>> = HashMap::new();
        for (at, secret) in (0..).zip(secrets) {
            named.entry(&secret.name).or_default().push(at);
        }
        let mut newest: BTreeMap<(&str, &[String]), (Moment, usize)> = BTreeMap::new();
        let mut findings = BTreeSet::new();
        for (index, ((_, scan), host)) in self.scans.iter().zip(hosts).enumerate() {
            let host = host.as_deref().unwrap_or_default();
            let time = Moment::parse(&scan.time).unwrap_or_default();
            if time.is_known() && until.is_none_or(|until| time <= until) {
                let last = newest.entry((host, &scan.paths)).or_default();
                *last = (*last).max((time, index));
            }
        }
        for (index, ((_, scan), host)) in self.scans.iter().zip(hosts).enumerate() {
            let host = host.as_deref().unwrap_or_default();
            let last = newest.get(&(host, scan.paths.as_slice()));
            let is_newest = last.is_some_and(|last| last.1 == index) || scan.time.is_empty();
            if is_newest {
                let found = scan.findings.iter().flatten();
                findings.extend(found.map(|found| found.finding(host, &named)));
            }
        }
        findings.into_iter().collect()
    }

    /// The name of the host of each scan.
    fn scanned(&self, collector: &mut Collector) -> Vec<Option<String>> {
        let hosts = self.beneath();
        let name = |(origin, scan): &(Origin, Scan)| {
            if !scan.host.is_empty() {
                return Some(clean(&scan.host).into_owned());
            }
            let host = self.host(*origin, &hosts, collector)?;
            Some(collector.hosts.rows[host as usize].name.clone())
        };
        self.scans.iter().map(name).collect()
    }
}

impl Manifest {
    fn apply(&self, host: Option<u32>, collector: &mut Collector, uses: &mut Vec<DeclaredUse>) {
        let site = host.map(|host| collector.hosts.get(host).environment.clone());
        let site = site.filter(|environment| !environment.is_empty());
        let environment = site.unwrap_or_else(|| self.environment.clone());
        let service = collector.service(&environment, &self.service);
        let row = collector.services.get(service);
        row.declared = true;
        fill(&mut row.owner, &self.owner);
        let has_program = !self.program.is_empty();
        let program = has_program.then(|| collector.program(&self.program));
        for entry in &self.secrets {
            let secret = entry.apply(&environment, collector);
            let deliveries = entry.deliveries.iter();
            let delivery =
                collector.delivery(deliveries.map(|(kind, place)| (*kind, place.as_str())));
            uses.push(DeclaredUse {
                secret,
                service,
                host,
                program,
                delivery,
            });
        }
    }
}

impl Entry {
    fn apply(&self, environment: &str, collector: &mut Collector) -> u32 {
        let own = Some(&*self.environment).filter(|own| !own.is_empty());
        let environment = own.unwrap_or(environment);
        let at = collector.declared_secret(environment, (&self.store, self.kind), &self.asked);
        let store = collector.secrets.get(at).secret.store;
        fill(&mut collector.stores.get(store).place, &self.place);
        let secret = &mut collector.secrets.get(at).secret;
        secret.declared = true;
        fill(&mut secret.owner, &self.owner);
        fill(&mut secret.classification, &self.classification);
        // The strictest of several manifests counts.
        secret.max_age = match (secret.max_age, self.max_age) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        at
    }
}

impl Found {
    fn finding(&self, host: &str, named: &HashMap<&str, Vec<u32>>) -> Finding {
        let clean = |text: &String| clean(text).into_owned();
        let secrets = self
            .known
            .iter()
            .filter_map(|name| named.get(name.as_str()));
        let mut secrets: Vec<u32> = secrets.flatten().copied().collect();
        secrets.sort_unstable();
        secrets.dedup();
        Finding {
            host: host.to_owned(),
            path: clean(&self.path),
            line: self.line,
            rule: clean(&self.rule),
            severity: clean(&self.severity),
            title: clean(&self.title),
            name: clean(&self.name),
            secrets,
            fingerprint: clean(&self.fingerprint),
        }
    }
}

/// A scan names one of the secrets with a value: the others lie there as well.
fn found_as_well(findings: &mut [Finding], shared: &[Shared]) {
    for finding in findings {
        let is_in = |group: &&Shared| {
            group.whole && finding.secrets.iter().any(|at| group.secrets.contains(at))
        };
        let groups = shared.iter().filter(is_in);
        let others: BTreeSet<u32> = groups.flat_map(|group| group.secrets.clone()).collect();
        let all = others.into_iter().chain(finding.secrets.drain(..));
        finding.secrets = all.collect::<BTreeSet<u32>>().into_iter().collect();
    }
}

/// What records say counts.
fn fill(field: &mut String, text: &str) {
    if field.is_empty() {
        *field = clean(text).into_owned();
    }
}

/// Adds what manifests declare to what was recorded, and sorts.
fn join(uses: &mut Vec<Use>, declared: Vec<DeclaredUse>, places: &Places) {
    let mut recorded: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
    for (at, it) in uses.iter().enumerate() {
        recorded
            .entry((it.secret, it.service))
            .or_default()
            .push(at);
    }
    let mut more: BTreeMap<(u32, u32, Option<u32>, Option<u32>), u32> = BTreeMap::new();
    for it in declared {
        let secret = places.secrets[it.secret as usize];
        let service = places.services[it.service as usize];
        let host = it.host.map(|host| places.hosts[host as usize]);
        let mut found = false;
        for at in recorded.get(&(secret, service)).into_iter().flatten() {
            let it = &mut uses[*at];
            if host.is_none() || it.host == host {
                it.declared = true;
                found = true;
            }
        }
        if !found {
            let program = it.program.map(|program| places.programs[program as usize]);
            let delivery = places.deliveries[it.delivery as usize];
            more.insert((secret, service, host, program), delivery);
        }
    }
    uses.extend(
        more.into_iter()
            .map(|((secret, service, host, program), delivery)| Use {
                secret,
                service,
                host,
                program,
                delivery,
                declared: true,
                ..Use::default()
            }),
    );
    uses.sort_unstable_by_key(|it| (it.secret, it.service, it.host, it.program));
}
