//! Why a delivery was not made. The texts name paths, secrets and causes; never a value.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::{Delivery, DeliveryKind, Exit, Place, SecretName, SecretRef};
use crate::sys::walk::{WalkError, WalkFault};

/// What failed, for which delivery, and what to do.
#[derive(Debug)]
pub struct DeliveryError {
    /// Where the delivery stands in the manifest, if it is about one.
    pub at: Option<Place>,
    /// What it is about: `file /run/secrets/token`, `fd 3`, a directory.
    pub what: String,
    /// What went wrong.
    pub fault: DeliveryFault,
}

/// The kinds of faults, each with its exit code.
#[derive(Debug)]
pub enum DeliveryFault {
    /// The secret has no value here.
    NoSecret(SecretName),
    /// The secret has fields, but not this one.
    NoField(SecretRef),
    /// The secret is one raw value, and a field was asked for.
    NoFields(SecretRef),
    /// The whole of a secret was asked for that has fields.
    ManyFields(SecretName),
    /// A template needs text, and the value is not UTF-8.
    NotText(SecretRef),
    /// A template could not be rendered.
    Template {
        /// 1-based line in the content; 0 when it is not known.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A template would keep hushpipe from its other work. Says which limit it reached.
    TooMuch(&'static str),
    /// What the manifest asks for cannot be built.
    Plan(String),
    /// The value cannot be delivered so. Says why and what to do.
    Value(String),
    /// This host, as it is now, does not allow it. Says why and what to do.
    Host(String),
    /// The operating system refused.
    System {
        /// What was done: `cannot make the directory`.
        doing: &'static str,
        /// Its word.
        source: io::Error,
    },
}

impl DeliveryError {
    pub(super) fn of(delivery: &Delivery, fault: DeliveryFault) -> Self {
        Self {
            at: Some(delivery.at),
            what: describe(&delivery.kind),
            fault,
        }
    }

    pub(super) fn about(path: &Path, fault: DeliveryFault) -> Self {
        Self {
            at: None,
            what: path.display().to_string(),
            fault,
        }
    }

    /// For `map_err`: what was being done, on what.
    pub(super) fn system(
        what: impl Into<String>,
        doing: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self {
            at: None,
            what,
            fault: DeliveryFault::System { doing, source },
        }
    }

    /// hushpipe's exit code for it.
    pub const fn exit(&self) -> Exit {
        match self.fault {
            DeliveryFault::NoSecret(_)
            | DeliveryFault::NoField(_)
            | DeliveryFault::NoFields(_)
            | DeliveryFault::ManyFields(_)
            | DeliveryFault::NotText(_)
            | DeliveryFault::Template { .. }
            | DeliveryFault::TooMuch(_)
            | DeliveryFault::Value(_) => Exit::Value,
            DeliveryFault::Plan(_) => Exit::Manifest,
            DeliveryFault::Host(_) | DeliveryFault::System { .. } => Exit::Os,
        }
    }
}

/// A delivery in words: `file /run/secrets/token`, `fd 3`, `stdin`.
pub fn describe(kind: &DeliveryKind) -> String {
    let named = |kind: &str, path: &PathBuf| format!("{kind} {}", path.display());
    match kind {
        DeliveryKind::File(file) => named("file", &file.path),
        DeliveryKind::Fifo { file, .. } => named("fifo", &file.path),
        DeliveryKind::Fd { number, .. } => format!("fd {number}"),
        DeliveryKind::Getenv { name, .. } => format!("getenv {name}"),
        DeliveryKind::Stdin => "stdin".to_owned(),
        DeliveryKind::Credential(file) => named("credential", &file.path),
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}: {}", self.what, self.fault)
    }
}

impl fmt::Display for DeliveryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret(name) => write!(f, "the secret {name} has no value"),
            Self::NoField(reference) => write!(
                f,
                "the secret {} has no field {:?}",
                reference.secret,
                reference.field.as_deref().unwrap_or_default()
            ),
            Self::NoFields(reference) => write!(
                f,
                "the secret {name} is one raw value without fields: write {name}, or give it a \
                 `format`",
                name = reference.secret
            ),
            Self::ManyFields(name) => write!(
                f,
                "the secret {name} has fields: name one, as in {name}.FIELD"
            ),
            Self::NotText(reference) => write!(
                f,
                "the value of {reference} is not UTF-8 text: use the filter b64encode or hex, or \
                 deliver it as it is with `secret:`"
            ),
            Self::Template { line: 0, why } => write!(f, "content: {why}"),
            Self::Template { line, why } => write!(f, "content, line {line}: {why}"),
            Self::TooMuch(limit) => write!(
                f,
                "content: {limit}: use fewer or smaller loops and values in it"
            ),
            Self::Plan(why) | Self::Host(why) | Self::Value(why) => f.write_str(why),
            Self::System { doing, .. } => f.write_str(doing),
        }
    }
}

impl std::error::Error for DeliveryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            DeliveryFault::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// For `map_err`: what the operating system refused.
pub(super) fn system(doing: &'static str) -> impl Fn(io::Error) -> DeliveryFault {
    move |source| DeliveryFault::System { doing, source }
}

/// For `map_err`: what is wrong with the directories above a delivery directory.
pub(super) fn walked(error: WalkError) -> DeliveryFault {
    match error.fault {
        WalkFault::System(source) => DeliveryFault::System {
            doing: "cannot look at the directories above it",
            source,
        },
        WalkFault::NotDirectory => DeliveryFault::Host(format!(
            "it cannot be made: {} is no directory",
            error.path.display()
        )),
        _ => DeliveryFault::Host(format!(
            "{error}: whoever can change that could lead the files elsewhere. Deliver into a \
             directory below /run or /dev/shm{}",
            remedy(&error)
        )),
    }
}

fn remedy(error: &WalkError) -> String {
    let own = crate::sys::filesystem::effective_uid();
    let remedy = error.remedy(own);
    remedy.map_or_else(String::new, |command| {
        format!(", or close it to others ({command})")
    })
}
