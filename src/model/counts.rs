//! What a launcher counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of a histogram's buckets, in milliseconds; one more bucket has what is above.
pub const BOUNDS_MS: [u64; 12] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 15_000, 60_000,
];

/// Lengths of time, counted by how long they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// How many were at most as long as each of [`BOUNDS_MS`], and not as long as the one before; then the rest.
    pub buckets: Vec<u64>,
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BOUNDS_MS.len() + 1],
            sum_us: 0,
        }
    }
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let is_within = |bound: &u64| took <= Duration::from_millis(*bound);
        let bucket = BOUNDS_MS.iter().position(is_within);
        let bucket = bucket.unwrap_or(BOUNDS_MS.len());
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us = self.sum_us.saturating_add(micros);
    }

    /// Takes in another one.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count = count.saturating_add(*more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |all, one| all.saturating_add(*one))
    }
}

/// Since the launcher started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Rotations, by how they ended: ok, rolled_back, failed.
    pub rotations: BTreeMap<String, u64>,
    /// How long those took that worked.
    pub rotation: Histogram,
    /// Requests, by store and by how they ended.
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    /// How long they took, by store.
    pub fetch: BTreeMap<String, Histogram>,
    /// Values that were replaced in the program's output, by stream.
    pub redactions: BTreeMap<String, u64>,
}

impl Counts {
    /// Takes in those of another launcher.
    pub fn merge(&mut self, other: &Self) {
        merge(&mut self.rotations, &other.rotations);
        self.rotation.merge(&other.rotation);
        for (store, results) in &other.requests {
            merge(self.requests.entry(store.clone()).or_default(), results);
        }
        for (store, histogram) in &other.fetch {
            self.fetch
                .entry(store.clone())
                .or_default()
                .merge(histogram);
        }
        merge(&mut self.redactions, &other.redactions);
    }
}

fn merge(counts: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, more) in more {
        let count = counts.entry(name.clone()).or_default();
        *count = count.saturating_add(*more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_once() {
        let mut one = Histogram::default();
        for millis in [1, 2, 60_000, 60_001] {
            one.add(Duration::from_millis(millis));
        }
        assert_eq!((one.buckets[0], one.buckets[1]), (1, 1));
        assert_eq!((one.buckets[11], one.buckets[12]), (1, 1));
        assert_eq!((one.count(), one.sum_us), (4, 120_004_000));
        let mut two = one.clone();
        two.merge(&one);
        assert_eq!((two.count(), two.sum_us), (8, 240_008_000));
        // Another version's.
        two.merge(&Histogram {
            buckets: vec![1],
            sum_us: u64::MAX,
        });
        assert_eq!(two.count(), 9);
    }
}
