//! Who has read which secret so far: services and programs, each by a digest of their names.

use std::collections::BTreeSet;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::model::hex;

/// More readers than this are not learnt.
const MOST: usize = 20_000;

/// What was learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The time of the first record that was learnt from: milliseconds since 1970.
    pub began: Option<u64>,
    /// Digests.
    readers: BTreeSet<String>,
}

/// What came of learning a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It was known.
    Known,
    /// It is known from now on.
    New,
    /// It is not kept, as there are too many.
    Full,
}

impl Baseline {
    /// Learns that this one (`service` or `program`, and its name) reads that secret (its store, and what the
    /// store is asked).
    pub fn learn(&mut self, what: &str, name: &str, secret: (&str, &str)) -> Learnt {
        let reader = reader(what, name, secret);
        if self.readers.contains(&reader) {
            return Learnt::Known;
        }
        if self.readers.len() >= MOST {
            return Learnt::Full;
        }
        self.readers.insert(reader);
        Learnt::New
    }

    /// Whether it was learnt that this one reads that secret.
    pub fn knows(&self, what: &str, name: &str, secret: (&str, &str)) -> bool {
        self.readers.contains(&reader(what, name, secret))
    }
}

fn reader(what: &str, name: &str, secret: (&str, &str)) -> String {
    let text = serde_json::json!([what, name, secret.0, secret.1]).to_string();
    hex(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_new_once_and_there_is_an_end_to_them() {
        let mut baseline = Baseline::default();
        let db = ("vault", "kv/db");
        assert_eq!(baseline.learn("service", "shop", db), Learnt::New);
        assert_eq!(baseline.learn("service", "shop", db), Learnt::Known);
        assert_eq!(baseline.learn("program", "shop", db), Learnt::New);
        assert_eq!(
            baseline.learn("service", "shop", ("vault", "kv/api")),
            Learnt::New
        );
        for number in 0..MOST {
            baseline.learn("service", &number.to_string(), db);
        }
        assert_eq!(baseline.learn("service", "other", db), Learnt::Full);
        assert_eq!(baseline.learn("service", "shop", db), Learnt::Known);
    }
}
