//! Secrets: what each store is asked.

use std::collections::BTreeMap;

use super::build::{Builder, Fields, Known};
use super::collections::Argv;
use super::decode::Spanned;
use super::fault::{Fault, Span};
use super::parameters;
use super::records::{CommandRecord, Manifest, RefreshEvery, Secret, Store};
use super::site::labels;
use crate::model::nearest::nearest;
use crate::model::{
    Checks, Mode, Place, Refresh, SecretName, SecretSpec, Source, StoreName, ValueFormat,
    VaultRequest, VersionRef,
};

/// Where a wrapped answer is unwrapped.
const UNWRAP: &str = "sys/wrapping/unwrap";

impl Builder<'_> {
    /// Every secret, and what is known of them.
    pub fn secrets(
        &mut self,
        manifest: &Manifest,
        mode: Mode,
    ) -> (BTreeMap<SecretName, SecretSpec>, Known) {
        let entries = manifest.secrets.get().map_or(&[][..], |table| &table.0);
        let mut specs = BTreeMap::new();
        let mut known = Known {
            names: entries.iter().map(|(_, name, _)| name.clone()).collect(),
            incomplete: !self.faults.is_empty(),
            fields: BTreeMap::new(),
        };
        for (span, name, field) in entries {
            let Some(secret) = field.get() else { continue };
            if let (Mode::Exec, Some(refresh)) = (mode, secret.refresh.key) {
                let why = "hushpipe does not remain to poll the store";
                self.not_in_exec(refresh, "`refresh`", why);
            }
            let Some((wanted, store)) = self.store_of(manifest, secret) else {
                continue;
            };
            let fields = fields_of(secret, store);
            known.fields.insert(name.clone(), fields);
            let request = self.fits_store(*span, secret, store);
            self.checks_fit(secret, fields);
            let at = self.place(*span);
            let on_rotate = secret.on_rotate.get();
            let action = on_rotate.and_then(|own| self.secret_rotation(own, mode));
            if let Some(spec) = self.secret(at, secret, wanted, request) {
                let spec = SecretSpec {
                    on_rotate: action,
                    ..spec
                };
                specs.insert(name.clone(), spec);
            }
        }
        (specs, known)
    }

    fn store_of<'m>(
        &mut self,
        manifest: &'m Manifest,
        secret: &'m Secret,
    ) -> Option<(&'m StoreName, &'m Store)> {
        let stores = manifest.stores.get().map_or(&[][..], |table| &table.0);
        let wanted = secret.store.get()?;
        let Some((_, _, store)) = stores.iter().find(|(_, other, _)| other == wanted) else {
            let names = stores.iter().map(|(_, name, _)| name);
            self.unknown_store(&secret.store, wanted, names);
            return None;
        };
        Some((wanted, store.get()?))
    }

    fn unknown_store<'n>(
        &mut self,
        field: &Spanned<StoreName>,
        wanted: &StoreName,
        known: impl Iterator<Item = &'n StoreName> + Clone,
    ) {
        let help = match nearest(wanted.as_str(), known.clone().map(StoreName::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.clone().next().is_none() => "declare it under `stores`".to_owned(),
            None => {
                let known: Vec<&str> = known.map(StoreName::as_str).collect();
                format!("declared under `stores`: {}", known.join(", "))
            }
        };
        let shown = self.shown(field.span, wanted.as_str());
        self.fault(field.span, format!("unknown store {shown}"), help);
    }

    /// The keys that a secret of this store must have or cannot have. What is asked, for a vault.
    fn fits_store(&mut self, at: Span, secret: &Secret, store: &Store) -> Option<VaultRequest> {
        if let Store::Vault(_) = store {
            return self.request(at, secret);
        }
        self.no_vault_keys(secret, store);
        let sealed = matches!(store, Store::Sealed(_));
        if let (Some(version), false) = (secret.version.key, sealed) {
            let help = "remove it; hushpipe uses the current value";
            self.fault(version, "only sealed and vault stores keep versions", help);
        } else if secret.version.get() == Some(&0) {
            let help = "versions count from 1: see `hushpipe secret history`";
            self.fault(secret.version.span, "there is no version 0", help);
        }
        if let Store::Command(command) = store {
            self.fits_command(at, secret, command);
        } else if !secret.key.is_present() && !secret.path.is_present() {
            let message = "the key `key` is missing";
            let help = "add `key:` with the secret's name in the store, such as stripe/token";
            self.fault(at, message, help);
        }
        None
    }

    fn no_vault_keys(&mut self, secret: &Secret, store: &Store) {
        let keys = [
            (secret.path.key, "path"),
            (secret.mount.key, "mount"),
            (secret.parameters.key, "parameters"),
            (secret.token_file.key, "token_file"),
        ];
        for (span, key) in keys {
            let Some(span) = span else { continue };
            let kind = store.kind();
            let message = format!("`{key}` is for vault stores, and this is a {kind} store");
            let help = format!("remove it; a secret of a {kind} store is named by `key`");
            self.fault(span, message, help);
        }
    }

    fn fits_command(&mut self, at: Span, secret: &Secret, command: &CommandRecord) {
        if let Some(format) = secret.format.key {
            let help = "remove it here, and set `format` of the store";
            let message = "a command's output has the format of its store";
            self.fault(format, message, help);
        }
        let Some(run) = command.run.get() else { return };
        if takes_key(run) {
            if !secret.key.is_present() {
                let message = "the key `key` is missing: the store's command contains {key}";
                self.fault(at, message, "add `key:`, the text that replaces {key}");
            }
        } else if let (Some(key), Some(ValueFormat::Raw)) = (secret.key.key, command.format.get()) {
            let message = "`key` has no effect: the store's command has no {key}, and its output \
                           has no fields";
            let help = "remove it, or put {key} into the command, or set the store's `format`";
            self.fault(key, message, help);
        }
    }

    /// What a vault store is asked.
    fn request(&mut self, at: Span, secret: &Secret) -> Option<VaultRequest> {
        if let Some(format) = secret.format.key {
            let message = "a vault store knows the fields of its secrets and needs no `format`";
            self.fault(format, message, "remove it");
        }
        let path = self.api_path(at, secret)?;
        self.fits_version(secret, &path);
        self.fits_parameters(secret, &path);
        self.fits_unwrapping(at, secret, &path);
        Some(VaultRequest {
            path,
            parameters: secret.parameters.get().map(parameters::canonical),
            token_file: secret.token_file.get().map(|file| file.0.clone()),
        })
    }

    /// `path`, or `mount` and `key`.
    fn api_path(&mut self, at: Span, secret: &Secret) -> Option<String> {
        match (secret.path.key, secret.mount.key, secret.key.key) {
            (Some(_), None, None) => secret.path.get().map(|path| path.0.clone()),
            (None, Some(_), Some(_)) => {
                let (mount, key) = (secret.mount.get()?, secret.key.get()?);
                if key.0.contains(['?', '#']) {
                    let message = "a name in a vault has no `?` or `#`";
                    let help = "a version is pinned by `version: N`";
                    self.fault(secret.key.span, message, help);
                }
                Some(format!("{}/data/{}", mount.0, key.0))
            }
            (Some(path), mount, key) => {
                let other = mount.or(key)?;
                let message = "`path` excludes `mount` and `key`";
                let help = "keep `path`, or `mount` and `key` for KV version 2";
                let fault = Fault::new(path.max(other), message, help);
                self.faults
                    .push(fault.related(path.min(other), "this as well"));
                None
            }
            (None, Some(mount), None) => {
                let help = "add `key:` with the secret's name below the mount";
                let message = "`mount` needs `key`";
                self.fault(mount, message, help);
                None
            }
            (None, None, Some(key)) => {
                let message = "`key` needs `mount`";
                let help = "add `mount:` for KV version 2, or write an API path instead: `path: \
                            database/creds/app`";
                self.fault(key, message, help);
                None
            }
            (None, None, None) => {
                let message = "the key `path` is missing";
                let help = "add `path: database/creds/app` or the like, or `mount:` and `key:` \
                            for KV version 2";
                self.fault(at, message, help);
                None
            }
        }
    }

    fn fits_version(&mut self, secret: &Secret, path: &str) {
        let Some(span) = secret.version.key else {
            return;
        };
        if secret.version.get() == Some(&0) {
            let help = "versions count from 1; without `version` hushpipe uses the current one";
            self.fault(secret.version.span, "there is no version 0", help);
        } else if !is_kv2(path) {
            let help = "remove it, or write `mount` and `key`, or a path such as kv/data/stripe";
            self.fault(span, "only KV version 2 keeps versions", help);
        }
    }

    /// A POST to KV writes: what is meant to be read would be lost.
    fn fits_parameters(&mut self, secret: &Secret, path: &str) {
        if let (Some(span), true) = (secret.parameters.key, is_kv2(path)) {
            let message = "with parameters the request is a POST, and that writes a secret of KV";
            let help = "remove them; a version is pinned by `version: N`";
            self.fault(span, message, help);
        }
    }

    fn fits_unwrapping(&mut self, at: Span, secret: &Secret, path: &str) {
        let unwraps = path == UNWRAP;
        match (unwraps, secret.token_file.key) {
            (true, None) => {
                let message =
                    "the key `token_file` is missing: unwrapping needs the wrapping token";
                let help = "add `token_file:` with the path of the file that has it";
                self.fault(secret.path.key.unwrap_or(at), message, help);
            }
            (false, Some(span)) => {
                let message = format!("`token_file` is for the path {UNWRAP} alone");
                let help = "remove it; for other paths hushpipe logs in as the store's `auth` says";
                self.fault(span, message, help);
            }
            _ => {}
        }
        if let (true, Some(span)) = (unwraps, secret.parameters.key) {
            let message = "unwrapping takes no parameters";
            self.fault(span, message, "remove them: the wrapping token is enough");
        }
    }

    fn secret(
        &mut self,
        at: Place,
        secret: &Secret,
        store: &StoreName,
        request: Option<VaultRequest>,
    ) -> Option<SecretSpec> {
        let checks = match secret.check.get() {
            Some(check) => self.checks(check),
            None => Checks::default(),
        };
        let key = secret.key.get().filter(|_| request.is_none());
        Some(SecretSpec {
            at,
            source: Source {
                store: store.clone(),
                key: key.map(|key| key.0.clone()),
                version: secret.version.get().copied().map(VersionRef::from),
                request,
                format: *secret.format.get()?,
            },
            trim: secret.trim.get().copied().unwrap_or_default(),
            refresh: match secret.refresh.get() {
                None => Refresh::Store,
                Some(RefreshEvery::Never) => Refresh::Never,
                Some(RefreshEvery::After(duration)) => Refresh::Every(*duration),
            },
            checks,
            on_rotate: None,
            classification: secret.classification.get().map(|word| word.0.clone()),
            owner: secret.owner.get().map(|word| word.0.clone()),
            environment: secret.environment.get().map(|word| word.0.clone()),
            labels: labels(&secret.labels),
            max_age: secret.max_age.get().copied(),
            public: secret.public.get().map_or_else(Vec::new, |list| {
                list.values().into_iter().map(|field| field.0).collect()
            }),
        })
    }
}

fn takes_key(run: &Argv) -> bool {
    run.words.iter().any(|word| word.contains("{key}"))
}

/// KV version 2 has `data` between its mount and the name.
fn is_kv2(path: &str) -> bool {
    let mut parts = path.split('/').skip(1).peekable();
    parts.any(|part| part == "data") && parts.peek().is_some()
}

/// Whether a secret has fields; if not, what would give it some.
fn fields_of(secret: &Secret, store: &Store) -> Fields {
    let (format, why) = match store {
        Store::Vault(_) => return Fields::Always,
        Store::Command(command) => (
            command.format.get(),
            "a value has fields if its store has `format: json` or `format: dotenv`",
        ),
        _ => (
            secret.format.get(),
            "a value has fields if its secret has `format: json` or `format: dotenv`",
        ),
    };
    match format {
        Some(ValueFormat::Raw) => Fields::None(why),
        _ => Fields::Perhaps,
    }
}
