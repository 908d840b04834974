//! How fields of the plan are serialised. Values of variables and of parameters are left out, as anything
//! could be in them.

#![allow(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde gives references to fields"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Signal, format_duration};

pub(super) fn path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

pub(super) fn path_or_none<S: Serializer>(
    path: &Option<PathBuf>,
    to: S,
) -> Result<S::Ok, S::Error> {
    path.as_ref()
        .map(|path| path.display().to_string())
        .serialize(to)
}

pub(super) fn duration<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format_duration(*duration))
}

pub(super) fn duration_or_none<S: Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    duration.map(format_duration).serialize(to)
}

/// `retry: { deadline: 60s }`
pub(super) fn retry<S: Serializer>(deadline: &Duration, to: S) -> Result<S::Ok, S::Error> {
    one("deadline", &format_duration(*deadline), to)
}

pub(super) fn no_token_file<S: Serializer>(to: S) -> Result<S::Ok, S::Error> {
    one("file", &None::<&str>, to)
}

pub(super) fn token_file<S: Serializer>(file: &Path, to: S) -> Result<S::Ok, S::Error> {
    one("file", &file.display().to_string(), to)
}

pub(super) fn signal<S: Serializer>(signal: &Signal, to: S) -> Result<S::Ok, S::Error> {
    one("signal", signal, to)
}

fn one<S: Serializer>(key: &str, value: &impl Serialize, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

pub(super) fn parameters<S: Serializer>(
    parameters: &Option<String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    parameters.as_deref().map(keys).serialize(to)
}

pub(super) fn template<T, S: Serializer>(_: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str("template")
}

pub(super) fn alive<S: Serializer>(to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bool(true)
}

/// What is not UTF-8 is replaced.
pub(super) fn command<S: Serializer>(words: &[OsString], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(words.iter().map(|word| word.to_string_lossy()))
}

pub(super) fn umask<S: Serializer>(mask: &Option<u32>, to: S) -> Result<S::Ok, S::Error> {
    mask.map(|mask| format!("{mask:04o}")).serialize(to)
}

/// The names alone.
pub(super) fn names<S: Serializer>(
    set: &BTreeMap<String, String>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(set.keys())
}

type Limits = BTreeMap<String, (Option<u64>, Option<u64>)>;

pub(super) fn limits<S: Serializer>(limits: &Limits, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Limit {
        soft: Option<u64>,
        hard: Option<u64>,
    }
    let limits = limits.iter();
    to.collect_map(limits.map(|(name, &(soft, hard))| (name, Limit { soft, hard })))
}

/// The names of a request's parameters.
pub(super) fn keys(parameters: &str) -> Vec<String> {
    let parameters: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(parameters).expect("the plan's parameters are JSON");
    parameters.into_keys().collect()
}
