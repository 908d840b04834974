//! Alerts and their baseline on the disk, below `monitor.directory`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::alert::Alert;
use super::baseline::Baseline;
use super::watch::{Standing, Watch};
use crate::model::printable::printable_path;
use crate::sys::walk::{self, Rule};
use crate::sys::{beneath, durable, filesystem, held};

/// The alerts.
pub const ALERTS: &str = "alerts.json";
/// Who has read what.
const BASELINE: &str = "baseline.json";
/// Neither has more bytes than this.
const LONGEST: u64 = 32 << 20;

/// Where they are.
#[derive(Debug)]
pub struct Files {
    directory: OwnedFd,
    path: PathBuf,
}

impl Files {
    /// Makes the directory where it is not there; the error is for a person.
    pub fn open(path: &Path) -> Result<Self, String> {
        let directory = held::make_directories(path, &Rule::STRICT);
        let directory = directory.map_err(|error| error.to_string())?;
        let path = path.to_owned();
        Ok(Self { directory, path })
    }

    /// What was kept.
    pub fn load(&self) -> Result<(Standing, Baseline), String> {
        let standing = read_one(&self.directory, &self.path, ALERTS)?;
        let baseline = read_one(&self.directory, &self.path, BASELINE)?;
        Ok((standing.unwrap_or_default(), baseline.unwrap_or_default()))
    }

    /// Writes what is not on the disk yet. The baseline comes last: after a crash between the two, a reader is
    /// new once more, rather than never.
    pub fn save(&self, watch: &mut Watch) -> Result<(), String> {
        let (standing, baseline) = watch.kept();
        let text =
            |json: Result<String, serde_json::Error>| json.map_err(|error| error.to_string());
        if watch.unsaved.0 {
            self.write(ALERTS, &text(serde_json::to_string(standing))?)?;
        }
        if watch.unsaved.1 {
            self.write(BASELINE, &text(serde_json::to_string(baseline))?)?;
        }
        watch.unsaved = (false, false);
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let written =
            durable::replace_at(&self.directory, OsStr::new(name), text.as_bytes(), 0o600);
        written.map_err(|error| {
            format!(
                "cannot write {}: {error}",
                printable_path(&self.path.join(name))
            )
        })
    }
}

fn read_one<T: DeserializeOwned>(
    directory: &OwnedFd,
    path: &Path,
    name: &str,
) -> Result<Option<T>, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!("cannot read {}: {error}", printable_path(&path.join(name)))
    };
    match beneath::read_file(directory, name, LONGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(&error)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| wrong(&error)),
    }
}

/// The alerts that a monitor keeps in a directory, whoever runs it; none, where there is no monitor. It is for
/// commands of root, which believe none of it but times and words.
pub fn read(path: &Path) -> Result<Vec<Alert>, String> {
    let status = filesystem::status_of_path(path);
    let status =
        status.map_err(|error| format!("cannot look at {}: {error}", printable_path(path)))?;
    let Some(status) = status else {
        return Ok(Vec::new());
    };
    let rule = Rule {
        owners: &[status.uid],
        ..Rule::STRICT
    };
    let directory = walk::directory(path, &rule).map_err(|error| error.to_string())?;
    let standing: Option<Standing> = read_one(&directory, path, ALERTS)?;
    let alerts = standing.unwrap_or_default().alerts;
    Ok(alerts.into_values().collect())
}
