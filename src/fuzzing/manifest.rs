//! A manifest.

use std::path::Path;

use crate::manifest::{ManifestError, Overrides, parse};
use crate::model::{Exit, Plan};

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/u".to_owned()),
        "REGION" => Some("eu-1".to_owned()),
        _ => None,
    }
}

/// As `hushpipe check` reads it.
pub fn parsed(text: &str) -> Result<Plan, ManifestError> {
    let overrides = Overrides::default();
    let name = Path::new("/etc/app/hushpipe.yaml");
    parse(name, text, &overrides, &environment)
}

/// A plan delivers only secrets that it has; a refusal has faults, each in a place of the text, and
/// shows no control characters of it to a terminal.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parsed(text) {
        Ok(plan) => {
            for delivery in &plan.deliveries {
                let uses = delivery.channel.secrets();
                assert!(uses.iter().all(|name| plan.secrets.contains_key(name)));
            }
            for secret in plan.secrets.values() {
                assert!(plan.stores.contains_key(&secret.source.store));
            }
        }
        Err(error) => refused(&error, text),
    }
}

pub(super) fn refused(error: &ManifestError, text: &str) {
    assert_eq!(error.exit(), Exit::Manifest);
    let faults = error.faults();
    assert!(!faults.is_empty());
    let lines = text.matches('\n').count() + 1;
    for (place, message) in faults {
        assert!((1..=lines).contains(&place.line) && place.column >= 1);
        assert!(!message.is_empty());
    }
    let is_shown = |c: char| !c.is_control() || c == '\n';
    let unshown = |text: &str| text.chars().find(|c| !is_shown(*c));
    assert_eq!(unshown(&error.render(false)), None);
    assert_eq!(unshown(&error.text()), None);
    assert!(error.render(true).len() >= error.render(false).len());
}
