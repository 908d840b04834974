//! From records to the plan: what one record cannot know alone is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::decode::Spanned;
use super::fault::{Fault, Span, quote, shown_name};
use super::overrides::Overrides;
use super::records::Manifest;
use super::site::labels;
use crate::model::nearest::nearest;
use crate::model::{Mode, Place, Plan, SecretName, SecretRef, Site};

/// What building needs, and what it found.
pub struct Builder<'a> {
    /// The manifest's text.
    pub source: &'a str,
    /// Its name, for warnings.
    pub name: &'a Path,
    /// What the command line says.
    pub overrides: &'a Overrides,
    /// The host's site.
    pub site: Option<&'a Site>,
    /// hushpipe's environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// All faults so far.
    pub faults: Vec<Fault>,
    /// What is odd, but no fault.
    pub warnings: Vec<String>,
    /// The directory that holds what is delivered by relative paths, where anything is.
    pub files: Option<PathBuf>,
    /// That is not known: the service or a delivery could not be read.
    pub files_unknown: bool,
    /// Each secret that something uses.
    pub used: BTreeSet<SecretName>,
}

/// What is known of the secrets when the rest is checked.
pub struct Known {
    /// Every name, also of secrets that have faults.
    pub names: Vec<SecretName>,
    /// There may be more: `secrets` could not be read.
    pub incomplete: bool,
    /// Which of them have fields.
    pub fields: BTreeMap<SecretName, Fields>,
}

/// Whether a secret has fields.
#[derive(Clone, Copy, Debug)]
pub enum Fields {
    /// It has none; what would give it some.
    None(&'static str),
    /// The value decides.
    Perhaps,
    /// It has nothing else.
    Always,
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
        let stores = self.stores(manifest, mode);
        let (secrets, known) = self.secrets(manifest, mode);
        let deliveries = self.deliveries(manifest, &known, mode);
        let run = self.run(manifest, mode);
        self.descriptors_apart(manifest, &deliveries);
        let on_rotate = self.on_rotate(manifest, mode);
        self.unused(manifest);
        let environment = self.environment_of(manifest);
        let word = |field: &Spanned<super::values::Word>| field.get().map(|word| word.0.clone());
        Some(Plan {
            manifest: self.name.to_owned(),
            manifest_file: None,
            manifest_sha256: None,
            manifest_signer: None,
            manifest_variables: None,
            service: word(&manifest.service)?,
            environment,
            owner: word(&manifest.owner),
            labels: labels(&manifest.labels),
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

    /// The site's environment; else the manifest's. A manifest that names another one is refused.
    fn environment_of(&mut self, manifest: &Manifest) -> Option<String> {
        let field = &manifest.environment;
        let own = field.get().map(|word| word.0.clone());
        let Some((site, wanted)) = self
            .site
            .and_then(|site| Some((site, site.environment.as_ref()?)))
        else {
            return own;
        };
        if own.as_ref().is_some_and(|own| own != wanted) {
            let at = site
                .environment_at
                .map_or_else(String::new, |at| format!(":{at}"));
            let place = format!("{}{at}", site.path.display());
            let own = self.shown(field.span, own.as_deref().unwrap_or_default());
            let message = format!(
                "this manifest is for the environment {own}, and this host's site ({place}) is for {}",
                quote(wanted)
            );
            let help = "run it on another host, or remove `environment` here";
            self.fault(field.span, message, help);
        }
        Some(wanted.clone())
    }

    fn mode(&self, manifest: &Manifest) -> Mode {
        if self.overrides.exec {
            return Mode::Exec;
        }
        manifest.mode.get().copied().unwrap_or_default()
    }

    /// A reference to a secret, or a field of one.
    pub fn reference(&mut self, reference: &SecretRef, span: Span, known: &Known) {
        self.used.insert(reference.secret.clone());
        if known.names.is_empty() && known.incomplete {
            return;
        }
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
            return self.fault(span, format!("unknown secret {shown}"), help);
        }
        if let (Some(field), Some(Fields::None(why))) =
            (&reference.field, known.fields.get(&reference.secret))
        {
            let field = self.shown(span, field);
            let name = self.shown(span, reference.secret.as_str());
            let message = format!("the secret {name} has no fields, so it has no {field}");
            self.fault(span, message, *why);
        }
    }

    /// A reference whose bytes are delivered as they are.
    pub fn delivered(&mut self, reference: &SecretRef, span: Span, known: &Known) {
        self.reference(reference, span, known);
        let fields = known.fields.get(&reference.secret);
        if let (None, Some(Fields::Always)) = (&reference.field, fields) {
            let name = self.shown(span, reference.secret.as_str());
            let message = format!("the secret {name} has fields, and a delivery takes one value");
            let help = "name a field: `secret: NAME.FIELD`; or deliver all: `content: \"{{ NAME | json }}\"`";
            self.fault(span, message, help);
        }
    }

    fn unused(&mut self, manifest: &Manifest) {
        for (span, name, _) in manifest.secrets.get().map_or(&[][..], |table| &table.0) {
            if !self.used.contains(name) {
                self.warn(
                    *span,
                    &format!("the secret {name} is declared but not used"),
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
        let message = format!("{what} does not work {how}");
        let help = format!("{why}: remove it, or use `mode: supervise`");
        self.fault(span, message, help);
    }
}
