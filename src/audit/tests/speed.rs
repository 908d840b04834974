//! How long the log takes. The goals are those of a release build with many records:
//!
//!     HUSHPIPE_NIGHTLY=1 cargo test --release --lib audit::tests::speed -- --nocapture

use std::time::{Duration, Instant};

use super::writer;
use crate::audit::*;
use crate::model::rounds;

/// As a release with one secret and its facts.
fn draft() -> Draft {
    let mut entry = Entry::new(Kind::Release).saying("x".repeat(600));
    entry.secrets.push(Secret {
        name: "db".to_owned(),
        store: "vault".to_owned(),
        fingerprints: vec![Fingerprint::new(&[7; 32])],
        ..Secret::default()
    });
    Draft::now(entry)
}

/// The 99th percentile of appending one record without sync, in microseconds.
fn append(log: &mut Log) -> f64 {
    let (draft, writer) = ([draft()], writer());
    let mut times: Vec<Duration> = (0..rounds(100, 2_000))
        .map(|_| {
            let since = Instant::now();
            let mut hold = log.hold(Duration::from_secs(5)).unwrap();
            hold.append(&draft, &writer, false).unwrap();
            drop(hold);
            since.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100].as_secs_f64() * 1e6
}

#[test]
fn appending_and_verifying_take_no_longer_with_many_records() {
    let place = tempfile::tempdir().unwrap();
    let site = Place {
        directory: place.path().join("log"),
        key_file: place.path().join("audit.key"),
    };
    let mut log = Log::open(&site, "web1").unwrap();
    let few = append(&mut log);
    let batch: Vec<Draft> = (0..1_000).map(|_| draft()).collect();
    for _ in 0..rounds(3, 1_000) {
        let mut hold = log.hold(Duration::from_secs(5)).unwrap();
        hold.append(&batch, &writer(), false).unwrap();
        hold.sign().unwrap();
    }
    let many = append(&mut log);
    log.hold(Duration::from_secs(5)).unwrap().sign().unwrap();
    let since = Instant::now();
    let archive = Archive::open(&site.directory).unwrap();
    let verified = verify(&archive, log.key().verifier(), &[]).unwrap();
    let took = since.elapsed().as_secs_f64();
    assert_eq!(verified.findings, []);
    println!("append, p99: {few:.1} µs with few records, {many:.1} with many; verify: {took:.2} s");
    if !cfg!(debug_assertions) {
        assert!(many <= 50.0 && many / few <= 1.5, "{few} {many}");
        assert!(took <= 5.0, "{took}");
    }
}
