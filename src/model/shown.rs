//! How values of the plan are written, as text and as JSON.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::plan::{
    Address, Checks, DeliveryKind, EnvInherit, FieldChecks, FileSpec, OwnerSpec, Refresh, Rewrite,
    Source, VaultRequest,
};
use super::{FileMode, SecretRef, Sha256, Signal, format_duration, written};

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// A signal, `rotate` or `none`.
impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(signal) => signal.fmt(f),
            Self::Drop => f.write_str("none"),
            Self::Rotate => f.write_str("rotate"),
        }
    }
}

/// A duration, `never`, or what the store does by itself.
impl fmt::Display for Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("store"),
            Self::Never => f.write_str("never"),
            Self::Every(duration) => f.write_str(&format_duration(*duration)),
        }
    }
}

/// `all`, `none`, or the names.
impl fmt::Display for EnvInherit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::AllAnd(names) => write!(f, "all and {}", names.join(", ")),
            Self::Only(names) => f.write_str(&names.join(", ")),
        }
    }
}

macro_rules! as_text {
    ($($type:ty),+) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        })+
    };
}

as_text!(
    Address, EnvInherit, FileMode, Refresh, Rewrite, SecretRef, Sha256, Signal
);

impl Source {
    /// How the value's fields are found.
    pub fn fields(&self) -> &'static str {
        match &self.request {
            Some(_) => "fields",
            None => self.format.word(),
        }
    }

    /// What the store is asked: the path of a request, else the key; empty for the whole output of a command.
    pub fn asked(&self) -> &str {
        match (&self.request, &self.key) {
            (Some(request), _) => &request.path,
            (None, key) => key.as_deref().unwrap_or_default(),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("store", &self.store)?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("version", &self.version)?;
        map.serialize_entry("request", &self.request)?;
        map.serialize_entry("format", self.fields())?;
        map.end()
    }
}

impl VaultRequest {
    /// The names of its parameters.
    pub fn parameter_names(&self) -> Vec<String> {
        self.parameters
            .as_deref()
            .map_or_else(Vec::new, written::keys)
    }
}

impl Checks {
    /// Each in words; those of fields start with the field's name.
    pub fn words(&self) -> Vec<String> {
        let mut all = self.whole.words("");
        for (name, field) in &self.fields {
            let found = field.words(&format!("{name}: "));
            if found.is_empty() {
                all.push(format!("{name}: there"));
            }
            all.extend(found);
        }
        all
    }
}

impl FieldChecks {
    fn words(&self, prefix: &str) -> Vec<String> {
        let length = match (self.min_length, self.max_length) {
            (None, None) => None,
            (Some(min), None) => Some(format!("{min} bytes or more")),
            (None, Some(max)) => Some(format!("{max} bytes or less")),
            (Some(min), Some(max)) => Some(format!("{min} to {max} bytes")),
        };
        let pattern = self.pattern.as_ref();
        let pattern = pattern.map(|pattern| format!("matches {pattern}"));
        let json = self.json.then(|| "JSON".to_owned());
        let certificate = self.certificate.then(|| "valid certificate".to_owned());
        let all = [length, pattern, json, certificate].into_iter().flatten();
        all.map(|check| format!("{prefix}{check}")).collect()
    }
}

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.words())
    }
}

impl Serialize for DeliveryKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match self {
            Self::File(spec) => file(&mut map, "file", spec)?,
            Self::Credential(spec) => file(&mut map, "credential", spec)?,
            Self::Fifo {
                file: spec,
                max_reads,
            } => {
                file(&mut map, "fifo", spec)?;
                map.serialize_entry("max_reads", max_reads)?;
            }
            Self::Fd {
                number,
                kind,
                mode,
                owner,
            } => {
                map.serialize_entry("fd", number)?;
                map.serialize_entry("as", kind)?;
                access(&mut map, *mode, owner)?;
            }
            Self::Getenv { name, children } => {
                map.serialize_entry("getenv", name)?;
                map.serialize_entry("children", children)?;
            }
            Self::Stdin => map.serialize_entry("stdin", &true)?,
        }
        map.end()
    }
}

fn file<M: SerializeMap>(map: &mut M, kind: &str, spec: &FileSpec) -> Result<(), M::Error> {
    map.serialize_entry(kind, &spec.path.display().to_string())?;
    if let Some(link) = &spec.link {
        map.serialize_entry("link", &link.display().to_string())?;
    }
    access(map, spec.mode, &spec.owner)
}

fn access<M: SerializeMap>(map: &mut M, mode: FileMode, owner: &OwnerSpec) -> Result<(), M::Error> {
    map.serialize_entry("mode", &mode)?;
    map.serialize_entry("owner", &owner.user)?;
    map.serialize_entry("group", &owner.group)
}
