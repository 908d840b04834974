//! The plan as JSON.

use serde_json::{Map, Value, json};

use crate::app::Report;
use crate::model::{Plan, Site};

/// The whole plan, and what was found out about it.
pub fn plan(plan: &Plan, site: Option<&Site>, report: Option<&Report>) -> Value {
    let mut shown = serde_json::to_value(plan).expect("the keys of a plan are text");
    shown["site"] = serde_json::to_value(site).expect("the keys of a site are text");
    shown["host"] = report.map_or(Value::Null, host);
    shown
}

fn host(report: &Report) -> Value {
    let versions = report.versions.iter();
    let versions: Map<_, _> = versions
        .map(|(name, version)| (name.to_string(), json!(version)))
        .collect();
    json!({
        "program": report.program.display().to_string(),
        "warnings": report.warnings,
        "isolation": report.isolation,
        "versions": versions,
    })
}
