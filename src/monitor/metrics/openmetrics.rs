//! Metrics as text: OpenMetrics 1.0 for scrapes, and Prometheus' own older format for node_exporter's textfile
//! collector.

use std::fmt::Write as _;

use super::counts::{Family, Metrics, Type, number};
use crate::model::counts::{BOUNDS_MS, Histogram};

/// How they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
    /// `text/plain; version=0.0.4`
    Prometheus,
}

impl Dialect {
    /// What HTTP calls it.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

/// All families and samples.
pub fn text(metrics: &Metrics, dialect: Dialect) -> String {
    let mut text = String::new();
    for (family, samples) in metrics.families() {
        let (name, help) = (family.name, escaped(family.help));
        let (kind, suffix) = match family.kind {
            Type::Counter => ("counter", "_total"),
            Type::Gauge => ("gauge", ""),
            Type::Histogram => ("histogram", ""),
        };
        // OpenMetrics names a counter's family without the suffix of its samples.
        let shown = match dialect {
            Dialect::OpenMetrics => name.to_owned(),
            Dialect::Prometheus => format!("{name}{suffix}"),
        };
        let written = write!(text, "# HELP {shown} {help}\n# TYPE {shown} {kind}\n");
        written.expect("a String is written");
        for (labels, value) in samples {
            sample(
                &mut text,
                &format!("{name}{suffix}"),
                &pairs(family, labels),
                *value,
            );
        }
    }
    for (family, histograms) in metrics.histograms() {
        let (name, help) = (family.name, escaped(family.help));
        let written = write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        written.expect("a String is written");
        for (labels, histogram) in histograms {
            buckets(&mut text, name, &pairs(family, labels), histogram);
        }
    }
    if dialect == Dialect::OpenMetrics {
        text += "# EOF\n";
    }
    text
}

/// `label="value"`, of each.
fn pairs(family: &Family, labels: &[String]) -> Vec<String> {
    let labels = family.labels.iter().zip(labels);
    labels
        .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
        .collect()
}

fn sample(text: &mut String, name: &str, labels: &[String], value: f64) {
    text.push_str(name);
    if !labels.is_empty() {
        write!(text, "{{{}}}", labels.join(",")).expect("a String is written");
    }
    writeln!(text, " {value}").expect("a String is written");
}

/// Cumulative, each with its upper bound in seconds.
fn buckets(text: &mut String, name: &str, labels: &[String], histogram: &Histogram) {
    let bounds = BOUNDS_MS
        .iter()
        .map(|bound| format!("{:?}", number(*bound) / 1e3));
    let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
    let mut all = 0;
    for (bound, count) in bounds.zip(&histogram.buckets) {
        all += count;
        let with = [labels, &[format!("le=\"{bound}\"")]].concat();
        sample(text, &format!("{name}_bucket"), &with, number(all));
    }
    sample(
        text,
        &format!("{name}_sum"),
        labels,
        number(histogram.sum_us) / 1e6,
    );
    sample(text, &format!("{name}_count"), labels, number(all));
}

/// The three characters that both formats escape.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::counts::tests::some;
    use super::*;

    #[test]
    fn it_is_as_the_specification_says() {
        let metrics = some();
        let text = text(&metrics, Dialect::OpenMetrics);
        let wanted = "# HELP hushpipe_audit_records Records of the audit log.\n\
                      # TYPE hushpipe_audit_records counter\n\
                      hushpipe_audit_records_total{service=\"shop\",kind=\"denied\"} 1\n\
                      hushpipe_audit_records_total{service=\"shop\",kind=\"release\"} 1\n\
                      hushpipe_audit_records_total{service=\"shop\",kind=\"rotated\"} 1\n";
        assert!(text.contains(wanted), "{text}");
        assert!(
            text.contains("hushpipe_sink_up{sink=\"a\\\\b\\\"c\\nd\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("hushpipe_audit_failures_total 0\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n"));
        let text = super::text(&metrics, Dialect::Prometheus);
        assert!(
            text.contains("# TYPE hushpipe_audit_records_total counter\n"),
            "{text}"
        );
        assert!(!text.contains("EOF"));
    }

    /// promtool of Debian's prometheus, where it is installed: tests/install does that for nightly runs.
    #[test]
    fn promtool_accepts_it() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/prometheus/");
        let promtool = |words: &[&str], stdin: &str| {
            let child = Command::new("promtool")
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut child = match child {
                Ok(child) => child,
                Err(error) => {
                    let nightly = std::env::var_os("HUSHPIPE_NIGHTLY").is_some();
                    assert!(!nightly, "a nightly run has promtool: {error}");
                    return;
                }
            };
            let mut pipe = child.stdin.take().unwrap();
            pipe.write_all(stdin.as_bytes()).unwrap();
            drop(pipe);
            let output = child.wait_with_output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&said)
            );
        };
        promtool(&["check", "metrics"], &text(&some(), Dialect::Prometheus));
        promtool(
            &["check", "rules", &format!("{place}hushpipe.rules.yml")],
            "",
        );
        promtool(
            &["test", "rules", &format!("{place}hushpipe.rules.test.yml")],
            "",
        );
    }
}
