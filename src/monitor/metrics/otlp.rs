//! Metrics by OTLP/HTTP in JSON (opentelemetry.io/docs/specs/otlp).

use serde_json::{Value, json};

use super::counts::{Family, Metrics, Type};
use crate::monitor::format::VERSION;

/// Counters are cumulative.
const CUMULATIVE: u8 = 2;

/// The body of a request to `/v1/metrics`. Times are nanoseconds since 1970: of the monitor's start, and now.
pub fn body(metrics: &Metrics, host: &str, start: u128, now: u128) -> Vec<u8> {
    let all: Vec<Value> = metrics
        .families()
        .map(|(family, samples)| {
            let points: Vec<Value> = samples
                .iter()
                .map(|(labels, value)| point(family, labels, *value, start, now))
                .collect();
            let mut metric = json!({ "name": family.name, "description": family.help });
            match family.kind {
                Type::Counter => {
                    metric["sum"] = json!({
                        "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points,
                    });
                }
                // The monitor has no histograms: launchers do, and are asked by `hushpipe metrics`.
                Type::Gauge | Type::Histogram => metric["gauge"] = json!({ "dataPoints": points }),
            }
            metric
        })
        .collect();
    let body = json!({ "resourceMetrics": [{
        "resource": { "attributes": [
            attribute("service.name", "hushpipe"),
            attribute("service.version", VERSION),
            attribute("host.name", host),
        ] },
        "scopeMetrics": [{
            "scope": { "name": "hushpipe.monitor", "version": VERSION },
            "metrics": all,
        }],
    }] });
    body.to_string().into_bytes()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn point(family: &Family, labels: &[String], value: f64, start: u128, now: u128) -> Value {
    let labels = family.labels.iter().zip(labels);
    let attributes: Vec<Value> = labels.map(|(name, value)| attribute(name, value)).collect();
    json!({
        "attributes": attributes,
        "startTimeUnixNano": start.to_string(),
        "timeUnixNano": now.to_string(),
        "asDouble": value,
    })
}

#[cfg(test)]
mod tests {
    use super::super::counts::tests::some;
    use super::*;

    #[test]
    fn a_request_is_as_the_protocol_says() {
        let body: Value = serde_json::from_slice(&body(&some(), "web1", 1, 2)).unwrap();
        let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
            .as_array()
            .unwrap();
        let named = |name: &str| {
            metrics
                .iter()
                .find(|metric| metric["name"] == name)
                .unwrap()
        };
        let wanted = json!({
            "aggregationTemporality": 2,
            "isMonotonic": true,
            "dataPoints": [{
                "attributes": [
                    { "key": "service", "value": { "stringValue": "shop" } },
                    { "key": "result", "value": { "stringValue": "ok" } },
                ],
                "startTimeUnixNano": "1",
                "timeUnixNano": "2",
                "asDouble": 1.0,
            }],
        });
        assert_eq!(named("hushpipe_rotations")["sum"], wanted);
        let gauge = &named("hushpipe_generation")["gauge"]["dataPoints"][0];
        assert_eq!(gauge["asDouble"], 4.0);
    }
}
