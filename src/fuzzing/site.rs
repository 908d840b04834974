//! A site.

use std::path::Path;

use super::manifest::refused;
use crate::manifest::parse_site;

/// Every path of a site is absolute, and nothing in it came from the environment; a refusal has faults, as
/// that of a manifest has.
pub fn site(data: &[u8]) {
    match parse_site(Path::new("/etc/hushpipe/site.yaml"), data.to_vec()) {
        Ok(site) => {
            let policy = site.policy.iter().map(|policy| &policy.directory);
            let signers = site.manifests.iter().map(|manifests| &manifests.signers);
            let approvals = site
                .approvals
                .iter()
                .flat_map(|approvals| [&approvals.signers, &approvals.directory]);
            let audit = site.audit.iter().flat_map(|audit| {
                let keys = audit.fingerprint_key_file.iter();
                keys.chain([&audit.directory, &audit.key_file])
            });
            let mut paths = policy.chain(signers).chain(approvals).chain(audit);
            assert!(paths.all(|path| path.is_absolute()));
            for (name, value) in &site.labels {
                let unshown = |text: &str| text.is_empty() || text.contains(char::is_control);
                assert!(!unshown(name) && !unshown(value));
            }
        }
        Err(error) if std::str::from_utf8(data).is_ok() => {
            refused(&error, std::str::from_utf8(data).unwrap_or_default());
        }
        Err(error) => assert_eq!(error.exit(), crate::model::Exit::Manifest),
    }
}
