//! From records to the plan: what one record cannot know alone is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Overrides;
use super::collections::Argv;
use super::decode::Field;
use super::fault::{Fault, Span, nearest, quote, shown_name};
use super::records::{Check, CommandRecord, FieldCheck, Manifest, RefreshEvery, Secret, Store};
use super::values::Pattern;
use crate::model::{
    Checks, CommandStore, DirectoryStore, FieldChecks, Mode, Place, Plan, Refresh, SealedStore,
    SecretName, SecretRef, SecretSpec, Source, StoreKind, StoreName, StoreSpec, ValueFormat,
};

/// What building needs, and what it found.
pub struct Builder<'a> {
    /// The manifest's text.
    pub source: &'a str,
    /// Its name, for warnings.
    pub name: &'a Path,
    /// What the command line says.
    pub overrides: &'a Overrides,
    /// All faults so far.
    pub faults: Vec<Fault>,
    /// What is odd, but no fault.
    pub warnings: Vec<String>,
    /// Each secret that something uses.
    pub used: BTreeSet<SecretName>,
}

/// What is known of the secrets when the rest is checked.
pub struct Known {
    /// Every name, also of secrets that have faults.
    pub names: Vec<SecretName>,
    /// Whether a secret can have fields, and if not, why not.
    pub fields: BTreeMap<SecretName, Result<(), &'static str>>,
}

impl Builder<'_> {
    /// Adds a fault.
    pub fn fault(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(span, message, help));
    }

    /// Adds a warning.
    pub fn warn(&mut self, span: Span, message: &str) {
        let place = span.place(self.source);
        let name = shown_name(self.name);
        self.warnings.push(format!("{name}:{place}: {message}"));
    }

    /// Text of a span for a message: as it is written, where a variable stands in it.
    pub fn shown(&self, span: Span, text: &str) -> String {
        let written = self.source.get(span.start..span.end).unwrap_or("");
        quote(if written.contains("${") {
            written
        } else {
            text
        })
    }

    /// Line and column.
    pub fn place(&self, span: Span) -> Place {
        span.place(self.source)
    }

    /// The plan, where nothing is wrong.
    pub fn plan(&mut self, manifest: &Manifest) -> Option<Plan> {
        let mode = self.mode(manifest);
        let stores = self.stores(manifest);
        let (secrets, known) = self.secrets(manifest, mode);
        let deliveries = self.deliveries(manifest, &known, mode);
        let run = self.run(manifest, mode);
        let on_rotate = self.on_rotate(manifest, mode);
        self.unused(manifest);
        let word = |field: &Field<super::values::Word>| field.get().map(|word| word.0.clone());
        Some(Plan {
            manifest: self.name.to_owned(),
            service: word(&manifest.service)?,
            environment: word(&manifest.environment),
            owner: word(&manifest.owner),
            stores,
            secrets,
            deliveries,
            isolation: *manifest.isolation.get()?,
            mode,
            run: run?,
            on_rotate: on_rotate?,
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    fn mode(&self, manifest: &Manifest) -> Mode {
        if self.overrides.exec {
            return Mode::Exec;
        }
        manifest.mode.get().copied().unwrap_or_default()
    }

    fn stores(&self, manifest: &Manifest) -> BTreeMap<StoreName, StoreSpec> {
        let mut stores = BTreeMap::new();
        for (span, name, store) in manifest.stores.get().map_or(&[][..], |table| &table.0) {
            let Some(kind) = store.get().and_then(store_kind) else {
                continue;
            };
            let at = self.place(*span);
            stores.insert(name.clone(), StoreSpec { at, kind });
        }
        stores
    }

    fn secrets(
        &mut self,
        manifest: &Manifest,
        mode: Mode,
    ) -> (BTreeMap<SecretName, SecretSpec>, Known) {
        let stores = manifest.stores.get().map_or(&[][..], |table| &table.0);
        let entries = manifest.secrets.get().map_or(&[][..], |table| &table.0);
        let mut specs = BTreeMap::new();
        let mut known = Known {
            names: entries.iter().map(|(_, name, _)| name.clone()).collect(),
            fields: BTreeMap::new(),
        };
        for (span, name, field) in entries {
            let Some(secret) = field.get() else { continue };
            if let (Mode::Exec, Some(refresh)) = (mode, secret.refresh.key) {
                self.not_in_exec(
                    refresh,
                    "`refresh`",
                    "no process stays behind that could ask the store again",
                );
            }
            let Some(wanted) = secret.store.get() else {
                continue;
            };
            let Some((_, _, store)) = stores.iter().find(|(_, other, _)| other == wanted) else {
                self.unknown_store(
                    &secret.store,
                    wanted,
                    stores.iter().map(|(_, name, _)| name),
                );
                continue;
            };
            let Some(store) = store.get() else { continue };
            let fields = fields_of(secret, store);
            self.fits_store(*span, secret, store);
            self.field_checks_fit(secret, fields);
            known.fields.insert(name.clone(), fields);
            let at = self.place(*span);
            if let Some(spec) = self.secret(at, secret, wanted) {
                specs.insert(name.clone(), spec);
            }
        }
        (specs, known)
    }

    fn unknown_store<'n>(
        &mut self,
        field: &Field<StoreName>,
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
        self.fault(field.span, format!("no store has the name {shown}"), help);
    }

    /// The keys that a secret of this store must have or cannot have.
    fn fits_store(&mut self, at: Span, secret: &Secret, store: &Store) {
        let sealed = matches!(store, Store::Sealed(_));
        if let (Some(version), false) = (secret.version.key, sealed) {
            let help = "remove it; the current value is taken";
            self.fault(version, "only sealed stores keep versions", help);
        } else if secret.version.get() == Some(&0) {
            let help = "versions count from 1: see `hushpipe secret history`";
            self.fault(secret.version.span, "there is no version 0", help);
        }
        let Store::Command(command) = store else {
            if !secret.key.is_present() {
                let message = "the key `key` is missing: which secret of the store is meant?";
                self.fault(
                    at,
                    message,
                    "add `key:` a relative path such as stripe/token",
                );
            }
            return;
        };
        if let Some(format) = secret.format.key {
            let help = "remove it here, and set `format` of the store";
            self.fault(
                format,
                "what a command prints is read in its store's format",
                help,
            );
        }
        self.fits_command(at, secret, command);
    }

    fn fits_command(&mut self, at: Span, secret: &Secret, command: &CommandRecord) {
        let Some(run) = command.run.get() else { return };
        if takes_key(run) {
            if !secret.key.is_present() {
                let message = "the key `key` is missing: the store's command holds {key}";
                self.fault(at, message, "add `key:` what stands in place of {key}");
            }
        } else if let (Some(key), Some(ValueFormat::Raw)) = (secret.key.key, command.format.get()) {
            let message = "this `key` has no use: the store's command holds no {key}, and its output \
                           has no fields";
            let help = "remove it, or put {key} into the command, or set the store's `format`";
            self.fault(key, message, help);
        }
    }

    fn field_checks_fit(&mut self, secret: &Secret, fields: Result<(), &'static str>) {
        let Some(check) = secret.check.get() else {
            return;
        };
        let named = check
            .fields
            .get()
            .is_some_and(|fields| !fields.0.is_empty());
        if let (Some(span), Err(why), true) = (check.fields.key, fields, named) {
            self.fault(span, "this secret has no fields to check", why);
        }
    }

    fn secret(&mut self, at: Place, secret: &Secret, store: &StoreName) -> Option<SecretSpec> {
        let checks = match secret.check.get() {
            Some(check) => self.checks(check),
            None => Checks::default(),
        };
        Some(SecretSpec {
            at,
            source: Source {
                store: store.clone(),
                key: secret.key.get().map(|key| key.0.clone()),
                version: secret.version.get().copied(),
                request: None,
                format: *secret.format.get()?,
            },
            refresh: match secret.refresh.get() {
                None => Refresh::Store,
                Some(RefreshEvery::Never) => Refresh::Never,
                Some(RefreshEvery::After(duration)) => Refresh::Every(*duration),
            },
            checks,
            on_rotate: None,
            classification: secret.classification.get().map(|word| word.0.clone()),
            owner: secret.owner.get().map(|word| word.0.clone()),
        })
    }

    fn checks(&mut self, check: &Check) -> Checks {
        let whole = self.field_checks(&FieldCheckRef::from(check));
        let mut fields = BTreeMap::new();
        for (_, name, field) in check.fields.get().map_or(&[][..], |table| &table.0) {
            if let Some(check) = field.get() {
                let checks = self.field_checks(&FieldCheckRef::from(check));
                fields.insert(name.0.clone(), checks);
            }
        }
        Checks { whole, fields }
    }

    fn field_checks(&mut self, check: &FieldCheckRef<'_>) -> FieldChecks {
        let lengths = (check.min_length.get(), check.max_length.get());
        if let (Some(min), Some(max)) = lengths
            && min > max
        {
            let help = "no value could pass: make min_length the smaller one";
            self.fault(
                check.min_length.span,
                "min_length is above max_length",
                help,
            );
        }
        let length = |field: &Field<u64>| field.get().map(|length| *length as usize);
        FieldChecks {
            pattern: check.pattern.get().map(|pattern| pattern.0.clone()),
            min_length: length(check.min_length),
            max_length: length(check.max_length),
            json: check.json.get().copied().unwrap_or_default(),
            certificate: check.certificate.get().copied().unwrap_or_default(),
        }
    }

    /// A reference to a secret, or a field of one.
    pub fn reference(&mut self, reference: &SecretRef, span: Span, known: &Known) {
        self.used.insert(reference.secret.clone());
        if !known.names.contains(&reference.secret) {
            let name = reference.secret.as_str();
            let help = match nearest(name, known.names.iter().map(SecretName::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.names.is_empty() => "declare it under `secrets`".to_owned(),
                None => {
                    let names: Vec<&str> = known.names.iter().map(SecretName::as_str).collect();
                    format!("declared under `secrets`: {}", names.join(", "))
                }
            };
            let shown = self.shown(span, name);
            return self.fault(span, format!("no secret has the name {shown}"), help);
        }
        if let (Some(field), Some(Err(why))) =
            (&reference.field, known.fields.get(&reference.secret))
        {
            let field = self.shown(span, field);
            let name = self.shown(span, reference.secret.as_str());
            let message = format!("the secret {name} has no fields, and {field} is asked for");
            self.fault(span, message, *why);
        }
    }

    fn unused(&mut self, manifest: &Manifest) {
        for (span, name, _) in manifest.secrets.get().map_or(&[][..], |table| &table.0) {
            if !self.used.contains(name) {
                self.warn(
                    *span,
                    &format!("the secret {name} is declared, and nothing uses it"),
                );
            }
        }
    }

    /// Something that mode exec cannot have.
    pub fn not_in_exec(&mut self, span: Span, what: &str, why: &str) {
        let how = if self.overrides.exec {
            "with --exec"
        } else {
            "in mode exec"
        };
        let message = format!("{what} cannot be had {how}: {why}");
        let help = "remove it, or use mode supervise, where hushpipe stays as the parent";
        self.fault(span, message, help);
    }
}

/// The checks that values and fields share.
struct FieldCheckRef<'c> {
    pattern: &'c Field<Pattern>,
    min_length: &'c Field<u64>,
    max_length: &'c Field<u64>,
    json: &'c Field<bool>,
    certificate: &'c Field<bool>,
}

macro_rules! shared_checks {
    ($record:ty) => {
        impl<'c> From<&'c $record> for FieldCheckRef<'c> {
            fn from(check: &'c $record) -> Self {
                Self {
                    pattern: &check.pattern,
                    min_length: &check.min_length,
                    max_length: &check.max_length,
                    json: &check.json,
                    certificate: &check.certificate,
                }
            }
        }
    };
}
shared_checks!(Check);
shared_checks!(FieldCheck);

fn store_kind(store: &Store) -> Option<StoreKind> {
    Some(match store {
        Store::Sealed(sealed) => StoreKind::Sealed(SealedStore {
            path: sealed.path.get()?.0.clone(),
            identity_file: sealed.identity_file.get()?.0.clone(),
        }),
        Store::Directory(directory) => StoreKind::Directory(DirectoryStore {
            path: directory.path.get()?.0.clone(),
        }),
        Store::Command(command) => StoreKind::Command(CommandStore {
            run: command.run.get()?.words.clone(),
            format: *command.format.get()?,
            timeout: *command.timeout.get()?,
            env: command.env.get().map_or_else(Vec::new, |list| {
                list.values().into_iter().map(|name| name.0).collect()
            }),
        }),
    })
}

fn takes_key(run: &Argv) -> bool {
    run.words.iter().any(|word| word.contains("{key}"))
}

/// Whether a secret can have fields; if not, what would give it some.
fn fields_of(secret: &Secret, store: &Store) -> Result<(), &'static str> {
    let (format, why) = match store {
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
        Some(ValueFormat::Raw) => Err(why),
        _ => Ok(()),
    }
}
