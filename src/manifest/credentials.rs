//! `deliver: - credentials:`: a delivery for each of them.

use std::path::{Path, PathBuf};

use super::build::{Builder, Known};
use super::deliver::Taken;
use super::fault::Fault;
use super::records::{Credential, CredentialsDelivery};
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
            let fault = Fault::new(span, "duplicate delivery of credentials", help);
            self.faults.push(fault.related(first, "first here"));
        }
        taken.credentials.get_or_insert(span);
        let (Some(all), Some(directory)) = (deliver.secrets.get(), directory) else {
            return Vec::new();
        };
        if all.0.is_empty() {
            let help = "name secrets, or remove the delivery";
            self.fault(span, "the list of credentials is empty", help);
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
            link: None,
        };
        Some(Delivery {
            at: self.place(credential.at),
            kind: DeliveryKind::Credential(file),
            channel: Channel::Secret(reference.clone()),
        })
    }

    /// Where they are: beside the files with relative paths, if the manifest does not say.
    pub fn credentials_directory(&self, deliver: &CredentialsDelivery) -> Option<PathBuf> {
        if !deliver.directory.is_present() {
            return Some(self.files.as_ref()?.join("credentials"));
        }
        match &deliver.directory.get()?.0 {
            absolute if absolute.is_absolute() => Some(absolute.clone()),
            relative => Some(self.files.as_ref()?.join(relative)),
        }
    }
}
