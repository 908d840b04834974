//! Servers of an authority that is known.

use std::fs;
use std::path::PathBuf;

use super::certificates::{Authority, Pair};
use super::fake::{Act, Fake, say};
use super::*;
use crate::model::ClientCertificate;

/// A directory with an authority's certificate in `ca.pem`.
pub(super) struct Known {
    pub authority: Authority,
    pub directory: tempfile::TempDir,
}

impl Known {
    pub(super) fn new() -> Self {
        let known = Self {
            authority: Authority::new(),
            directory: tempfile::tempdir().expect("a directory"),
        };
        known.write("ca.pem", known.authority.pem());
        known
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).expect("it is written");
        path
    }

    /// That trust the authority.
    pub(super) fn settings(&self, address: &str) -> Settings {
        let mut settings = settings(&[address]);
        settings.tls.ca_file = Some(self.directory.path().join("ca.pem"));
        settings
    }

    /// That show this certificate.
    pub(super) fn showing(&self, address: &str, pair: &Pair) -> Settings {
        let mut settings = self.settings(address);
        settings.tls.client = Some(ClientCertificate {
            certificate: self.write("client.pem", &pair.certificate),
            key: self.write("client.key", &pair.key),
        });
        settings
    }

    /// Of a server that asks for a client certificate of the authority.
    pub(super) fn asking(&self) -> rustls::ServerConfig {
        let server = self.authority.leaf(&["localhost"]);
        server.server_for(&self.authority)
    }

    pub(super) async fn serving(&self, names: &[&str]) -> Fake {
        Fake::tls(self.authority.leaf(names).server(), fine()).await
    }
}

pub(super) fn fine() -> Act {
    say("200 OK", "fine")
}

pub(super) async fn is_fine(settings: Settings) {
    assert_eq!(answer(settings, "/v1/a").await, (200, "fine".to_owned()));
}
