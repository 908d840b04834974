//! The program's environment.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::SpawnError;
use crate::model::{EnvInherit, EnvSpec, credentials, loads_code};
use crate::sys::users::User;

/// What systemd says to the process that it started: true of hushpipe, not of the program. Who makes
/// it true of the program sets it by `Handover::variables`.
const OF_SYSTEMD: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
];

/// An environment, and what is held back of it.
pub(super) struct Environment {
    pub variables: BTreeMap<OsString, OsString>,
    /// What systemd said to hushpipe, as far as the program may know of it.
    pub of_systemd: BTreeMap<OsString, OsString>,
}

/// What is inherited, less what is taken out, with what is set on top. A change of user brings the
/// new user's HOME, USER and LOGNAME in place of hushpipe's.
pub(super) fn build(
    spec: &EnvSpec,
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    user: Option<&User>,
) -> Environment {
    let one_of = |names: &[String], name: &OsStr| names.iter().any(|known| name == known.as_str());
    let bootstrap = |name: &OsStr| credentials::is_bootstrap(name.as_bytes());
    let wanted = |name: &OsStr| match &spec.inherit {
        EnvInherit::All => !bootstrap(name),
        EnvInherit::None => false,
        EnvInherit::AllAnd(names) => one_of(names, name) || !bootstrap(name),
        EnvInherit::Only(names) => one_of(names, name),
    };
    let loading = spec.loading.as_ref();
    let unjudged = |name: &OsStr| {
        loading.is_some_and(|named| loads_code(name.as_bytes()) && !one_of(named, name))
    };
    let withheld = |name: &OsStr| {
        credentials::is_own(name.as_bytes()) || one_of(&spec.withheld, name) || unjudged(name)
    };
    let mut env = BTreeMap::new();
    let mut of_systemd = BTreeMap::new();
    for (name, value) in inherited
        .into_iter()
        .chain(user.into_iter().flat_map(of_user))
    {
        if !wanted(&name) || withheld(&name) {
            continue;
        }
        if OF_SYSTEMD.iter().any(|known| name == *known) {
            of_systemd.insert(name, value);
        } else {
            env.insert(name, value);
        }
    }
    for name in &spec.unset {
        env.remove(OsStr::new(name));
        of_systemd.remove(OsStr::new(name));
    }
    of_systemd.retain(|name, _| !spec.set.keys().any(|set| name == set.as_str()));
    let set = spec.set.iter();
    env.extend(set.map(|(name, value)| (OsString::from(name), OsString::from(value))));
    Environment {
        variables: env,
        of_systemd,
    }
}

fn of_user(user: &User) -> impl Iterator<Item = (OsString, OsString)> {
    user.entry.iter().flat_map(|entry| {
        let home = (OsString::from("HOME"), entry.home.clone().into_os_string());
        let named = ["USER", "LOGNAME"].map(|name| (name.into(), OsString::from(&entry.name)));
        [home].into_iter().chain(named)
    })
}

/// A variable's value.
pub(super) fn value<'a>(env: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a OsStr> {
    env.get(OsStr::new(name)).map(OsString::as_os_str)
}

/// As execve(2) takes them.
pub(super) fn to_strings(
    env: BTreeMap<OsString, OsString>,
    faults: &mut Vec<SpawnError>,
) -> Vec<CString> {
    let mut strings = Vec::with_capacity(env.len());
    for (name, value) in env {
        match to_string(&name, &value) {
            Ok(text) => strings.push(text),
            Err(fault) => faults.push(fault),
        }
    }
    strings
}

/// `NAME=value`. What is hushpipe's own cannot be set either.
pub(super) fn to_string(name: &OsStr, value: &OsStr) -> Result<CString, SpawnError> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.contains(&b'=') || bytes.contains(&0) {
        return Err(SpawnError::VariableName(name.to_owned()));
    }
    if credentials::is_own(bytes) {
        return Err(SpawnError::OwnVariable(name.to_owned()));
    }
    let mut text = Vec::with_capacity(bytes.len() + value.len() + 2);
    text.extend_from_slice(bytes);
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    CString::new(text).map_err(|_| SpawnError::NulInVariable(name.to_owned()))
}
