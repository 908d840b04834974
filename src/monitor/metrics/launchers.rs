//! What launchers say of themselves, in numbers. Several of one service are one: counters are added, and of
//! gauges the worst counts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::counts::{Id, Metrics, number};
use crate::model::control::{SecretStatus, Status};
use crate::model::counts::Counts;
use crate::model::printable::printable;

/// Of launchers that answered, at a time.
pub fn of_launchers(all: &[Status], now: SystemTime) -> Metrics {
    let mut metrics = Metrics::default();
    metrics.set(Id::Build, &[crate::monitor::format::VERSION], 1.0);
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for status in all {
        let service = printable(&status.service);
        of_one(&mut metrics, &service, status, now);
        counts.entry(service).or_default().merge(&status.counts);
    }
    for (service, counts) in &counts {
        counted(&mut metrics, service, counts);
    }
    metrics
}

fn of_one(metrics: &mut Metrics, service: &str, status: &Status, now: SystemTime) {
    let one = [service];
    metrics.least(Id::ProgramUp, &one, truth(status.is_alive()));
    metrics.least(Id::Healthy, &one, truth(status.healthy));
    metrics.most(Id::Generation, &one, number(status.generation));
    metrics.add(Id::Restarts, &one, number(status.restarts));
    let waits = status.control_groups.len() as u64
        + u64::from(status.state.starts_with("waiting for approval"));
    metrics.add(Id::ApprovalsPending, &one, number(waits));
    if let Some(next) = &status.next {
        let at = seconds(now, i128::from(next.in_seconds));
        metrics.least(Id::NextRefresh, &one, at);
    }
    for secret in &status.secrets {
        of_secret(metrics, service, secret, now);
    }
    let stores = status.secrets.iter().map(|secret| &secret.store);
    for store in stores {
        let is_down = status.outages.iter().any(|outage| outage.store == *store);
        metrics.least(Id::StoreUp, &[service, &printable(store)], truth(!is_down));
    }
}

fn of_secret(metrics: &mut Metrics, service: &str, secret: &SecretStatus, now: SystemTime) {
    let name = printable(&secret.name);
    let labels = [service, &name];
    let created = seconds(now, -i128::from(secret.age_seconds));
    metrics.least(Id::Created, &labels, created);
    if let Some(left) = secret.lease_seconds {
        metrics.least(Id::Expiration, &labels, seconds(now, i128::from(left)));
        metrics.most(Id::Overdue, &labels, truth(left == 0));
    }
}

fn counted(metrics: &mut Metrics, service: &str, counts: &Counts) {
    for (result, count) in &counts.rotations {
        metrics.add(
            Id::Rotations,
            &[service, &printable(result)],
            number(*count),
        );
    }
    metrics.histogram(Id::RotationDuration, &[service], &counts.rotation);
    for (store, results) in &counts.requests {
        for (result, count) in results {
            let labels = [service, &*printable(store), &*printable(result)];
            metrics.add(Id::StoreRequests, &labels, number(*count));
        }
    }
    for (store, histogram) in &counts.fetch {
        metrics.histogram(Id::FetchDuration, &[service, &printable(store)], histogram);
    }
    for (stream, count) in &counts.redactions {
        metrics.add(
            Id::Redactions,
            &[service, &printable(stream)],
            number(*count),
        );
    }
}

fn truth(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Seconds since 1970, so many from now.
fn seconds(now: SystemTime, from_now: i128) -> f64 {
    let now = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let at = i128::from(now)
        .saturating_add(from_now)
        .clamp(0, i128::from(u64::MAX));
    number(u64::try_from(at).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::control::{Next, Outage};
    use crate::monitor::metrics::{Dialect, text};

    fn status() -> Status {
        let mut counts = Counts::default();
        counts.rotations.insert("ok".to_owned(), 2);
        counts.rotation.add(Duration::from_millis(30));
        counts
            .fetch
            .entry("vault".to_owned())
            .or_default()
            .add(Duration::from_secs(90));
        let ok = BTreeMap::from([("ok".to_owned(), 1)]);
        counts.requests.insert("vault".to_owned(), ok);
        counts.redactions.insert("stdout".to_owned(), 3);
        Status {
            service: "shop".to_owned(),
            program_pid: Some(7),
            healthy: true,
            generation: 3,
            restarts: 1,
            secrets: vec![SecretStatus {
                name: "db".to_owned(),
                store: "vault".to_owned(),
                age_seconds: 100,
                lease_seconds: Some(50),
                ..SecretStatus::default()
            }],
            next: Some(Next {
                what: "x".to_owned(),
                in_seconds: 20,
            }),
            counts,
            ..Status::default()
        }
    }

    #[test]
    fn a_launcher_says_all_of_it() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let text = text(&of_launchers(&[status()], now), Dialect::OpenMetrics);
        for wanted in [
            "hushpipe_program_up{service=\"shop\"} 1\n",
            "hushpipe_generation{service=\"shop\"} 3\n",
            "hushpipe_restarts_total{service=\"shop\"} 1\n",
            "hushpipe_secret_created_timestamp_seconds{service=\"shop\",secret=\"db\"} 900\n",
            "hushpipe_secret_expiration_timestamp_seconds{service=\"shop\",secret=\"db\"} 1050\n",
            "hushpipe_secret_overdue{service=\"shop\",secret=\"db\"} 0\n",
            "hushpipe_next_refresh_timestamp_seconds{service=\"shop\"} 1020\n",
            "hushpipe_store_up{service=\"shop\",store=\"vault\"} 1\n",
            "hushpipe_rotations_total{service=\"shop\",result=\"ok\"} 2\n",
            "hushpipe_rotation_duration_seconds_bucket{service=\"shop\",le=\"0.025\"} 0\n",
            "hushpipe_rotation_duration_seconds_bucket{service=\"shop\",le=\"0.05\"} 1\n",
            "hushpipe_rotation_duration_seconds_bucket{service=\"shop\",le=\"+Inf\"} 1\n",
            "hushpipe_rotation_duration_seconds_sum{service=\"shop\"} 0.03\n",
            "hushpipe_rotation_duration_seconds_count{service=\"shop\"} 1\n",
            "hushpipe_fetch_duration_seconds_bucket{service=\"shop\",store=\"vault\",le=\"60.0\"} 0\n",
            "hushpipe_store_requests_total{service=\"shop\",store=\"vault\",result=\"ok\"} 1\n",
            "hushpipe_redactions_total{service=\"shop\",stream=\"stdout\"} 3\n",
            "hushpipe_approvals_pending{service=\"shop\"} 0\n",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }

    #[test]
    fn of_several_launchers_of_a_service_the_worst_counts() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let mut second = status();
        second.program_pid = None;
        second.healthy = false;
        second.secrets[0].age_seconds = 500;
        second.outages.push(Outage {
            store: "vault".to_owned(),
            ..Outage::default()
        });
        let text = text(&of_launchers(&[status(), second], now), Dialect::Prometheus);
        for wanted in [
            "hushpipe_program_up{service=\"shop\"} 0\n",
            "hushpipe_store_up{service=\"shop\",store=\"vault\"} 0\n",
            "hushpipe_secret_created_timestamp_seconds{service=\"shop\",secret=\"db\"} 500\n",
            "hushpipe_rotations_total{service=\"shop\",result=\"ok\"} 4\n",
            "# TYPE hushpipe_rotation_duration_seconds histogram\n",
            "hushpipe_rotation_duration_seconds_count{service=\"shop\"} 2\n",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}
