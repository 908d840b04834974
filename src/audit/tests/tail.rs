//! Following a log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::writer;
use crate::audit::*;

struct Bench {
    place: tempfile::TempDir,
    log: Log,
}

impl Bench {
    fn new(segment: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let log = Self::open(place.path(), segment);
        Self { place, log }
    }

    fn open(place: &Path, segment: u64) -> Log {
        let site = Place {
            directory: place.join("log"),
            key_file: place.join("audit.key"),
        };
        Log::open(&site, "web1").unwrap().with_segments(segment)
    }

    fn add(&mut self, count: usize) {
        let mut hold = self.log.hold(Duration::from_secs(5)).unwrap();
        for _ in 0..count {
            let draft = Draft::now(Entry::new(Kind::Start));
            hold.append(&[draft], &writer(), false).unwrap();
        }
        hold.sign().unwrap();
    }

    fn tail(&self, next: u64) -> Tail {
        let archive = Archive::open(&self.place.path().join("log")).unwrap();
        Tail::new(archive, next)
    }
}

fn numbers(tail: &mut Tail, most: usize) -> Vec<u64> {
    let (found, jump) = tail.read(most, 1 << 20).unwrap();
    assert_eq!(jump, None);
    for one in &found {
        assert_eq!(seq(&one.line), Some(one.seq));
    }
    found.iter().map(|one| one.seq).collect()
}

#[test]
fn records_come_once_and_in_order_over_segments() {
    let mut bench = Bench::new(2_000);
    let mut tail = bench.tail(0);
    assert_eq!(numbers(&mut tail, 10), [0; 0]);
    let mut all = Vec::new();
    for round in 0..60_usize {
        bench.add(round % 7);
        if round % 3 == 0 {
            all.extend(numbers(&mut tail, 5 + round % 4));
        }
    }
    while let found = numbers(&mut tail, 50)
        && !found.is_empty()
    {
        all.extend(found);
    }
    let size = bench.log.hold(Duration::from_secs(5)).unwrap().size();
    assert_eq!(all, (0..size).collect::<Vec<_>>());
    assert!(bench.place.path().join("log").read_dir().unwrap().count() > 8);
    // From anywhere.
    for next in 0..=size {
        let mut tail = bench.tail(next);
        let wanted: Vec<u64> = (next..size).collect();
        assert_eq!(numbers(&mut tail, 1000), wanted);
        assert_eq!(tail.next(), size);
    }
    tail.rewind(3);
    assert_eq!(numbers(&mut tail, 2), [3, 4]);
}

#[test]
fn a_batch_is_bounded_by_bytes() {
    let mut bench = Bench::new(1 << 20);
    bench.add(10);
    let mut tail = bench.tail(0);
    assert_eq!(tail.read(10, 1).unwrap().0.len(), 1);
    assert_eq!(tail.read(10, 600).unwrap().0.len(), 3);
}

#[test]
fn what_was_pruned_is_said() {
    let mut bench = Bench::new(2_000);
    bench.add(60);
    let mut hold = bench.log.hold(Duration::from_secs(5)).unwrap();
    let oldest = hold.prune(30, &writer()).unwrap();
    drop(hold);
    let (found, jump) = bench.tail(3).read(1, 1).unwrap();
    assert_eq!((found[0].seq, jump), (oldest, Some(Jump::Pruned(oldest))));
}

#[test]
fn a_log_that_begins_anew_is_said() {
    let mut bench = Bench::new(1 << 20);
    bench.add(30);
    let mut tail = bench.tail(0);
    assert_eq!(numbers(&mut tail, 100).len(), 30);
    fs::remove_dir_all(bench.place.path().join("log")).unwrap();
    bench.log = Bench::open(bench.place.path(), 1 << 20);
    bench.add(3);
    let archive = Archive::open(&bench.place.path().join("log")).unwrap();
    let (found, jump) = Tail::new(archive, 30).read(9, 9).unwrap();
    assert_eq!((found.len(), jump), (0, Some(Jump::Replaced(0))));
}

#[test]
fn a_record_that_is_not_whole_waits() {
    let mut bench = Bench::new(1 << 20);
    bench.add(2);
    let path = bench.place.path().join("log/records.jsonl");
    let whole = fs::read(&path).unwrap();
    let line = [whole.as_slice(), b"{\"seq\":2,"].concat();
    fs::write(&path, line).unwrap();
    let mut tail = bench.tail(0);
    assert_eq!(numbers(&mut tail, 9), [0, 1]);
    assert_eq!(numbers(&mut tail, 9), [0; 0]);
    // It is cut off, and that is on record.
    bench.add(1);
    assert_eq!(numbers(&mut tail, 9), [2, 3]);
}
