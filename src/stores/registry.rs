//! The stores of this build: the one place that names them.

use super::family::{Family, OpenError, Setting};
use super::traits::Store;

const FAMILIES: &[Family] = &[
    super::sealed::FAMILY,
    #[cfg(feature = "directory")]
    super::directory::FAMILY,
    #[cfg(feature = "command")]
    super::command::FAMILY,
    #[cfg(feature = "vault")]
    super::vault::FAMILY,
];

/// Makes a store; it asks nothing yet.
pub fn open(setting: &Setting) -> Result<Box<dyn Store>, OpenError> {
    let mut opened = FAMILIES.iter().filter_map(|family| (family.open)(setting));
    let store = || setting.name.clone();
    match opened.next() {
        Some(opened) => opened.map_err(|source| OpenError::System {
            store: store(),
            source,
        }),
        None => Err(OpenError::NotBuilt {
            store: store(),
            kind: setting.spec.kind.name(),
        }),
    }
}

/// Variables of hushpipe's environment with credentials that stores have taken.
pub fn variables() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.variables).copied()
}
