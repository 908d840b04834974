//! What a source asks of the server.

use std::path::PathBuf;

use super::call::Call;
use super::credential::Stamp;
use crate::model::Source;
use crate::secret::SecretBytes;
use crate::stores::{Fault, numbered};

/// One request, however many secrets name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ask {
    /// Without `/v1/`.
    pub path: String,
    /// A JSON object; with it the request is a POST.
    pub parameters: Option<String>,
    /// A pinned version of KV v2.
    pub version: Option<u64>,
    /// For `sys/wrapping/unwrap`: the file with the wrapping token.
    pub token_file: Option<PathBuf>,
}

impl Ask {
    /// A source without a request is not a vault's: the manifest is built so that there is none.
    pub fn of(source: &Source) -> Result<Self, Fault> {
        let request = source.request.as_ref().ok_or_else(|| Fault::Malformed {
            reason: "a secret of this store has a path".to_owned(),
        })?;
        Ok(Self {
            path: request.path.clone(),
            parameters: request.parameters.clone(),
            version: source.version.as_ref().map(numbered::number).transpose()?,
            token_file: request.token_file.clone(),
        })
    }

    /// The request for it.
    pub fn call(&self) -> Call {
        let call = match &self.parameters {
            Some(json) => Call::post(&self.path).body(SecretBytes::new(json.as_bytes().to_vec())),
            None => Call::get(&self.path),
        };
        match self.version {
            Some(version) => call.query(format!("version={version}")),
            None => call,
        }
    }

    /// Whether asking again would do something again, whatever the answer looks like.
    pub fn has_effects(&self) -> bool {
        self.parameters.is_some() || self.token_file.is_some()
    }

    /// The wrapping token's file as it is now.
    pub fn stamp(&self) -> Option<Stamp> {
        Stamp::of(self.token_file.as_deref()?).ok()
    }
}
