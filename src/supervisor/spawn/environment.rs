//! The program's environment.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::SpawnError;
use crate::model::{EnvInherit, EnvSpec};
use crate::sys::users::User;

/// What hushpipe itself logs in with, and what the tools that stores run log in with. The program
/// never inherits it: with it, it could fetch every secret of the store. Where hushpipe's vault is
/// goes with it: a program that has one of its own is told by `run.env.set`. A name that ends in
/// `*` stands for all that start so.
const BOOTSTRAP_CREDENTIALS: &[&str] = &[
    // hushpipe's own
    "HUSHPIPE_*",
    // systemd's LoadCredential=
    "CREDENTIALS_DIRECTORY",
    // Vault and OpenBao
    "VAULT_TOKEN",
    "VAULT_ROLE_ID",
    "VAULT_SECRET_ID",
    "VAULT_WRAPPED_TOKEN",
    "VAULT_ADDR",
    "VAULT_NAMESPACE",
    "VAULT_CACERT",
    "VAULT_CAPATH",
    "VAULT_TLS_SERVER_NAME",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_SKIP_VERIFY",
    "BAO_TOKEN",
    "BAO_ROLE_ID",
    "BAO_SECRET_ID",
    "BAO_WRAPPED_TOKEN",
    "BAO_ADDR",
    "BAO_NAMESPACE",
    "BAO_CACERT",
    "BAO_CAPATH",
    "BAO_TLS_SERVER_NAME",
    "BAO_CLIENT_CERT",
    "BAO_CLIENT_KEY",
    "BAO_SKIP_VERIFY",
    // AWS
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    // Google Cloud
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    // Azure
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_PASSWORD",
    "ARM_CLIENT_SECRET",
    // age and sops
    "AGE_IDENTITY*",
    "AGE_PASSPHRASE",
    "SOPS_AGE_KEY*",
    "SOPS_AGE_SSH_PRIVATE_KEY*",
    // 1Password
    "OP_SERVICE_ACCOUNT_TOKEN",
    "OP_CONNECT_TOKEN",
    "OP_SESSION*",
    // Bitwarden
    "BWS_ACCESS_TOKEN",
    "BW_SESSION",
    "BW_CLIENTSECRET",
    "BW_PASSWORD",
    // Others
    "DOPPLER_TOKEN",
    "INFISICAL_TOKEN",
    "CONJUR_AUTHN_API_KEY",
    "AKEYLESS_ACCESS_KEY",
];

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

/// Whether a variable of this name is never inherited, as it may hold what hushpipe logs in with, or
/// where.
pub fn is_bootstrap_credential(name: &OsStr) -> bool {
    let name = name.as_bytes();
    BOOTSTRAP_CREDENTIALS
        .iter()
        .any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start.as_bytes()),
            None => name == known.as_bytes(),
        })
}

/// What is inherited, less what is taken out, with what is set on top. A change of user brings the
/// new user's HOME, USER and LOGNAME in place of hushpipe's.
pub(super) fn build(
    spec: &EnvSpec,
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    user: Option<&User>,
) -> Environment {
    let wanted = |name: &OsStr| match &spec.inherit {
        EnvInherit::All => true,
        EnvInherit::None => false,
        EnvInherit::Only(names) => names.iter().any(|wanted| name == wanted.as_str()),
    };
    let mut env = BTreeMap::new();
    let mut of_systemd = BTreeMap::new();
    for (name, value) in inherited
        .into_iter()
        .chain(user.into_iter().flat_map(of_user))
    {
        if !wanted(&name) || is_bootstrap_credential(&name) {
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
    if bytes.starts_with(b"HUSHPIPE_") {
        return Err(SpawnError::OwnVariable(name.to_owned()));
    }
    let mut text = Vec::with_capacity(bytes.len() + value.len() + 2);
    text.extend_from_slice(bytes);
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    CString::new(text).map_err(|_| SpawnError::NulInVariable(name.to_owned()))
}
