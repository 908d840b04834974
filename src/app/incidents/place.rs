//! The directory of incidents: one file each, which every launcher of the host reads.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::model::printable::printable_path;
use crate::model::{Incident, IncidentState, is_incident_id};
use crate::sys::walk::{self, Rule};
use crate::sys::{beneath, durable, filesystem, held};

/// A file has no more bytes than this.
const LONGEST: u64 = 16 << 20;
/// There are no more incidents than this that are not closed.
const MOST: usize = 1_000;

/// A directory that was reached.
#[derive(Debug)]
pub struct Place {
    directory: OwnedFd,
    path: PathBuf,
}

impl Place {
    /// Opens it. `None`: there is none, and no incident. Errors are for a person.
    pub fn open(path: &Path) -> Result<Option<Self>, String> {
        match walk::directory(path, &Rule::STRICT) {
            Ok(directory) => Ok(Some(Self {
                directory,
                path: path.to_owned(),
            })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(format!("cannot read the incidents of this host: {error}")),
        }
    }

    /// Opens it, and makes it where it is not there: launchers of every user read it.
    pub fn make(path: &Path) -> Result<Self, String> {
        if let Some(place) = Self::open(path)? {
            return Ok(place);
        }
        let made = held::make_directories(path, &Rule::STRICT);
        let directory = made.map_err(|error| format!("cannot keep incidents: {error}"))?;
        let path = path.to_owned();
        let changed = filesystem::change_mode(&directory, 0o755);
        changed.map_err(|error| {
            format!(
                "cannot change the mode of {}: {error}",
                printable_path(&path)
            )
        })?;
        Ok(Self { directory, path })
    }

    /// Those that are not closed, oldest first.
    pub fn open_ones(&self) -> Result<Vec<Incident>, String> {
        self.all(|name| name.starts_with("open-"))
    }

    /// All of them, oldest first.
    pub fn every_one(&self) -> Result<Vec<Incident>, String> {
        self.all(|_| true)
    }

    fn all(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Incident>, String> {
        let shown = printable_path(&self.path);
        let names = filesystem::entries(&self.directory);
        let names = names.map_err(|error| format!("cannot read {shown}: {error}"))?;
        let names = names.iter().filter_map(|name| name.to_str());
        let mut names: Vec<&str> = names.filter(|name| is_one(name) && wanted(name)).collect();
        if names.len() > MOST && wanted("open-") && !wanted("closed-") {
            return Err(format!(
                "{shown} has more than {MOST} incidents: close some"
            ));
        }
        names.sort_unstable_by_key(|name| name.split_once('-').map(|(_, id)| id.to_owned()));
        names.into_iter().map(|name| self.read(name)).collect()
    }

    fn read(&self, name: &str) -> Result<Incident, String> {
        let wrong = |why: &dyn std::fmt::Display| {
            format!(
                "cannot read the incident {}: {why}",
                printable_path(&self.path.join(name))
            )
        };
        let bytes =
            beneath::read_file(&self.directory, name, LONGEST).map_err(|error| wrong(&error))?;
        let incident: Incident = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
        if file(&incident) == OsStr::new(name) || name == format!("open-{}.json", incident.id) {
            Ok(incident)
        } else {
            Err(wrong(&"it is another one by its name"))
        }
    }

    /// Puts one on the disk.
    pub fn write(&self, incident: &Incident) -> Result<(), String> {
        let name = file(incident);
        let text = serde_json::to_string(incident).map_err(|error| error.to_string())?;
        let wrong = |error: std::io::Error| {
            format!(
                "cannot write the incident {}: {error}",
                printable_path(&self.path.join(&name))
            )
        };
        durable::replace_at(&self.directory, &name, text.as_bytes(), 0o644).map_err(wrong)?;
        if incident.state == IncidentState::Closed {
            let open = format!("open-{}.json", incident.id);
            filesystem::unlink_at(&self.directory, open).map_err(wrong)?;
        }
        Ok(())
    }
}

fn is_one(name: &str) -> bool {
    let id = name
        .strip_suffix(".json")
        .and_then(|name| name.split_once('-'));
    id.is_some_and(|(state, id)| matches!(state, "open" | "closed") && is_incident_id(id))
}

fn file(incident: &Incident) -> OsString {
    let state = match incident.state {
        IncidentState::Closed => "closed",
        _ => "open",
    };
    format!("{state}-{}.json", incident.id).into()
}
