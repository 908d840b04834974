//! A fleet that is made up: what its hosts record, and what is true of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// So many secrets has a service, and on so many hosts it runs.
const OF_SERVICE: usize = 10;
const ON_HOSTS: usize = 3;

const ENVIRONMENTS: [&str; 3] = ["production", "staging", "test"];
const STORES: [(&str, &str); 4] = [
    ("vault", "vault"),
    ("sealed", "sealed"),
    ("files", "directory"),
    ("broker", "command"),
];
const CLASSES: [&str; 3] = ["restricted", "internal", ""];

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub hosts: usize,
    pub secrets: usize,
}

/// Who has what, in words: environment, store, secret, service, host, program, delivery, whether it runs.
pub type Truth = BTreeSet<(String, String, String, String, String, String, String, bool)>;

fn hex(number: u64, digits: usize) -> String {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{mixed:016x}").repeat(digits.div_ceil(16))[..digits].to_owned()
}

/// 2026-01-01 and so many seconds.
fn time(seconds: usize) -> String {
    let (day, rest) = (seconds / 86_400, seconds % 86_400);
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut month, mut day) = (0, day);
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.000000Z",
        month + 1,
        day + 1,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

impl Fleet {
    fn services(self) -> usize {
        self.secrets.div_ceil(OF_SERVICE)
    }

    /// All secrets of a service are of its environment.
    fn environment(service: usize) -> &'static str {
        ENVIRONMENTS[service % ENVIRONMENTS.len()]
    }

    fn of_service(self, service: usize) -> std::ops::Range<usize> {
        service * OF_SERVICE..self.secrets.min((service + 1) * OF_SERVICE)
    }

    fn runs_on(self, service: usize) -> BTreeSet<usize> {
        (0..ON_HOSTS)
            .map(|copy| (service * 7 + copy * 31 + copy) % self.hosts)
            .collect()
    }

    /// Every sixth service has ended.
    const fn ended(service: usize) -> bool {
        service % 6 == 5
    }

    /// A service that has another one's value in its first secret, in another environment.
    pub const fn twin(service: usize) -> Option<usize> {
        if service % 10 == 9 {
            Some(service - 1)
        } else {
            None
        }
    }

    pub fn host(host: usize) -> String {
        format!("host-{host:03}")
    }

    fn service(service: usize) -> String {
        format!("service-{service:04}")
    }

    pub fn secret(secret: usize) -> String {
        format!("team-{:02}/secret-{secret:05}", secret / OF_SERVICE % 17)
    }

    fn store(secret: usize) -> (&'static str, &'static str) {
        STORES[secret % STORES.len()]
    }

    /// The number of its value.
    fn value(service: usize, secret: usize) -> u64 {
        let is_first = secret.is_multiple_of(OF_SERVICE);
        match Self::twin(service) {
            Some(twin) if is_first => (twin * OF_SERVICE) as u64,
            _ => secret as u64,
        }
    }

    fn delivery(secret: usize) -> (&'static str, String) {
        match secret % 3 {
            0 => ("file", format!("/run/secrets/s{secret}")),
            1 => ("getenv", format!("SECRET_{secret}")),
            _ => ("fd", format!("{}", 3 + secret % OF_SERVICE)),
        }
    }

    /// One secret as a release has it.
    fn entry(service: usize, secret: usize, version: usize) -> String {
        let (store, _) = Self::store(secret);
        let (kind, place) = Self::delivery(secret);
        let value = Self::value(service, secret) * 100 + version as u64;
        let class = match CLASSES[secret % CLASSES.len()] {
            "" => String::new(),
            class => format!(r#""classification":"{class}","#),
        };
        format!(
            r#"{{"name":"s{secret}","store":"{store}","asked":"{}","version":"v{version}",{class}"owner":"team-{:02}","deliveries":[{{"kind":"{kind}","place":"{place}"}}],"fingerprints":["{}"]}}"#,
            Self::secret(secret),
            secret / OF_SERVICE % 17,
            hex(value, 64),
        )
    }

    /// A policy's word on one secret: of hosts with a site's policies.
    fn decision(service: usize, secret: usize) -> String {
        let (store, kind) = Self::store(secret);
        let environment = Self::environment(service);
        let name = Self::service(service);
        format!(
            r#""kind":"decision","category_uid":3,"class_uid":3003,"activity_id":1,"type_uid":300301,"status_id":1,"message":"allowed","secrets":[{{"name":"s{secret}"}}],"query":{{"principal":{{"type":"Service","name":"{name}","owner":"team","environment":"{environment}","labels":{{}}}},"action":"deliver","resource":{{"type":"Secret","name":"s{secret}","store":"{store}","store_type":"{kind}","path":"{}","classification":"","owner":"","environment":"{environment}","labels":{{}},"age":0}},"context":{{"deliveries":["file"],"program":{{"path":"/usr/bin/{name}","sha256":"{}"}},"environment":"{environment}","manifest":{{"path":"/etc/hushpipe/{name}.yaml"}}}}}},"ruling":{{"effect":"allow","policies":["allow-{environment}"],"errors":[],"obligations":[],"stop":false}}"#,
            Self::secret(secret),
            hex(service as u64, 64),
        )
    }

    /// The log of a host: each service is launched, and rotated once.
    pub fn log(self, host: usize) -> String {
        let mut log = String::new();
        let mut seq = 0;
        let has_policies = host.is_multiple_of(5);
        for service in (0..self.services()).filter(|one| self.runs_on(*one).contains(&host)) {
            let mut add = |at: usize, rest: &str| {
                writeln!(
                    log,
                    r#"{{"seq":{seq},"time":"{}","host":"{}","boot":"b-{host}","launcher":"{}","pid":7,"uid":0,"service":"{}","program":"/usr/bin/{}",{rest}}}"#,
                    time(service * 600 + at),
                    Self::host(host),
                    hex((host * 100_000 + service) as u64, 16),
                    Self::service(service),
                    Self::service(service),
                )
                .expect("Strings are written");
                seq += 1;
            };
            add(0, r#""kind":"start","status_id":1"#);
            if has_policies {
                for secret in self.of_service(service) {
                    add(1, &Self::decision(service, secret));
                }
            }
            for version in [1, 2] {
                let entries = self.of_service(service);
                let entries: Vec<String> = entries
                    .map(|secret| Self::entry(service, secret, version))
                    .collect();
                let facts = if has_policies {
                    String::new()
                } else {
                    let environment = Self::environment(service);
                    format!(r#","facts":{{"environment":"{environment}"}}"#)
                };
                let release = format!(
                    r#""kind":"release","status_id":1,"reason":"launch","secrets":[{}]{facts}"#,
                    entries.join(",")
                );
                add(2 * version, &release);
            }
            if Self::ended(service) {
                add(9, r#""kind":"end","status_id":1,"code":0"#);
            }
        }
        log
    }

    /// What is true.
    pub fn truth(self) -> Truth {
        let mut truth = Truth::new();
        for service in 0..self.services() {
            for secret in self.of_service(service) {
                let (kind, place) = Self::delivery(secret);
                for host in self.runs_on(service) {
                    truth.insert((
                        Self::environment(service).to_owned(),
                        Self::store(secret).0.to_owned(),
                        Self::secret(secret),
                        Self::service(service),
                        Self::host(host),
                        format!("/usr/bin/{}", Self::service(service)),
                        format!("{kind} {place}"),
                        !Self::ended(service),
                    ));
                }
            }
        }
        truth
    }

    /// Pairs of secrets with equal values, by name.
    pub fn twins(self) -> BTreeSet<(String, String)> {
        let pairs = (0..self.services()).filter_map(|one| Some((Self::twin(one)?, one)));
        let first = |service: usize| Self::secret(service * OF_SERVICE);
        let sorted = |(a, b): (usize, usize)| (first(a).min(first(b)), first(a).max(first(b)));
        pairs.map(sorted).collect()
    }
}
