//! hushpipe-monitor(8): sinks, witnesses, and how a host is set up for both.

use roff::{Roff, bold, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, item, paragraphs, see_also, unjustified, verbatim};

const WHAT: [&str; 4] = [
    "hushpipe monitor follows the audit log of this host's site (hushpipe-audit(7)), sends its records to the \
     sinks of audit.sinks, and has the witnesses of audit.witnesses cosign each new checkpoint. It reads the log \
     and needs no key and no privileges: hushpipe-monitor.service runs it as a user of its own, in a group that \
     can read the log.",
    "The log on the disk is the spool. Each sink has a position below monitor.directory, which moves only when \
     the other side has confirmed. Records arrive at least once and in order; after a failure or a crash, those \
     that may have been sent before are marked as duplicates. Each copy of a record has the same id, \
     HOST/NUMBER. While a sink is down, its records wait in the log, and the others have theirs.",
    "A new sink starts at the first record that is there. A sink is known by its kind and address: to change its \
     token or its certificates does not send everything again, to change its address does.",
    "A record that was pruned before a sink had it is not sent, and hushpipe says so. Fewer records in the log \
     than a sink had already, or a witness that saw another log, are reported as errors: the log was replaced.",
];

const SINKS: [(&str, &str); 5] = [
    (
        "journald: {}",
        "The journal of this host, by its native protocol: a message, the record in HUSHPIPE_RECORD, and fields \
         such as HUSHPIPE_KIND and HUSHPIPE_SERVICE. Confirmed by the kernel.",
    ),
    (
        "syslog: { address: ADDRESS }",
        "RFC 5424, facility authpriv, the record as its message. unix:///path and udp://host:514 are confirmed by \
         this host's kernel, and a record of more than 8192 bytes is cut there; tcp://host:514 and \
         tls://host:6514 count octets and are confirmed by the other host's kernel, as syslog has no other \
         confirmation.",
    ),
    (
        "http: { url: URL, format: ocsf }",
        "A list of OCSF 1.8 events by POST; raw_data is the record's line, so that the log's tree can be built \
         from the receiver's copy. Confirmed by a status of 200 to 299.",
    ),
    (
        "http: { url: URL, format: json | hec }",
        "A list of records as they are; or Splunk's HTTP Event Collector, URL with /services/collector/event.",
    ),
    (
        "otlp: { url: URL }",
        "OpenTelemetry's logs, by POST of JSON to URL/v1/logs.",
    ),
];

const METRICS: [&str; 3] = [
    "With metrics: in the site, the monitor counts the log's records and shows how far sinks and witnesses are: at \
     http://ADDRESS/metrics (listen, OpenMetrics), in hushpipe.prom in node_exporter's directory of text files \
     (textfile, which the service's user must be able to write), and by OTLP/HTTP (otlp). Counters begin at zero \
     with the monitor. Labels have names of services, secrets, sinks and witnesses; never a value.",
    "What launchers alone know (whether programs run and stores answer, leases that end, how long requests and \
     rotations took) they say themselves: hushpipe metrics --all, by root from a timer, with --output for \
     node_exporter.",
    "/usr/share/doc/hushpipe has alert rules for Prometheus with their tests (prometheus/), and a dashboard for \
     Grafana (grafana/hushpipe.json).",
];

const DIRECT: &str = "In a container, where no monitor runs, audit: { direct: true } has each launcher feed the sinks \
                      itself. A release is confirmed by every sink before anything of it is delivered, or refused (exit \
                      code 75) where audit.required is true; other records follow, and the last ones before the launcher \
                      ends. Launchers of one log take turns, and keep how far each sink is in monitor.directory.";

const ALERTS: [&str; 3] = [
    "With alerts: in the site, the monitor evaluates its rules on each record, and notifies the receivers of \
     alerts.notify once when an alert begins, again after alerts.repeat while it goes on, and when it is over: \
     alerts.resolve after its last record. Alertmanager is sent all that goes on each minute. A receiver that does \
     not answer is retried for about a quarter of an hour; then its notifications are dropped, with a warning. \
     Records that came while no monitor ran are looked at when one starts; those from before its first start are \
     only learnt from.",
    "Rules: new_reader (a service, or a program by its digest, reads a secret of a store for the first time; all \
     are learnt for 7 days from the log's first record on), rate, outside (hours and weekdays of the host's time \
     zone), denied, break_glass, stale (a running service has had the same version for too long), sink_late, \
     tampered. Each can be of some services and secrets alone. Alerts and the baseline are in alerts.json and \
     baseline.json of monitor.directory.",
    "A webhook is JSON: status (firing or resolved), rule, severity, host, labels, summary, help, started (the time \
     of the first record), detected, ended, count, records. webhook-id is the same for each copy of a message; \
     webhook-signature is that of Standard Webhooks (standardwebhooks.com), by the key in key_file.",
];

const EXAMPLE: &str = "\
# /etc/hushpipe/site.yaml
version: 1
audit:
  directory: /var/log/hushpipe
  sinks:
    - journald: {}
    - syslog: { address: \"tls://siem.internal:6514\", ca_file: /etc/hushpipe/siem.pem }
    - http:
        url: https://splunk.internal:8088/services/collector/event
        format: hec
        token_file: /run/credentials/hushpipe-monitor.service/hec
metrics: { listen: \"127.0.0.1:9184\" }
alerts:
  rules: [{ on: new_reader }, { on: denied }, { on: break_glass }, { on: tampered }]
  notify: [{ alertmanager: { url: \"http://127.0.0.1:9093\" } }]

# let the service read the log: group adm
$ install -d -m 0750 -g adm /var/log/hushpipe
$ systemctl enable --now hushpipe-monitor

# the records of a service, in the journal
$ journalctl -o verbose HUSHPIPE_SERVICE=shop

# a log that exists already was made for root alone
$ chgrp -R adm /var/log/hushpipe
$ chmod -R g+rX /var/log/hushpipe";

/// The page.
pub(super) fn page() -> Page {
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["hushpipe-monitor", "8", NO_DATE, source, "hushpipe"]);
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(
        "hushpipe-monitor - send the audit log to where it is looked at",
    )]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("hushpipe monitor"), roman(" [--once]")]);
    roff.control("SH", ["DESCRIPTION"]);
    paragraphs(&mut roff, &WHAT);
    roff.control("SH", ["SINKS"]);
    for (name, about) in SINKS {
        item(&mut roff, name, about);
    }
    roff.control("SH", ["WITHOUT A MONITOR"]);
    roff.control("PP", []);
    roff.text([roman(DIRECT)]);
    roff.control("SH", ["METRICS"]);
    paragraphs(&mut roff, &METRICS);
    roff.control("SH", ["ALERTS"]);
    paragraphs(&mut roff, &ALERTS);
    roff.control("SH", ["EXAMPLES"]);
    verbatim(&mut roff, EXAMPLE.lines());
    let pages = [
        ("hushpipe-monitor", 1),
        ("hushpipe-metrics", 1),
        ("hushpipe-incident", 7),
        ("hushpipe-audit", 7),
        ("hushpipe-site.yaml", 5),
    ];
    see_also(&mut roff, &pages);
    Page {
        name: "hushpipe-monitor".to_owned(),
        section: 8,
        roff: ascii(&roff.to_roff()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::parse_site;

    #[test]
    fn the_example_of_a_site_has_no_faults() {
        let text = EXAMPLE.split("\n\n").next().unwrap();
        let site = parse_site(std::path::Path::new("site.yaml"), text.into());
        let site = site.map_err(|error| error.text()).unwrap();
        assert_eq!(site.audit.unwrap().sinks.len(), 3);
    }
}
