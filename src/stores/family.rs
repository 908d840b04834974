//! What the registry knows of a kind of stores.

use std::io;
use std::rc::Rc;

use super::traits::Store;
use crate::model::{Exit, Observer, StoreName, StoreSpec};
use crate::sys::reaper::Reaper;

/// What a store is made with.
pub struct Setting<'a> {
    /// What the manifest calls it.
    pub name: &'a StoreName,
    /// Its settings.
    pub spec: &'a StoreSpec,
    /// The one of the whole program.
    pub reaper: &'a Reaper,
    /// Who sees what happens.
    pub observer: &'a Rc<dyn Observer>,
}

/// A store; `None`: the settings are of another kind.
type Opened = Option<io::Result<Box<dyn Store>>>;

/// A kind of stores.
pub struct Family {
    /// Makes a store, which asks nothing yet.
    pub open: fn(&Setting) -> Opened,
    /// Variables of hushpipe's environment with credentials, which its stores have taken once they are
    /// made.
    pub variables: &'static [&'static str],
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This build has no stores of its kind.
    #[error(
        "store {store}: this build has no stores of type {kind}: use one with the cargo feature `{kind}`, as \
         the default build"
    )]
    NotBuilt {
        /// Which store.
        store: StoreName,
        /// Its `type`, which is the cargo feature's name as well.
        kind: &'static str,
    },
    /// The system has no memory or no randomness for it.
    #[error("store {store}: the kernel gives no memory or no random numbers for it")]
    System {
        /// Which store.
        store: StoreName,
        /// Its word.
        source: io::Error,
    },
}

impl OpenError {
    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NotBuilt { .. } => Exit::Manifest,
            Self::System { .. } => Exit::Os,
        }
    }
}
