//! What must hold for values before they are used: the checks of the manifest, and that every
//! field that a delivery names is there.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use base64::Engine as _;
use memchr::memmem;
use regex_lite::{Regex, RegexBuilder};
use serde::de::IgnoredAny;
use x509_cert::Certificate;
use x509_cert::der::{DateTime, Decode};

use super::names::Fields;
use crate::model::{Channel, Checks, Exit, FieldChecks, Place, Plan, SecretName, SecretRef};
use crate::secret::{SecretBytes, Value};

/// The longest value that a pattern is matched against, in bytes; and the pattern's size up to which it
/// is that long. Matching takes time by both, and nothing else is done meanwhile.
const MATCHED: usize = 256 << 10;
const PATTERN: usize = 32 << 10;
/// A value that any pattern can be matched against.
const SHORTEST: usize = 4 << 10;

/// A value that cannot be used: which, who asks for what, and what is wrong; never the value, nor
/// its length.
#[derive(Debug, thiserror::Error)]
#[error("{}:{at}: secret {secret}: {problem}", manifest.display())]
pub struct CheckFault {
    manifest: PathBuf,
    at: Place,
    secret: SecretRef,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("does not match the pattern {0:?}")]
    NoMatch(String),
    #[error("the pattern {0:?} is no regular expression")]
    BadPattern(String),
    #[error(
        "is longer than the {0} bytes that its pattern can be matched against: use max_length, json or \
         certificate, or a shorter pattern"
    )]
    LongForPattern(usize),
    #[error("is not UTF-8, so no pattern can match it")]
    NotUtf8,
    #[error("is empty: give it a value, or allow it by `check: {{ min_length: 0 }}` on the secret")]
    Empty,
    #[error("is empty")]
    Nothing,
    #[error("is shorter than {0} bytes")]
    Short(usize),
    #[error("is longer than {0} bytes")]
    Long(usize),
    #[error("is not JSON: line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    #[error("holds no PEM certificate: -----BEGIN CERTIFICATE----- and its end are expected")]
    NoCertificate,
    #[error("certificate {0} in it cannot be read")]
    BadCertificate(usize),
    #[error("its certificate expired on {0}")]
    Expired(DateTime),
    #[error("its certificate is not valid before {0}")]
    NotYetValid(DateTime),
    #[error("has fields, so one must be named ({0})")]
    HasFields(Fields),
    #[error("is one value without fields: leave the field out, or set a `format`")]
    HasNoFields,
    #[error("there is no such field: {0}")]
    MissingField(Fields),
}

impl CheckFault {
    /// hushpipe's exit code for it.
    #[allow(clippy::unused_self)] // As every room's errors are asked.
    pub const fn exit(&self) -> Exit {
        Exit::Value
    }

    /// Whose value it is.
    pub const fn secret(&self) -> &SecretName {
        &self.secret.secret
    }
}

/// Checks values of a generation: the checks of their secrets, then the fields that deliveries name.
/// Gives every fault, in the order of the names and then of the deliveries.
pub fn check<V: Borrow<Value>>(plan: &Plan, values: &BTreeMap<SecretName, V>) -> Vec<CheckFault> {
    check_at(plan, values, SystemTime::now())
}

fn check_at<V: Borrow<Value>>(
    plan: &Plan,
    values: &BTreeMap<SecretName, V>,
    now: SystemTime,
) -> Vec<CheckFault> {
    let mut faults = Vec::new();
    for (name, spec) in &plan.secrets {
        let mut fault = |field: Option<&String>, problem| {
            faults.push(CheckFault {
                manifest: plan.manifest.clone(),
                at: spec.at,
                secret: SecretRef {
                    secret: name.clone(),
                    field: field.cloned(),
                },
                problem,
            });
        };
        if let Some(value) = values.get(name) {
            check_value(value.borrow(), &spec.checks, now, &mut fault);
        }
    }
    faults.extend(require_fields(plan, values));
    faults
}

/// Every field that a delivery names must be there; a whole secret that is delivered as it is must
/// be one value. Gives every fault, in the order of the deliveries.
fn require_fields<V: Borrow<Value>>(
    plan: &Plan,
    values: &BTreeMap<SecretName, V>,
) -> Vec<CheckFault> {
    let mut faults = Vec::new();
    for delivery in &plan.deliveries {
        let whole = matches!(delivery.channel, Channel::Secret(_));
        for reference in delivery.channel.references() {
            let Some(value) = values.get(&reference.secret) else {
                continue;
            };
            let checks = plan.secrets.get(&reference.secret);
            let field = reference.field.as_deref();
            // Where a least length is asked for, `check_value` has judged it.
            let judged = checks.is_some_and(|spec| spec.checks.least(field).is_some());
            let problem = unusable(value.borrow(), field, whole)
                .or_else(|| (!judged).then(|| empty(value.borrow(), field)).flatten());
            if let Some(problem) = problem {
                faults.push(CheckFault {
                    manifest: plan.manifest.clone(),
                    at: delivery.at,
                    secret: reference,
                    problem,
                });
            }
        }
    }
    faults
}

fn unusable(value: &Value, field: Option<&str>, whole: bool) -> Option<Problem> {
    match (value, field) {
        (Value::Raw(_), None) => None,
        (Value::Raw(_), Some(_)) => Some(Problem::HasNoFields),
        (Value::Fields(fields), None) => {
            whole.then(|| Problem::HasFields(Fields::counted(fields.len())))
        }
        (Value::Fields(fields), Some(field)) => value
            .find(field)
            .is_none()
            .then(|| Problem::MissingField(Fields::near(field, fields.keys()))),
    }
}

/// What is delivered has something in it: an empty file or password is nearly always a mistake.
fn empty(value: &Value, field: Option<&str>) -> Option<Problem> {
    let is_empty = match field {
        Some(field) => value.find(field)?.is_empty(),
        None => value.raw()?.is_empty(),
    };
    is_empty.then_some(Problem::Empty)
}

fn check_value(
    value: &Value,
    checks: &Checks,
    now: SystemTime,
    fault: &mut impl FnMut(Option<&String>, Problem),
) {
    match value.raw() {
        Some(bytes) => check_bytes(bytes, &checks.whole, now, &mut |problem| {
            fault(None, problem);
        }),
        None if asks(&checks.whole) => {
            let count = value.parts().len();
            fault(None, Problem::HasFields(Fields::counted(count)));
        }
        None => {}
    }
    for (name, wanted) in &checks.fields {
        match (value.find(name), value) {
            (Some(field), _) => check_bytes(&field, wanted, now, &mut |problem| {
                fault(Some(name), problem);
            }),
            (None, Value::Raw(_)) => fault(Some(name), Problem::HasNoFields),
            (None, Value::Fields(fields)) => {
                let fields = Fields::near(name, fields.keys());
                fault(Some(name), Problem::MissingField(fields));
            }
        }
    }
}

/// Whether anything is to be checked of the bytes: `min_length: 0` lets empty fields pass as well.
fn asks(checks: &FieldChecks) -> bool {
    checks.pattern.is_some()
        || checks.min_length.is_some_and(|least| least > 0)
        || checks.max_length.is_some()
        || checks.json
        || checks.certificate
}

fn check_bytes(
    bytes: &SecretBytes,
    checks: &FieldChecks,
    now: SystemTime,
    fault: &mut impl FnMut(Problem),
) {
    if let Some(least) = checks.min_length.filter(|least| bytes.len() < *least) {
        fault(match least {
            1 => Problem::Nothing,
            _ => Problem::Short(least),
        });
    }
    if let Some(most) = checks.max_length.filter(|most| bytes.len() > *most) {
        fault(Problem::Long(most));
    }
    let wanted = [
        checks
            .pattern
            .as_ref()
            .and_then(|pattern| mismatch(bytes, pattern)),
        checks.json.then(|| not_json(bytes)).flatten(),
        checks
            .certificate
            .then(|| not_certified(bytes, now))
            .flatten(),
    ];
    wanted.into_iter().flatten().for_each(fault);
}

fn mismatch(bytes: &SecretBytes, pattern: &str) -> Option<Problem> {
    let Some((regex, most)) = compiled(pattern) else {
        return Some(Problem::BadPattern(pattern.to_owned()));
    };
    if bytes.len() > most {
        return Some(Problem::LongForPattern(most));
    }
    let Ok(text) = std::str::from_utf8(bytes.expose()) else {
        return Some(Problem::NotUtf8);
    };
    (!regex.is_match(text)).then(|| Problem::NoMatch(pattern.to_owned()))
}

/// A pattern, and how long a value it can be matched against in a moment.
fn compiled(pattern: &str) -> Option<(Regex, usize)> {
    let mut size = PATTERN;
    let mut most = MATCHED;
    loop {
        let built = RegexBuilder::new(pattern).size_limit(size).build();
        match built {
            Ok(regex) => return Some((regex, most)),
            Err(_) if most > SHORTEST => {
                size *= 4;
                most /= 4;
            }
            Err(_) => return Some((Regex::new(pattern).ok()?, SHORTEST)),
        }
    }
}

fn not_json(bytes: &SecretBytes) -> Option<Problem> {
    // The error's text may quote the value; its position is all that is taken.
    let error = serde_json::from_slice::<IgnoredAny>(bytes.expose()).err()?;
    Some(Problem::NotJson {
        line: error.line(),
        column: error.column(),
    })
}

/// All certificates must be readable, and the first, which is the holder's own, valid now.
fn not_certified(bytes: &SecretBytes, now: SystemTime) -> Option<Problem> {
    let ders = match pem_certificates(bytes.expose()) {
        Ok(ders) if ders.is_empty() => return Some(Problem::NoCertificate),
        Ok(ders) => ders,
        Err(number) => return Some(Problem::BadCertificate(number)),
    };
    let mut validity = None;
    for (index, der) in ders.iter().enumerate() {
        match Certificate::from_der(der.expose()) {
            Ok(certificate) => {
                validity.get_or_insert(certificate.tbs_certificate.validity);
            }
            Err(_) => return Some(Problem::BadCertificate(index + 1)),
        }
    }
    let validity = validity?;
    if now < validity.not_before.to_system_time() {
        Some(Problem::NotYetValid(validity.not_before.to_date_time()))
    } else if now > validity.not_after.to_system_time() {
        Some(Problem::Expired(validity.not_after.to_date_time()))
    } else {
        None
    }
}

/// From when and until when the first of PEM certificates is valid; `None` if there is none.
pub(super) fn validity(pem: &SecretBytes) -> Option<(SystemTime, SystemTime)> {
    let ders = pem_certificates(pem.expose()).ok()?;
    let certificate = Certificate::from_der(ders.first()?.expose()).ok()?;
    let validity = certificate.tbs_certificate.validity;
    Some((
        validity.not_before.to_system_time(),
        validity.not_after.to_system_time(),
    ))
}

/// The DER of every certificate block (RFC 7468), of any line width; what stands between, such as a
/// key, is passed over, as OpenSSL does. The error is the number of the block that is damaged.
fn pem_certificates(mut text: &[u8]) -> Result<Vec<SecretBytes>, usize> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let mut certificates = Vec::new();
    while let Some(begin) = memmem::find(text, BEGIN) {
        let number = certificates.len() + 1;
        text = &text[begin + BEGIN.len()..];
        let end = memmem::find(text, END).ok_or(number)?;
        let base64: Vec<u8> = text[..end]
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let base64 = SecretBytes::new(base64);
        let der = base64::engine::general_purpose::STANDARD
            .decode(base64.expose())
            .map_err(|_| number)?;
        certificates.push(SecretBytes::new(der));
        text = &text[end + END.len()..];
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
