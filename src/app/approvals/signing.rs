//! Signing, by ssh-keygen(1): the key may be a file, in the agent, or in a piece of hardware.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::app::files;
use crate::approval::{MAX_SIGNATURE, Signature, SignatureError, SigningKey};
use crate::model::Exit;
use crate::sys::{command, memfd};

/// What ssh-keygen gets of hushpipe's environment: where the agent is, and how to ask.
const PASSED: [&str; 12] = [
    "PATH",
    "HOME",
    "TERM",
    "LANG",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "SSH_SK_PROVIDER",
    "SSH_SK_HELPER",
];

/// Names of keys in ~/.ssh, those in hardware first.
const NAMES: [&str; 5] = [
    "id_ed25519_sk",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ecdsa",
    "id_rsa",
];

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Which key, nobody said.
    #[error(
        "no key in ~/.ssh: name one with --key FILE (a private key, or a public one in the agent)"
    )]
    NoKey,
    /// ssh-keygen is not there, or cannot be started.
    #[error("cannot run ssh-keygen: install OpenSSH's client")]
    NotStarted(#[source] io::Error),
    /// It said why.
    #[error("ssh-keygen did not sign (see above)")]
    Failed,
    /// What it wrote is no signature, or one that would not count.
    #[error("the signature would not count: {0}")]
    Refused(#[from] SignatureError),
}

impl SigningError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoKey => Exit::Usage,
            Self::NotStarted(_) => Exit::Os,
            Self::Failed | Self::Refused(_) => Exit::Denied,
        }
    }
}

/// Signs bytes in a namespace, by that key or the user's first one. Gives the signature file, and the key
/// that made it.
pub fn sign(
    bytes: &[u8],
    namespace: &'static str,
    key: Option<&Path>,
) -> Result<(Vec<u8>, SigningKey), SigningError> {
    let key = key
        .map(Path::to_owned)
        .or_else(own_key)
        .ok_or(SigningError::NoKey)?;
    let words = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f"];
    let mut argv = words.map(OsString::from).to_vec();
    argv.push(key.into());
    let passed = PASSED.into_iter();
    let environment = passed.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let input = memfd::sealed(bytes).map_err(SigningError::NotStarted)?;
    let most = MAX_SIGNATURE as u64 + 1;
    let (succeeded, file) =
        command::converse(&argv, environment, input, most).map_err(SigningError::NotStarted)?;
    if !succeeded {
        return Err(SigningError::Failed);
    }
    let signature = Signature::parse(&file)?;
    let key = signature.verify(bytes, namespace)?.clone();
    Ok((file, key))
}

/// A private key in ~/.ssh, or a public one whose other half is in the agent.
fn own_key() -> Option<PathBuf> {
    let place = PathBuf::from(std::env::var_os("HOME")?).join(".ssh");
    let private = NAMES.iter().map(|name| place.join(name));
    let public = NAMES.iter().map(|name| place.join(format!("{name}.pub")));
    private.chain(public).find(|path| files::is_there(path))
}
