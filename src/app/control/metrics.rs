//! The metrics of launchers.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::fault::ControlError;
use super::find::{self, Target};
use super::survey::{MOST, statuses};
use super::{GLANCE, in_loop};
use crate::model::printable::printable_path;
use crate::monitor::{Dialect, launcher_metrics, metrics_text};
use crate::sys::durable;
use crate::sys::walk::{self, Rule};

/// What was asked of launchers.
#[derive(Debug)]
pub struct Asked {
    /// For a scrape.
    pub openmetrics: String,
    /// For node_exporter's textfile collector.
    pub prometheus: String,
    /// Launchers that did not answer, and why.
    pub silent: Vec<String>,
}

/// Of a launcher; `None`: of all that this user may ask.
pub fn metrics(
    target: Option<&Target>,
    patience: Duration,
    now: SystemTime,
) -> Result<Asked, ControlError> {
    let launchers = if let Some(target) = target {
        vec![in_loop(find::find(target, patience.min(GLANCE)))??]
    } else {
        let mut found = find::of_everybody()?.launchers;
        found.truncate(MOST);
        found
    };
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for (path, status) in in_loop(statuses(launchers, patience))? {
        match status {
            Ok(status) => all.push(*status),
            Err(error) if error.has_ended() => {}
            Err(error) => silent.push(format!("{}: {error}", path.display())),
        }
    }
    let metrics = launcher_metrics(&all, now);
    Ok(Asked {
        openmetrics: metrics_text(&metrics, Dialect::OpenMetrics),
        prometheus: metrics_text(&metrics, Dialect::Prometheus),
        silent,
    })
}

/// Writes a file that others read whole or not at all; the error is for a person.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let (directory, name) = walk::parent(path, &Rule::STRICT).map_err(|error| error.to_string())?;
    let written = durable::replace_at(directory, &name, text.as_bytes(), 0o644);
    written.map_err(|error| format!("cannot write {}: {error}", printable_path(path)))
}
