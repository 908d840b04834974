//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code scanning services read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::scan::{Finding, Severity};

/// All findings as one run.
pub fn log(findings: &[Finding]) -> String {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in findings {
        rules.entry(&finding.rule).or_insert(finding);
    }
    let ids: Vec<&str> = rules.keys().copied().collect();
    let index = |id: &str| ids.iter().position(|other| *other == id);
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| result(finding, index(&finding.rule)))
        .collect();
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "hushpipe",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().map(|finding| rule(finding)).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

fn rule(finding: &Finding) -> Value {
    json!({
        "id": finding.rule,
        "shortDescription": { "text": finding.title },
        "defaultConfiguration": { "level": level(finding.severity) },
    })
}

fn result(finding: &Finding, index: Option<usize>) -> Value {
    let excerpt = finding.excerpt();
    let message = match excerpt.as_str() {
        "" => finding.title.clone(),
        excerpt => format!("{}: {excerpt}", finding.title),
    };
    let mut physical = json!({ "artifactLocation": { "uri": uri(&finding.place.path) } });
    if finding.line > 0 {
        physical["region"] = json!({ "startLine": finding.line, "startColumn": finding.column });
    }
    let mut location = json!({ "physicalLocation": physical });
    if let Some(within) = &finding.place.within {
        location["logicalLocations"] = json!([{ "name": within.name, "kind": within.kind }]);
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": { "text": message },
        "locations": [location],
        "partialFingerprints": { "hushpipe/v1": finding.fingerprint },
    })
}

/// A path as a relative reference of RFC 3986. A colon is escaped as well: it would end a scheme.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Place, Within};

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("a b/ü:c.env"), "a%20b/%C3%BC%3Ac.env");
    }

    fn finding(path: &str, line: u64, within: Option<Within>) -> Finding {
        Finding {
            rule: "github-token".to_owned(),
            title: "GitHub token".to_owned(),
            severity: Severity::High,
            place: Place {
                within,
                ..Place::file(path)
            },
            line,
            column: 3,
            name: Some("TOKEN".to_owned()),
            length: 40,
            known: Vec::new(),
            fingerprint: "0123456789abcdef-abc".to_owned(),
            value: None,
        }
    }

    #[test]
    fn the_log_is_valid_by_the_schema() {
        let schema = include_str!("../../../tests/vectors/sarif/sarif-2.1.0.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource("schema.json", schema).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        let within = Within {
            kind: "commit",
            name: "a\u{202e}b".to_owned(),
        };
        let findings = [
            finding("a b/\"<x>\n.env", 1, None),
            finding("/etc/x", 0, None),
            finding("c", 2, Some(within)),
        ];
        for findings in [&findings[..], &[]] {
            let log: Value = serde_json::from_str(&super::log(findings)).unwrap();
            let valid = schemas.validate(&log, index);
            assert!(valid.is_ok(), "{}", valid.err().unwrap());
            assert_eq!(
                log["runs"][0]["results"].as_array().unwrap().len(),
                findings.len()
            );
        }
        // The validator sees what is wrong.
        let wrong = json!({ "version": "2.1.0", "runs": [{}] });
        assert!(schemas.validate(&wrong, index).is_err());
    }
}
