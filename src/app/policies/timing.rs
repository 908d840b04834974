//! How long decisions take.

use std::hint::black_box;
use std::time::Instant;

use crate::policy::{Case, Policies};

/// Each case is decided on so many times.
const ROUNDS: usize = 1_000;

/// Microseconds that decisions took, once the policies of a case were used.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How many were timed.
    pub decisions: usize,
    /// Half of them took no longer.
    pub median: f64,
    /// One in a hundred took longer.
    pub most: f64,
}

/// Decides on each case again and again. `None`: there is none.
pub fn time(cases: &[Case], policies: &Policies) -> Option<Times> {
    let mut times: Vec<f64> = Vec::with_capacity(cases.len() * ROUNDS);
    for case in cases {
        black_box(policies.decide(&case.query));
        times.extend((0..ROUNDS).map(|_| {
            let start = Instant::now();
            black_box(policies.decide(&case.query));
            start.elapsed().as_secs_f64() * 1e6
        }));
    }
    times.sort_unstable_by(f64::total_cmp);
    let last = times.len().checked_sub(1)?;
    Some(Times {
        decisions: times.len(),
        median: times[last / 2],
        most: times[last * 99 / 100],
    })
}
