//! Files that say whose signatures count: ALLOWED SIGNERS in ssh-keygen(1), read as sshsig.c reads them.
//!
//! Stricter than that in two ways: every line must be right before any counts, and a key that is listed
//! for a pattern of names (`*@example.com`) and is no `cert-authority` names no person.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{CertificateError, SignatureError};
use super::key::{Algorithm, PublicKey};
use super::moment::{Moment, Zone, parse_timestamp};
use super::pattern::PatternList;
use super::sshsig::SigningKey;
use crate::model::printable::printable;

/// A file of signers is at most this long.
pub const MAX_SIGNERS: usize = 4 * 1024 * 1024;

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    lines: Vec<Line>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SignersError {
    /// Counted from 1.
    pub line: usize,
    /// What, and what to do.
    pub what: String,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The person's principals; the first one is the name that is shown.
    pub names: Vec<String>,
    /// The key that signed.
    pub key: PublicKey,
}

/// Why a key's signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// No line has it.
    #[error("unknown signer: no line has the key {fingerprint}")]
    Unknown {
        /// Of the key.
        fingerprint: String,
    },
    /// The certificate names nobody whom its authority may name.
    #[error(
        "line {line}: the certificate names nobody who matches {}",
        printable(pattern)
    )]
    Principals {
        /// Of the authority.
        line: usize,
        /// Of the line.
        pattern: String,
    },
    /// Which person it is, nobody knows.
    #[error(
        "line {line}: the key is listed for the pattern {}, which is no person: list it with a name",
        printable(pattern)
    )]
    Nameless {
        /// Of the key.
        line: usize,
        /// Of the line.
        pattern: String,
    },
    /// For other purposes.
    #[error("line {line}: the key is not for namespace {namespace}")]
    Namespace {
        /// Of the key.
        line: usize,
        /// Of the signature.
        namespace: &'static str,
    },
    /// Its time has not come.
    #[error("line {line}: the key is not valid before {since}")]
    NotYet {
        /// Of the key.
        line: usize,
        /// `valid-after`
        since: Moment,
    },
    /// Its time is over.
    #[error("line {line}: the key has expired: it was valid until {until}")]
    Expired {
        /// Of the key.
        line: usize,
        /// `valid-before`
        until: Moment,
    },
    /// The certificate's own time.
    #[error("line {line}: the certificate is refused: {why}")]
    Certificate {
        /// Of the authority.
        line: usize,
        /// Why.
        why: CertificateError,
    },
}

const NO_KEY: &str = "it has no key: PRINCIPALS [OPTIONS] TYPE BASE64";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    principals: PatternList,
    options: Options,
    key: PublicKey,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    authority: bool,
    namespaces: Option<PatternList>,
    after: Option<Moment>,
    before: Option<Moment>,
}

impl Signers {
    /// Reads a file; all that is wrong with it is reported at once.
    pub fn parse(file: &[u8], zone: Zone<'_>) -> Result<Self, Vec<SignersError>> {
        let (mut lines, mut errors) = (Vec::new(), Vec::new());
        for (index, bytes) in file.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            match Line::parse(number, bytes, zone) {
                Ok(line) => lines.extend(line),
                Err(what) => errors.push(SignersError { line: number, what }),
            }
        }
        if errors.is_empty() {
            Ok(Self { lines })
        } else {
            Err(errors)
        }
    }

    /// Who the owner of a key is, in this namespace and at this time. Of several lines that are for the
    /// key, each that counts adds its names.
    pub fn find(
        &self,
        signing: &SigningKey,
        namespace: &'static str,
        now: Moment,
    ) -> Result<Signer, SignerError> {
        let mut names: Vec<String> = Vec::new();
        let mut error = None;
        for line in self.lines.iter().filter(|line| line.is_for(signing)) {
            match line.names(signing, namespace, now) {
                Ok(found) => names.extend(found),
                Err(wrong) => error = error.or(Some(wrong)),
            }
        }
        if !names.is_empty() {
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            let key = signing.key().clone();
            return Ok(Signer { names, key });
        }
        Err(error.unwrap_or_else(|| SignerError::Unknown {
            fingerprint: signing.key().fingerprint(),
        }))
    }

    /// Whether nobody's signature counts.
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Line {
    /// `None`: it is empty, or a comment.
    fn parse(number: usize, bytes: &[u8], zone: Zone<'_>) -> Result<Option<Self>, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        let text = text.trim_matches([' ', '\t', '\r']);
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        if text.contains('\0') {
            return Err("it has a NUL byte".to_owned());
        }
        let (principals, rest) = principals(text)?;
        if rest.is_empty() {
            return Err(NO_KEY.to_owned());
        }
        let (options, rest) = match word(rest) {
            (name, encoded) if Algorithm::of_key(name).is_some() => {
                (Options::default(), (name, encoded))
            }
            _ => {
                let (options, rest) = options(rest, zone)?;
                (options, word(rest))
            }
        };
        Ok(Some(Self {
            number,
            principals,
            options,
            key: key(rest.0, word(rest.1).0)?,
        }))
    }

    /// Whether it lists the key, or the authority of its certificate.
    fn is_for(&self, signing: &SigningKey) -> bool {
        match signing {
            SigningKey::Plain(key) => !self.options.authority && *key == self.key,
            SigningKey::Certified(certificate) => {
                self.options.authority && certificate.authority == self.key
            }
        }
    }

    fn names(
        &self,
        signing: &SigningKey,
        namespace: &'static str,
        now: Moment,
    ) -> Result<Vec<String>, SignerError> {
        let (line, options) = (self.number, &self.options);
        let wanted = options.namespaces.as_ref();
        if wanted.is_some_and(|wanted| !wanted.matches(namespace)) {
            return Err(SignerError::Namespace { line, namespace });
        }
        if let Some(since) = options.after.filter(|after| now < *after) {
            return Err(SignerError::NotYet { line, since });
        }
        if let Some(until) = options.before.filter(|before| now > *before) {
            return Err(SignerError::Expired { line, until });
        }
        let pattern = self.principals.as_str().to_owned();
        match signing {
            SigningKey::Plain(_) => {
                let names = self.principals.names();
                let names = names.ok_or(SignerError::Nameless { line, pattern })?;
                Ok(names.into_iter().map(str::to_owned).collect())
            }
            SigningKey::Certified(certificate) => {
                let checked = certificate.check_time(now.unix());
                checked.map_err(|why| SignerError::Certificate { line, why })?;
                let named = certificate.principals.iter();
                let named = named.filter(|name| self.principals.matches(name));
                let names: Vec<String> = named.cloned().collect();
                if names.is_empty() {
                    return Err(SignerError::Principals { line, pattern });
                }
                Ok(names)
            }
        }
    }
}

/// The first field, perhaps in quotes.
fn principals(text: &str) -> Result<(PatternList, &str), String> {
    let (field, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted
            .split_once('"')
            .ok_or("the principals have no closing quote")?,
        None => word(text),
    };
    if field.is_empty() {
        return Err("it has no principals".to_owned());
    }
    Ok((
        PatternList::new(field),
        rest.trim_start_matches([' ', '\t']),
    ))
}

/// Up to the next blank, and what follows the blanks.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start_matches([' ', '\t']))
}

fn key(name: &str, encoded: &str) -> Result<PublicKey, String> {
    if name.is_empty() {
        return Err(NO_KEY.to_owned());
    }
    if Algorithm::of_certificate(name).is_some() {
        return Err(
            "it has a certificate: list the key of its authority with cert-authority".to_owned(),
        );
    }
    if Algorithm::of_key(name).is_none() {
        return Err(SignatureError::Algorithm(name.to_owned()).to_string());
    }
    let blob = STANDARD
        .decode(encoded)
        .map_err(|_| "the key is not base64")?;
    let key = PublicKey::parse(&blob).map_err(|error| format!("the key is refused: {error}"))?;
    if key.algorithm() != name {
        return Err(format!(
            "the key is of type {}, not {name}",
            key.algorithm()
        ));
    }
    Ok(key)
}

/// The options at the start of a text, and what follows them: `sshsigopt_parse`.
fn options<'t>(text: &'t str, zone: Zone<'_>) -> Result<(Options, &'t str), String> {
    let mut options = Options::default();
    let mut rest = text;
    loop {
        rest = options.take(rest, zone)?;
        match rest.chars().next() {
            Some(',') => rest = &rest[1..],
            Some(' ' | '\t') => break,
            None => return Err(NO_KEY.to_owned()),
            Some(_) => return Err("options are separated by commas, without blanks".to_owned()),
        }
    }
    if let (Some(after), Some(before)) = (options.after, options.before)
        && before <= after
    {
        return Err("valid-before is not later than valid-after".to_owned());
    }
    Ok((options, rest.trim_start_matches([' ', '\t'])))
}

impl Options {
    /// Reads one option, and gives what follows it.
    fn take<'t>(&mut self, text: &'t str, zone: Zone<'_>) -> Result<&'t str, String> {
        let end = text.find([',', ' ', '\t', '=']).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let value = rest.strip_prefix('=');
        match (name.to_ascii_lowercase().as_str(), value) {
            ("cert-authority", None) => {
                self.authority = true;
                Ok(rest)
            }
            ("namespaces", Some(value)) => {
                let (value, rest) = dequoted(name, value)?;
                once(
                    name,
                    self.namespaces.replace(PatternList::new(&value)).as_ref(),
                )?;
                Ok(rest)
            }
            ("valid-after", Some(value)) => {
                let (moment, rest) = timestamp(name, value, zone)?;
                once(name, self.after.replace(moment).as_ref())?;
                Ok(rest)
            }
            ("valid-before", Some(value)) => {
                let (moment, rest) = timestamp(name, value, zone)?;
                once(name, self.before.replace(moment).as_ref())?;
                Ok(rest)
            }
            ("namespaces" | "valid-after" | "valid-before", None) => {
                Err(format!("option {name} has no value: {name}=\"…\""))
            }
            _ => Err(format!(
                "unknown option or key type {}: the options are cert-authority, namespaces, valid-after \
                 and valid-before",
                printable(name)
            )),
        }
    }
}

fn once<T>(name: &str, before: Option<&T>) -> Result<(), String> {
    match before {
        Some(_) => Err(format!("option {name} is there twice")),
        None => Ok(()),
    }
}

fn timestamp<'t>(name: &str, text: &'t str, zone: Zone<'_>) -> Result<(Moment, &'t str), String> {
    let (value, rest) = dequoted(name, text)?;
    let moment = parse_timestamp(&value, zone).ok_or_else(|| {
        format!("option {name}: a time is YYYYMMDD[HHMM[SS]], in UTC with Z at its end")
    })?;
    Ok((moment, rest))
}

/// What stands in quotes, and what follows them: `opt_dequote`.
fn dequoted<'t>(name: &str, text: &'t str) -> Result<(String, &'t str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Err(format!("option {name}: its value is not in double quotes"));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                value.push('"');
                chars.next();
            }
            _ => value.push(c),
        }
    }
    Err(format!("option {name}: its value has no closing quote"))
}
