//! The site file, version 1: read as a manifest is, by the same tables, without variables. The caller's
//! environment decides nothing in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use sha2::Digest as _;

use super::addresses::Server;
use super::collections::{List, Table};
use super::decode::{Decode, Decoder, Spanned};
use super::fault::{Fault, ManifestError, Span, shown_name};
use super::read::{MAX_BYTES, text_of};
use super::records::{
    AlertsRecord, ApprovalsRecord, AuditRecord, GovernedRecord, IncidentsRecord, LabelName,
    LabelValue, ManifestsRecord, MetricsRecord, MonitorRecord, PlaybookRecord, PolicyRecord,
    PushRecord, Receiver, Sink, SitePath, SiteRecord, SyslogRecord, WitnessRecord,
};
use super::tree;
use super::values::Word;
use crate::model::{
    AlertsSpec, ApprovalSpec, AuditSpec, ClientCertificate, Governed, IncidentsSpec,
    ManifestSigners, MetricsSpec, MonitorSpec, Playbook, PolicySpec, PushSpec, ReceiverSpec,
    ServerSpec, Sha256, SinkSpec, Site, SyslogAddress, Tls, WitnessSpec,
};

/// A site is at most this long, as a manifest is.
pub const MAX_SITE_BYTES: usize = MAX_BYTES;

/// Checks the bytes of a site file. `name` is its absolute path.
pub fn parse_site(name: &Path, bytes: Vec<u8>) -> Result<Site, ManifestError> {
    if bytes.len() > MAX_BYTES {
        let message = format!("{} is larger than 1 MiB", shown_name(name));
        let help = "a site has few keys: is this the right file?";
        return Err(ManifestError::refused(name, message, help));
    }
    let sha256 = Sha256(sha2::Sha256::digest(&bytes).into());
    let text = text_of(name, bytes).map_err(ManifestError::of_site)?;
    let mut faults = Vec::new();
    let root = tree::parse(&text, &mut faults);
    let mut decoder = Decoder {
        faults: faults.into_iter().map(Fault::of_site).collect(),
        source: &text,
        base: Path::new("/"),
        environment: &|_| None,
        fixed: true,
        within: Span::default(),
    };
    let record = root.and_then(|root| SiteRecord::decode(&root, &mut decoder));
    if let Some(record) = &record {
        unfed(record, &mut decoder);
    }
    let faults = std::mem::take(&mut decoder.faults);
    match record {
        Some(record) if faults.is_empty() => site(name, sha256, &text, &record)
            .ok_or_else(|| ManifestError::wrong(name, &text, faults)),
        _ => Err(ManifestError::wrong(name, &text, faults)),
    }
}

fn is_direct(record: &SiteRecord) -> bool {
    let audit = record.audit.get();
    audit.is_some_and(|audit| audit.direct.get() == Some(&true))
}

/// A launcher that feeds no sinks itself.
fn unfed(record: &SiteRecord, to: &mut Decoder<'_>) {
    let Some(audit) = record.audit.get().filter(|_| is_direct(record)) else {
        return;
    };
    if audit.sinks.get().is_none_or(|sinks| sinks.0.is_empty()) {
        let message = "`direct` without `sinks`: there is nothing to send records to";
        to.fault(
            audit.direct.span,
            message,
            "add `sinks:`, or remove `direct`",
        );
    }
}

/// The JSON Schema of a site, from the tables that also decode it.
pub fn site_schema() -> Value {
    let mut schema = SiteRecord::schema();
    without_variables(&mut schema);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("hushpipe site, version 1");
    schema
}

/// No value of a site may be a variable: where the manifest's types allow one beside something else, that
/// alone remains.
fn without_variables(schema: &mut Value) {
    if let Some(all) = schema["anyOf"].as_array() {
        let kept: Vec<Value> = all
            .iter()
            .filter(|one| one["pattern"] != "\\$\\{")
            .cloned()
            .collect();
        if let (true, Value::Object(one)) = (kept.len() == 1, &kept[0]) {
            let one = one.clone();
            if let Value::Object(object) = schema {
                object.remove("anyOf");
                object.extend(one);
            }
        }
    }
    match schema {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(without_variables);
        }
        Value::Array(items) => items.iter_mut().for_each(without_variables),
        _ => {}
    }
}

/// `None` only where a fault was added.
fn site(name: &Path, sha256: Sha256, text: &str, record: &SiteRecord) -> Option<Site> {
    let monitor = settled(&record.monitor, monitor)?.unwrap_or_default();
    let mut audit = settled(&record.audit, audit)?;
    if let Some(audit) = audit.as_mut().filter(|_| is_direct(record)) {
        audit.direct = Some(monitor.directory.clone());
    }
    Some(Site {
        path: name.to_owned(),
        sha256,
        environment: record.environment.get().map(|word| word.0.clone()),
        environment_at: record.environment.key.map(|key| key.place(text)),
        labels: labels(&record.labels),
        policy: settled(&record.policy, policy)?,
        manifests: settled(&record.manifests, manifests)?,
        approvals: settled(&record.approvals, approvals)?,
        audit,
        monitor,
        governed: governed(&record.governed),
        metrics: settled(&record.metrics, metrics)?,
        alerts: settled(&record.alerts, alerts)?,
        incidents: settled(&record.incidents, incidents)?.unwrap_or_default(),
    })
}

/// What could not be read was a fault.
fn governed(field: &Spanned<List<GovernedRecord>>) -> Vec<Governed> {
    let items = field.get().map_or(&[][..], |list| &list.0);
    let items = items.iter().filter_map(Spanned::get);
    items
        .filter_map(|record| {
            Some(Governed {
                directory: path(&record.directory)?,
                classification: record.classification.get().map(|word| word.0.clone()),
                owner: record.owner.get().map(|word| word.0.clone()),
            })
        })
        .collect()
}

/// What a key holds, where it is there.
#[allow(
    clippy::option_option,
    reason = "the outer one is a fault, the inner one a key that is not there"
)]
fn settled<R, T>(field: &Spanned<R>, settle: fn(&R) -> Option<T>) -> Option<Option<T>> {
    if field.is_present() {
        settle(field.get()?).map(Some)
    } else {
        Some(None)
    }
}

/// The labels that a table has.
pub fn labels(field: &Spanned<Table<LabelName, LabelValue>>) -> BTreeMap<String, String> {
    let entries = field.get().map_or(&[][..], |table| &table.0);
    let entries = entries
        .iter()
        .filter_map(|(_, name, value)| Some((name.0.clone(), value.get()?.0.clone())));
    entries.collect()
}

fn path(field: &Spanned<SitePath>) -> Option<std::path::PathBuf> {
    field.get().map(|path| path.0.clone())
}

fn policy(record: &PolicyRecord) -> Option<PolicySpec> {
    Some(PolicySpec {
        directory: path(&record.directory)?,
        mode: *record.mode.get()?,
    })
}

fn manifests(record: &ManifestsRecord) -> Option<ManifestSigners> {
    Some(ManifestSigners {
        signers: path(&record.signers)?,
        variables: *record.variables.get()?,
    })
}

fn approvals(record: &ApprovalsRecord) -> Option<ApprovalSpec> {
    Some(ApprovalSpec {
        signers: path(&record.signers)?,
        directory: path(&record.directory)?,
        wait: *record.wait.get()?,
    })
}

fn audit(record: &AuditRecord) -> Option<AuditSpec> {
    Some(AuditSpec {
        required: *record.required.get()?,
        directory: path(&record.directory)?,
        key_file: path(&record.key_file)?,
        fingerprint_key_file: path(&record.fingerprint_key_file),
        retain: record.retain.get().copied(),
        witnesses: each(&record.witnesses, witness)?,
        sinks: each(&record.sinks, sink)?,
        direct: None,
    })
}

/// Each item of a list that may be left out. `None` only where a fault was added.
fn each<R, T>(field: &Spanned<List<R>>, settle: fn(&R) -> Option<T>) -> Option<Vec<T>> {
    let items = field.get().map_or(&[][..], |list| &list.0);
    items.iter().map(|item| settle(item.get()?)).collect()
}

fn witness(record: &WitnessRecord) -> Option<WitnessSpec> {
    Some(WitnessSpec {
        url: record.url.get()?.address.clone(),
        key: record.key.get()?.0.clone(),
        tls: Tls {
            ca_file: path(&record.ca_file),
            ..Tls::default()
        },
    })
}

fn sink(Sink(record): &Sink) -> Option<SinkSpec> {
    if record.journald.is_present() {
        let socket = path(&record.journald.get()?.socket)?;
        return Some(SinkSpec::Journald { socket });
    }
    if record.syslog.is_present() {
        let (address, tls) = syslog(record.syslog.get()?)?;
        return Some(SinkSpec::Syslog { address, tls });
    }
    if record.http.is_present() {
        let http = record.http.get()?;
        let server = server(&http.url, &http.token_file, &http.ca_file)?;
        let format = *http.format.get()?;
        return Some(SinkSpec::Http { server, format });
    }
    let otlp = record.otlp.get()?;
    server(&otlp.url, &otlp.token_file, &otlp.ca_file).map(SinkSpec::Otlp)
}

fn syslog(record: &SyslogRecord) -> Option<(SyslogAddress, Tls)> {
    let name = record.tls_server_name.get();
    let certificate = path(&record.client_cert);
    let client = certificate.map(|certificate| ClientCertificate {
        key: path(&record.client_key).unwrap_or_else(|| certificate.clone()),
        certificate,
    });
    let tls = Tls {
        ca_file: path(&record.ca_file),
        server_name: name.map(|name| name.0.clone()),
        client,
        ..Tls::default()
    };
    Some((record.address.get()?.0.clone(), tls))
}

fn server(
    url: &Spanned<Server>,
    token_file: &Spanned<SitePath>,
    ca_file: &Spanned<SitePath>,
) -> Option<ServerSpec> {
    Some(ServerSpec {
        url: url.get()?.address.clone(),
        tls: Tls {
            ca_file: path(ca_file),
            ..Tls::default()
        },
        token_file: path(token_file),
    })
}

fn metrics(record: &MetricsRecord) -> Option<MetricsSpec> {
    Some(MetricsSpec {
        listen: record.listen.get().map(|at| at.0),
        textfile: path(&record.textfile),
        otlp: settled(&record.otlp, push)?,
    })
}

fn push(record: &PushRecord) -> Option<PushSpec> {
    Some(PushSpec {
        server: server(&record.url, &record.token_file, &record.ca_file)?,
        every: *record.every.get()?,
    })
}

fn alerts(record: &AlertsRecord) -> Option<AlertsSpec> {
    Some(AlertsSpec {
        rules: record.rules.get()?.0.clone(),
        notify: each(&record.notify, receiver)?,
        repeat: *record.repeat.get()?,
        resolve: *record.resolve.get()?,
    })
}

fn incidents(record: &IncidentsRecord) -> Option<IncidentsSpec> {
    Some(IncidentsSpec {
        directory: path(&record.directory)?,
        playbooks: each(&record.playbooks, playbook)?,
    })
}

fn playbook(record: &PlaybookRecord) -> Option<Playbook> {
    Some(Playbook {
        services: words(&record.services),
        secrets: words(&record.secrets),
        classification: record.classification.get().map(|word| word.0.clone()),
        steps: record.steps.get()?.values(),
        otherwise: *record.otherwise.get()?,
        quarantine: *record.quarantine.get()?,
    })
}

/// The words of a list that may be left out, each once.
fn words(field: &Spanned<List<Word>>) -> BTreeSet<String> {
    let items = field.get().map_or(&[][..], |list| &list.0);
    let items = items.iter().filter_map(Spanned::get);
    items.map(|word| word.0.clone()).collect()
}

fn receiver(Receiver(record): &Receiver) -> Option<ReceiverSpec> {
    if record.journald.is_present() {
        let socket = path(&record.journald.get()?.socket)?;
        return Some(ReceiverSpec::Journald { socket });
    }
    if record.syslog.is_present() {
        let (address, tls) = syslog(record.syslog.get()?)?;
        return Some(ReceiverSpec::Syslog { address, tls });
    }
    if record.webhook.is_present() {
        let webhook = record.webhook.get()?;
        return Some(ReceiverSpec::Webhook {
            server: server(&webhook.url, &webhook.token_file, &webhook.ca_file)?,
            key_file: path(&webhook.key_file),
        });
    }
    let there = record.alertmanager.get()?;
    let there = server(&there.url, &there.token_file, &there.ca_file);
    there.map(ReceiverSpec::Alertmanager)
}

fn monitor(record: &MonitorRecord) -> Option<MonitorSpec> {
    let directory = path(&record.directory)?;
    Some(MonitorSpec { directory })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::model::{Exit, PolicyMode};

    fn parsed(text: &str) -> Result<Site, ManifestError> {
        parse_site(
            Path::new("/etc/hushpipe/site.yaml"),
            text.as_bytes().to_vec(),
        )
    }

    fn good(text: &str) -> Site {
        parsed(text).unwrap_or_else(|error| panic!("{}", error.render(false)))
    }

    #[test]
    fn a_site_with_every_key_is_read() {
        let site = good(include_str!("../../tests/vectors/sites/good/full.yaml"));
        assert_eq!(site.environment.as_deref(), Some("production"));
        assert_eq!(site.labels["region"], "eu-1");
        let policy = site.policy.unwrap();
        assert_eq!(policy.mode, PolicyMode::Observe);
        assert_eq!(policy.directory, Path::new("/srv/policy.d"));
        assert_eq!(site.manifests.unwrap().signers, Path::new("/srv/signers"));
        let approvals = site.approvals.unwrap();
        assert_eq!(approvals.wait, Duration::from_mins(10));
        let governed = &site.governed[0];
        assert_eq!(governed.directory, Path::new("/srv/payments"));
        assert_eq!(governed.classification.as_deref(), Some("restricted"));
        assert_eq!(governed.owner.as_deref(), Some("payments"));
        let audit = site.audit.unwrap();
        assert!(!audit.required);
        assert_eq!(
            audit.fingerprint_key_file,
            Some(PathBuf::from("/srv/fingerprint.key"))
        );
        let [one, two] = audit.witnesses.as_slice() else {
            panic!("{:?}", audit.witnesses);
        };
        assert!(one.key.starts_with("witness.example/w1+"));
        assert_eq!(audit.retain, Some(Duration::from_hours(400 * 24)));
        assert_eq!(one.tls.ca_file, Some(PathBuf::from("/srv/ca.pem")));
        assert_eq!(
            two.url,
            crate::model::Address::Unix("/run/witness.sock".into())
        );
        assert_eq!(site.monitor.directory, Path::new("/srv/monitor"));
        let metrics = site.metrics.unwrap();
        assert_eq!(metrics.listen, Some(([127, 0, 0, 1], 9184).into()));
        assert_eq!(metrics.otlp.unwrap().every, Duration::from_mins(1));
        let sinks: Vec<String> = audit.sinks.iter().map(SinkSpec::name).collect();
        let wanted = [
            "journald",
            "syslog tls://siem.internal:6514",
            "syslog unix:///dev/log",
            "http https://siem.internal/services/collector/event",
            "http https://siem.internal/ocsf",
            "otlp http://127.0.0.1:4318",
        ];
        assert_eq!(sinks, wanted);
    }

    #[test]
    fn alerts_of_a_site_are_read() {
        let site = good(include_str!("../../tests/vectors/sites/good/full.yaml"));
        let alerts = site.alerts.unwrap();
        assert_eq!(alerts.repeat, Duration::from_hours(1));
        let names: Vec<&str> = alerts.rules.iter().map(|rule| &*rule.name).collect();
        let wanted = [
            "new_reader",
            "rate",
            "outside",
            "night",
            "denied",
            "break_glass",
            "stale",
            "sink_late",
            "tampered",
        ];
        assert_eq!(names, wanted);
        assert_eq!(alerts.rules[0].after, Duration::from_hours(14 * 24));
        assert_eq!(alerts.rules[1].kinds.len(), 2);
        assert_eq!(alerts.rules[2].weekdays.len(), 5);
        let night = alerts.rules[3].hours.unwrap();
        assert_eq!((night.from, night.to), (22, 6));
        assert_eq!(alerts.rules[7].after, Duration::from_mins(5));
        let receivers: Vec<String> = alerts.notify.iter().map(ReceiverSpec::name).collect();
        let wanted = [
            "webhook https://alerts.internal/hushpipe",
            "webhook https://chat.internal/hook",
            "alertmanager http://127.0.0.1:9093",
            "alertmanager https://alerts.internal:9093",
            "syslog unix:///dev/log",
            "syslog tls://siem.internal:6514",
            "journald",
        ];
        assert_eq!(receivers, wanted);
    }

    #[test]
    fn faults_of_alerts_say_where_they_are() {
        let text = "version: 1\nalerts:\n  rules:\n    - { on: denid }\n    - { on: rate, kinds: [relase] }\n    \
                    - { on: outside }\n    - { on: denied, after: 5m }\n    - { on: denied, hours: 8-8 }\n    \
                    - { on: tampered, services: [x] }\n  notify: [{}, { webhook: { url: 'https://h', key: x } }]\n";
        let shown = parsed(text).unwrap_err().text();
        for wanted in [
            "site.yaml:4:13: invalid value `denid` (did you mean `denied`?)",
            "site.yaml:5:27: invalid value `relase` (did you mean `release`?)",
            "a rule on rate needs the key `more_than`",
            "a rule on outside needs the key `hours` or `weekdays`",
            "site.yaml:7:21: a rule on denied has no key `after`",
            "site.yaml:8:28: invalid value `8-8`: hours are two whole numbers",
            "two rules are called `denied`",
            "a rule on tampered has no key `services`",
            "a receiver has one kind",
            "name the key's file",
        ] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
        let shown = parsed("version: 1\nalerts: { rules: [] }\n")
            .unwrap_err()
            .text();
        assert!(shown.contains("there is no rule"), "{shown}");
    }

    #[test]
    fn keys_that_are_left_out_have_their_defaults() {
        let least = good("version: 1\n");
        assert!(least.policy.is_none() && least.manifests.is_none());
        assert!(least.approvals.is_none() && least.audit.is_none());
        let site = good("version: 1\npolicy: {}\nmanifests: {}\napprovals: {}\naudit: {}\n");
        let policy = site.policy.unwrap();
        assert_eq!(policy.mode, PolicyMode::Enforce);
        assert_eq!(policy.directory, Path::new("/etc/hushpipe/policy.d"));
        let signers = site.manifests.unwrap().signers;
        assert_eq!(signers, Path::new("/etc/hushpipe/manifest-signers"));
        let approvals = site.approvals.unwrap();
        assert_eq!(approvals.wait, Duration::ZERO);
        assert_eq!(approvals.signers, Path::new("/etc/hushpipe/approvers"));
        assert_eq!(
            approvals.directory,
            Path::new("/var/lib/hushpipe/approvals")
        );
        let audit = site.audit.unwrap();
        assert!(audit.required && audit.fingerprint_key_file.is_none());
        assert_eq!(audit.directory, Path::new("/var/log/hushpipe"));
        assert_eq!(audit.key_file, Path::new("/var/lib/hushpipe/audit.key"));
        assert!(audit.witnesses.is_empty());
        let monitor = site.monitor.directory;
        assert_eq!(monitor, Path::new("/var/lib/hushpipe-monitor"));
    }

    #[test]
    fn all_faults_are_reported_in_one_run() {
        let text = "version: 2\nenvironmnt: x\npolicy: { mode: obverse, directory: policy.d }\n\
                    approvals: { wait: soon }\naudit: { required: \"true\", snks: [] }\nsecrets: {}\n";
        let error = parsed(text).unwrap_err();
        assert_eq!(error.exit(), Exit::Manifest);
        let shown = error.text();
        for wanted in [
            "site.yaml:1:10: unknown version `2` of the site",
            "site.yaml:2:1: unknown key `environmnt` (did you mean `environment`?)",
            "site.yaml:3:17: invalid value `obverse` (did you mean `observe`?)",
            "site.yaml:3:37: invalid value `policy.d`: it is not absolute",
            "site.yaml:4:20: invalid value `soon`",
            "site.yaml:5:20: `true` is neither true nor false",
            "site.yaml:5:28: unknown key `snks` (did you mean `sinks`?)",
            "site.yaml:6:1: unknown key `secrets`: it is a key of a manifest",
        ] {
            assert!(shown.contains(wanted), "{wanted}: {shown}");
        }
    }

    #[test]
    fn the_key_of_a_log_is_no_witness() {
        let key = "web1/hushpipe+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        for (key, why) in [
            (key, "signature type 0x04"),
            ("web1", "the form NAME+8 hex digits+base64"),
            (
                "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                "the form",
            ),
        ] {
            let text = format!(
                "version: 1\naudit: {{ witnesses: [{{ url: 'https://w.example', key: {key} }}] }}\n"
            );
            let shown = parsed(&text).unwrap_err().text();
            assert!(shown.contains(why), "{shown}");
        }
    }

    #[test]
    fn a_sink_has_one_kind_and_an_address() {
        for (sink, why) in [
            ("{}", "a sink has one kind"),
            (
                "{ journald: {}, otlp: { url: 'http://127.0.0.1:4318' } }",
                "a sink has one kind",
            ),
            (
                "{ syslog: { address: siem } }",
                "unix:///, udp://, tcp:// and tls://",
            ),
            (
                "{ http: { url: 'https://h', token: t } }",
                "holds no secret",
            ),
            (
                "{ http: { url: 'ftp://h' } }",
                "https://, http:// and unix:///",
            ),
            ("{ kafka: {} }", "unknown key `kafka`"),
        ] {
            let text = format!("version: 1\naudit: {{ sinks: [{sink}] }}\n");
            let shown = parsed(&text).unwrap_err().text();
            assert!(shown.contains(why), "{shown}");
        }
    }

    #[test]
    fn the_environment_of_the_caller_decides_nothing() {
        for text in [
            "version: 1\nenvironment: ${HOME}\n",
            "version: 1\npolicy: { directory: '${X:-/tmp}' }\n",
            "version: 1\nlabels: { a: 'b ${C}' }\n",
        ] {
            let shown = parsed(text).unwrap_err().text();
            assert!(shown.contains("a site has no variables"), "{shown}");
        }
        let escaped = good("version: 1\nlabels: { a: '$${B}' }\n");
        assert_eq!(escaped.labels["a"], "${B}");
        let home = parsed("version: 1\naudit: { directory: ~/log }\n").unwrap_err();
        assert!(
            home.text().contains("it is not absolute"),
            "{}",
            home.text()
        );
    }

    #[test]
    fn what_is_no_site_is_refused_and_called_a_site() {
        for (bytes, wanted) in [
            (
                &b""[..],
                "the site is empty (a site has at least `version: 1`)",
            ),
            (b"version: 1\0", "the site has a NUL byte at 10"),
            (b"version: 1\nenvironment: \xff", "the site is not UTF-8"),
            (b"version: 1\n---\nversion: 1\n", "a second YAML document"),
            (b"version: 1\nversion: 1\n", "version"),
            (
                b"version: 1\nlabels: !!map {}\n",
                "YAML tags are not allowed in a site",
            ),
            (b"[1]", "found a list"),
        ] {
            let error = parse_site(Path::new("/s.yaml"), bytes.to_vec()).unwrap_err();
            let text = error.text();
            assert!(text.contains(wanted), "{wanted}: {text}");
            assert!(!text.contains("manifest"), "{text}");
            assert_eq!(error.exit(), Exit::Manifest);
        }
        let long = parse_site(Path::new("/s.yaml"), vec![b'#'; MAX_SITE_BYTES + 1]);
        assert!(long.unwrap_err().text().contains("larger than 1 MiB"));
    }

    #[test]
    fn labels_have_plain_names_and_values() {
        for name in ["a b", "-a", "a-", "''", "ä"] {
            let text = format!("version: 1\nlabels: {{ ? {name} : x }}\n");
            assert!(parsed(&text).is_err(), "{name}");
        }
        let long = format!("version: 1\nlabels: {{ a: {} }}\n", "x".repeat(257));
        assert!(parsed(&long).is_err());
        let site = good("version: 1\nlabels: { example.com/team: 7, b: true }\n");
        assert_eq!(site.labels["example.com/team"], "7");
        assert_eq!(site.labels["b"], "true");
    }

    #[test]
    fn the_schema_knows_no_variables() {
        assert!(!site_schema().to_string().contains("\\\\$"));
    }
}
