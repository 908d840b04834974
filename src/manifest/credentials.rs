//! `deliver: - credentials:`: a delivery for each of them.

use std::path::{Path, PathBuf};

use super::build::{Builder, Known};
use super::deliver::Taken;
use super::fault::Fault;
use super::records::{Credential, CredentialsDelivery, Manifest};
use crate::model::{Channel, Delivery, DeliveryKind, FileMode, FileSpec, OwnerSpec};

impl Builder<'_> {
    /// All of them, in order.
    pub fn credentials(
        &mut self,
        deliver: &CredentialsDelivery,
        directory: Option<PathBuf>,
        known: &Known,
        taken: &mut Taken,
    ) -> Vec<Delivery> {
        let span = deliver.secrets.key.unwrap_or(deliver.at);
        if let Some(first) = taken.credentials {
            let help = "a program has one $CREDENTIALS_DIRECTORY: name all in one delivery";
            let fault = Fault::new(span, "two deliveries of credentials", help);
            self.faults.push(fault.related(first, "first here"));
        }
        taken.credentials.get_or_insert(span);
        let (Some(all), Some(directory)) = (deliver.secrets.get(), directory) else {
            return Vec::new();
        };
        if all.0.is_empty() {
            let help = "name secrets, or remove the delivery";
            self.fault(span, "no credentials are named", help);
        }
        let each = all.0.iter();
        each.filter_map(|one| self.credential(one, &directory, known, taken))
            .collect()
    }

    fn credential(
        &mut self,
        credential: &Credential,
        directory: &Path,
        known: &Known,
        taken: &mut Taken,
    ) -> Option<Delivery> {
        let reference = credential.secret.get()?;
        self.delivered(reference, credential.secret.span, known);
        let path = directory.join(&credential.name.0);
        self.take_path(&path, credential.at, taken);
        let file = FileSpec {
            path,
            mode: FileMode::default(),
            owner: OwnerSpec::default(),
        };
        Some(Delivery {
            at: self.place(credential.at),
            kind: DeliveryKind::Credential(file),
            channel: Channel::Secret(reference.clone()),
        })
    }

    /// Where they are, if the manifest does not say: where the service may write, as systemd tells
    /// it, else where everybody can.
    pub fn credentials_directory(
        &mut self,
        manifest: &Manifest,
        deliver: &CredentialsDelivery,
    ) -> Option<PathBuf> {
        if deliver.directory.is_present() {
            return deliver.directory.get().map(|path| path.0.clone());
        }
        // systemd puts `:` between several.
        let runtime = (self.environment)("RUNTIME_DIRECTORY").unwrap_or_default();
        match runtime.split(':').next() {
            Some(first) if first.starts_with('/') => Some(Path::new(first).join("credentials")),
            _ => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                let service = &manifest.service.get()?.0;
                // `a b` and `a/b` are two services.
                let written = |c: char| {
                    if fits(c) {
                        c.to_string()
                    } else {
                        format!(".{:x}.", u32::from(c))
                    }
                };
                let name: String = service.chars().map(written).collect();
                let holder = Path::new("/dev/shm").join(format!("hushpipe-{name}"));
                let directory = holder.join("credentials");
                self.credentials_in_memory = Some(directory.clone());
                Some(directory)
            }
        }
    }
}
