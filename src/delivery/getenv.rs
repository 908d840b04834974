//! `getenv` deliveries: the strings for the program's stack, and how they are recognised later. What
//! stays in hushpipe are fingerprints, no values.

use std::io;

use super::error::system;
use super::{DeliveryError, DeliveryFault};
use crate::model::{Carries, Children, Delivery, DeliveryKind, Plan, Protected};
use crate::secret::{Digest, DigestKey, SecretBytes};
use crate::sys::memory;
use crate::sys::trace::Hidden;

/// What all `getenv` deliveries of a program may take: a quarter of the usual limit of the stack.
const MOST: usize = 2 << 20;

/// Shorter values are recognised as the whole of a variable alone: as parts they are everywhere.
const SHORT: usize = 8;

/// What the program gets, and what recognises it.
pub struct Variables {
    /// For its stack.
    pub hidden: Hidden,
    /// For the gate.
    pub fingerprints: Fingerprints,
}

/// The plan's `getenv` deliveries; `None` where it has none. Every error in one go.
pub fn prepare_variables(
    plan: &Plan,
    payloads: &[SecretBytes],
) -> Result<Option<Variables>, Vec<DeliveryError>> {
    let deliveries = plan.deliveries.iter().zip(payloads);
    let chosen: Vec<Chosen<'_>> = deliveries
        .filter_map(|(delivery, payload)| match &delivery.kind {
            DeliveryKind::Getenv { name, children } => Some(Chosen {
                delivery,
                name,
                children: *children,
                value: payload.expose(),
            }),
            _ => None,
        })
        .collect();
    if chosen.is_empty() {
        return Ok(None);
    }
    let errors = misfits(&chosen);
    if !errors.is_empty() {
        return Err(errors);
    }
    let of_system = |error: io::Error| {
        let fault = system("no memory for its variables")(error);
        vec![DeliveryError::of(chosen[0].delivery, fault)]
    };
    let texts: Vec<SecretBytes> = chosen.iter().map(Chosen::text).collect();
    let hidden = Hidden::new(texts.iter().map(SecretBytes::expose)).map_err(of_system)?;
    let mut fingerprints = Fingerprints::new().map_err(of_system)?;
    for one in &chosen {
        fingerprints.add(one.name, one.value, one.children);
    }
    Ok(Some(Variables {
        hidden,
        fingerprints,
    }))
}

/// A delivery by `getenv`, and its value.
struct Chosen<'a> {
    delivery: &'a Delivery,
    name: &'a str,
    children: Children,
    value: &'a [u8],
}

impl Chosen<'_> {
    /// `NAME=value`
    fn text(&self) -> SecretBytes {
        let mut text = Vec::with_capacity(self.name.len() + 1 + self.value.len());
        text.extend_from_slice(self.name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(self.value);
        SecretBytes::new(text)
    }
}

/// Those whose values no variable can hold.
fn misfits(chosen: &[Chosen<'_>]) -> Vec<DeliveryError> {
    let mut total = 0;
    let mut misfits = Vec::new();
    for one in chosen {
        let length = one.name.len() + one.value.len() + 2;
        let fault = if one.value.contains(&0) {
            "its value contains a NUL byte, which ends a variable: deliver it by `file` or `fd`"
        } else if total + length > MOST {
            "the values for `getenv` take more than 2 MiB: deliver the largest by `file` or `fd`"
        } else {
            total += length;
            continue;
        };
        let fault = DeliveryFault::Value(fault.to_owned());
        misfits.push(DeliveryError::of(one.delivery, fault));
    }
    misfits
}

/// Recognises values without having them: 20 bits of a keyed hash of a value's first bytes say where it
/// may be, and a digest under a key of this launch whether it is.
pub struct Fingerprints {
    key: DigestKey,
    /// Odd.
    factor: u64,
    known: Vec<Fingerprint>,
}

struct Fingerprint {
    name: String,
    children: Children,
    length: usize,
    start: u32,
    digest: Digest,
}

impl Fingerprints {
    fn new() -> io::Result<Self> {
        let mut factor = [0; 8];
        memory::fill_random(&mut factor)?;
        Ok(Self {
            key: DigestKey::new()?,
            factor: u64::from_ne_bytes(factor) | 1,
            known: Vec::new(),
        })
    }

    fn add(&mut self, name: &str, value: &[u8], children: Children) {
        let fingerprint = Fingerprint {
            name: name.to_owned(),
            children,
            length: value.len(),
            start: self.start(value).unwrap_or_default(),
            digest: self.key.of(value),
        };
        self.known.push(fingerprint);
    }

    /// Of the first eight bytes.
    fn start(&self, text: &[u8]) -> Option<u32> {
        let first = text.first_chunk::<8>()?;
        let product = u64::from_ne_bytes(*first).wrapping_mul(self.factor);
        Some((product >> 44) as u32)
    }

    fn is(&self, fingerprint: &Fingerprint, value: &[u8]) -> bool {
        value.len() == fingerprint.length && self.key.of(value) == fingerprint.digest
    }

    /// Whether the value is a part of a text.
    fn is_in(&self, fingerprint: &Fingerprint, text: &[u8]) -> bool {
        fingerprint.length >= SHORT
            && text.windows(fingerprint.length).any(|window| {
                self.start(window) == Some(fingerprint.start) && self.is(fingerprint, window)
            })
    }
}

impl Protected for Fingerprints {
    fn carries(&self, variable: &[u8]) -> Carries {
        let equals = variable.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(equals) => (&variable[..equals], &variable[equals + 1..]),
            None => (&[][..], variable),
        };
        let all = self.known.iter().filter(|known| {
            known.name.as_bytes() == name
                || self.is_in(known, variable)
                || (known.length > 0 && known.length < SHORT && self.is(known, value))
        });
        all.map(|known| match known.children {
            Children::Same => Carries::OfTree,
            Children::None => Carries::OfProgram,
        })
        .max()
        .unwrap_or(Carries::Nothing)
    }

    fn named_in(&self, text: &[u8]) -> Option<&str> {
        let mut known = self.known.iter();
        let found = known.find(|known| self.is_in(known, text))?;
        Some(&found.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{file, payloads, plan, secret};
    use super::*;

    fn getenv(name: &str, children: Children) -> DeliveryKind {
        DeliveryKind::Getenv {
            name: name.to_owned(),
            children,
        }
    }

    fn prepared() -> Variables {
        let plan = plan(vec![
            (getenv("DATABASE_URL", Children::None), secret("x")),
            (file("/run/s/x"), secret("x")),
            (getenv("PIN", Children::Same), secret("x")),
            (getenv("TOKEN", Children::Same), secret("x")),
        ]);
        let values = payloads(&[b"postgres://u:p@h/db", b"-", b"1234", b"correct-horse"]);
        prepare_variables(&plan, &values).ok().unwrap().unwrap()
    }

    #[test]
    fn variables_are_recognised_by_name_and_by_value() {
        let known = prepared().fingerprints;
        for (variable, carries) in [
            ("DATABASE_URL=postgres://u:p@h/db", Carries::OfProgram),
            ("DATABASE_URL=another", Carries::OfProgram),
            ("DATABASE_URL=", Carries::OfProgram),
            ("COPY=postgres://u:p@h/db", Carries::OfProgram),
            ("MORE=postgres://u:p@h/db?sslmode=off", Carries::OfProgram),
            ("postgres://u:p@h/db", Carries::OfProgram),
            ("BOTH=correct-horse,postgres://u:p@h/db", Carries::OfProgram),
            ("TOKEN=", Carries::OfTree),
            ("X=a correct-horse b", Carries::OfTree),
            ("PIN=4321", Carries::OfTree),
            ("OTHER=1234", Carries::OfTree),
            ("OTHER=12345", Carries::Nothing),
            ("DATABASE_UR=postgres://u:p@h/d", Carries::Nothing),
            ("X=correct-hors", Carries::Nothing),
            ("", Carries::Nothing),
            ("=", Carries::Nothing),
        ] {
            assert_eq!(known.carries(variable.as_bytes()), carries, "{variable}");
        }
    }

    #[test]
    fn arguments_are_recognised_by_values_alone() {
        let known = prepared().fingerprints;
        let named = |text: &str| known.named_in(text.as_bytes()).map(str::to_owned);
        assert_eq!(named("--password=correct-horse"), Some("TOKEN".to_owned()));
        assert_eq!(named("TOKEN"), None);
        assert_eq!(named("1234"), None, "as a part it is everywhere");
    }

    #[test]
    fn nothing_is_prepared_without_such_a_delivery() {
        let plan = plan(vec![(file("/run/s/x"), secret("x"))]);
        assert!(prepare_variables(&plan, &payloads(&[b"a"])).is_ok_and(|none| none.is_none()));
    }

    #[test]
    fn values_that_no_variable_can_hold_are_refused() {
        let plan = plan(vec![
            (getenv("A", Children::None), secret("x")),
            (getenv("B", Children::None), secret("x")),
        ]);
        let large = vec![b'x'; MOST];
        let errors = prepare_variables(&plan, &payloads(&[b"a\0b", &large]));
        let errors: Vec<String> = errors
            .err()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            errors[0].contains("getenv A: its value contains a NUL byte"),
            "{errors:?}"
        );
        assert!(errors[1].contains("more than 2 MiB"), "{errors:?}");
    }
}
