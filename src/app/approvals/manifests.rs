//! Signed manifests: `hushpipe.yaml.sig` beside `hushpipe.yaml`.

use std::io;
use std::path::{Path, PathBuf};

use super::error::ApprovalsError;
use super::{now, signers};
use crate::app::files;
use crate::approval::{MAX_SIGNATURE, Signature, SignatureError, SignerError};
use crate::model::printable::{printable, printable_path};
use crate::model::{CallerVariables, Exit, ManifestSigners, Plan};

/// The namespace of manifests' signatures.
pub const NAMESPACE: &str = "manifest@hushpipe";

/// Why a manifest does not count as signed.
#[derive(Debug, thiserror::Error)]
pub enum UnsignedError {
    /// From a pipe: there is nothing beside it.
    #[error(
        "this site wants manifests to be signed, and one from standard input has no signature: \
         name a file with -m FILE"
    )]
    Stdin,
    /// There is none: a store was named by its directory.
    #[error(
        "this site wants manifests to be signed, and a store's directory has no signature\n  \
         help: name a signed manifest that has this store: -m FILE"
    )]
    NoManifest,
    /// It has none.
    #[error(
        "the manifest is not signed, and this site wants a signature: there is no {}\n  \
         help: `hushpipe manifest sign -m {}`, by one of {}",
        printable_path(signature),
        printable_path(manifest),
        printable_path(signers)
    )]
    Missing {
        /// The manifest.
        manifest: PathBuf,
        /// Where its signature would be.
        signature: PathBuf,
        /// Whose would count.
        signers: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", printable_path(path))]
    Unreadable {
        /// The signature.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is none, or of what the manifest was before.
    #[error(
        "{}: {why}\n  help: sign the manifest again, as it is now: `hushpipe manifest sign -m {}`",
        printable_path(signature),
        printable_path(manifest)
    )]
    Stale {
        /// The manifest.
        manifest: PathBuf,
        /// The signature.
        signature: PathBuf,
        /// Why.
        why: SignatureError,
    },
    /// By somebody whose signature does not count.
    #[error("{}: {}: {why}", printable_path(signature), printable_path(signers))]
    Foreign {
        /// The signature.
        signature: PathBuf,
        /// Whose would count.
        signers: PathBuf,
        /// Why.
        why: SignerError,
    },
    /// It depends on what its signer has not signed.
    #[error(
        "the manifest depends on variables of whoever starts it, and this site refuses that in a signed \
         one: {}\n  help: unset them, or write the values in {} and sign it again; for a PATH that is not the \
         system's, give programs by whole paths and set PATH in run.env.set; for a command store, run \
         [/usr/bin/env, -i, HOME=/DIR, ...]",
        printable(&names.join(", ")),
        printable_path(manifest)
    )]
    Variables {
        /// The manifest.
        manifest: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// Whose signatures count is not known.
    #[error(transparent)]
    Signers(#[from] ApprovalsError),
}

impl UnsignedError {
    /// hushpipe's exit code for it: 77, as the site denies it; that of the signers' file, where that is
    /// wrong.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Signers(error) => error.exit(),
            _ => Exit::Denied,
        }
    }
}

/// Refuses a signed manifest that depends on the caller's variables, where the site does.
pub fn check_variables(wanted: &ManifestSigners, plan: &Plan) -> Result<(), UnsignedError> {
    match &plan.manifest_variables {
        Some(variables) if wanted.variables == CallerVariables::Refuse => {
            Err(UnsignedError::Variables {
                manifest: plan.manifest.clone(),
                names: variables.names.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Where the signature of a manifest is.
pub fn signature_of(manifest: &Path) -> PathBuf {
    let mut path = manifest.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// Who signed these bytes of a manifest: the principal. `path` says where the signature is.
pub fn signer(
    wanted: &ManifestSigners,
    path: &Path,
    bytes: &[u8],
) -> Result<String, UnsignedError> {
    if path == Path::new("-") {
        return Err(UnsignedError::Stdin);
    }
    let file = signature_of(path);
    // Anybody may have made it: it is nothing but bytes that verify, or do not.
    let signature = match files::read_at_most(&file, MAX_SIGNATURE as u64) {
        Ok(signature) => signature,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(UnsignedError::Missing {
                manifest: path.to_owned(),
                signature: file,
                signers: wanted.signers.clone(),
            });
        }
        Err(source) => return Err(UnsignedError::Unreadable { path: file, source }),
    };
    let signers = signers::read(&wanted.signers)?;
    let stale = |why| UnsignedError::Stale {
        manifest: path.to_owned(),
        signature: file.clone(),
        why,
    };
    let parsed = Signature::parse(&signature).map_err(stale)?;
    let key = parsed.verify(bytes, NAMESPACE).map_err(stale)?;
    let found = signers.find(key, NAMESPACE, now());
    let signer = found.map_err(|why| UnsignedError::Foreign {
        signature: file.clone(),
        signers: wanted.signers.clone(),
        why,
    })?;
    Ok(signer.names.into_iter().next().unwrap_or_default())
}
