//! A log on the disk: several writers, crashes, and what was done to it behind their back.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::writer;
use crate::audit::*;
use crate::model::chain;

const PATIENCE: Duration = Duration::from_secs(5);

struct Bench {
    place: TempDir,
}

impl Bench {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        Self { place }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join("log").join(name)
    }

    fn site(&self) -> Place {
        Place {
            directory: self.at(""),
            key_file: self.place.path().join("state/audit.key"),
        }
    }

    fn open(&self) -> Log {
        Log::open(&self.site(), "web1.example").unwrap()
    }

    fn archive(&self) -> Archive {
        Archive::open(&self.at("")).unwrap()
    }

    fn verify(&self) -> Verified {
        let key = self.open();
        verify(&self.archive(), key.key().verifier(), &[]).unwrap()
    }

    /// A log of so many records, signed now and then and at its end.
    fn filled(count: u64) -> Self {
        let bench = Self::new();
        let mut log = bench.open().with_segments(20_000);
        for number in 0..count {
            let mut hold = log.hold(PATIENCE).unwrap();
            assert_eq!(add(&mut hold, "x"), number);
            if hold.is_due() {
                hold.sign().unwrap();
            }
        }
        log.hold(PATIENCE).unwrap().sign().unwrap();
        bench
    }

    fn findings(&self) -> Vec<String> {
        self.verify()
            .findings
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

fn add(hold: &mut Hold<'_>, text: &str) -> u64 {
    let draft = Draft::now(Entry::new(Kind::Start).saying(text));
    hold.append(&[draft], &writer(), false).unwrap()
}

fn append_raw(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn what_is_added_is_there_and_verifies() {
    let bench = Bench::filled(700);
    let verified = bench.verify();
    assert_eq!(verified.findings, []);
    assert_eq!(
        (verified.covered, verified.uncovered, verified.torn),
        (700, 0, 0)
    );
    assert!(bench.at("records-000000000000.jsonl").exists());
    let log = bench.open();
    let key = log.key().verifier();
    for index in [0, 255, 256, 511, 699] {
        let proof = bench.archive().prove(index, key).unwrap();
        let line = bench.archive().line(index).unwrap().unwrap();
        assert_eq!(Proof::parse(&proof.to_string()).unwrap(), proof);
        assert_eq!(proof.verify(&line, key).unwrap().size, 700);
        assert!(proof.verify(b"another", key).is_err());
    }
    assert!(bench.archive().prove(700, key).is_err());
}

#[test]
fn others_cannot_read_it() {
    let bench = Bench::filled(1);
    for (name, mode) in [
        ("", 0o700),
        ("records.jsonl", 0o600),
        ("checkpoint", 0o600),
        ("tile/0/000.p/1", 0o600),
        ("../state/audit.key", 0o600),
        ("lock", 0o600),
    ] {
        let found = fs::metadata(bench.at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn the_group_of_its_directory_may_read_it() {
    let bench = Bench::new();
    fs::create_dir(bench.at("")).unwrap();
    fs::set_permissions(bench.at(""), fs::Permissions::from_mode(0o750)).unwrap();
    let mut log = bench.open();
    let mut hold = log.hold(PATIENCE).unwrap();
    add(&mut hold, "x");
    hold.sign().unwrap();
    for (name, mode) in [
        ("records.jsonl", 0o640),
        ("checkpoint", 0o640),
        ("tile", 0o750),
        ("tile/0/000.p/1", 0o640),
        ("lock", 0o600),
    ] {
        let found = fs::metadata(bench.at(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn several_writers_see_what_the_others_added() {
    let bench = Bench::new();
    let mut logs = [bench.open(), bench.open(), bench.open()];
    for number in 0..1000 {
        let mut hold = logs[number * 7 % 3].hold(PATIENCE).unwrap();
        assert_eq!(add(&mut hold, "x"), number as u64);
        if number % 100 == 40 {
            hold.sign().unwrap();
        }
    }
    logs[0].hold(PATIENCE).unwrap().sign().unwrap();
    drop(logs);
    assert_eq!(bench.findings(), [""; 0]);
    assert_eq!(bench.verify().covered, 1000);
}

#[test]
fn whoever_waits_too_long_for_the_lock_is_refused() {
    let bench = Bench::new();
    let (mut one, mut two) = (bench.open(), bench.open());
    let hold = one.hold(PATIENCE).unwrap();
    assert!(two.try_hold().unwrap().is_none());
    let error = two.hold(Duration::from_millis(20)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another process has held the lock"),
        "{error}"
    );
    drop(hold);
    assert!(two.try_hold().unwrap().is_some());
}

#[test]
fn a_torn_line_is_cut_off_and_recorded() {
    let bench = Bench::filled(10);
    let mut running = bench.open();
    running.hold(PATIENCE).unwrap();
    for torn in [
        &b"{\"seq\":10,\"ti"[..],
        b"\0\0\0\0",
        b"{\"seq\":12\0\0\0\n\0\0\n",
    ] {
        append_raw(&bench.at("records.jsonl"), torn);
        assert_eq!(bench.verify().findings, []);
        let size = running.hold(PATIENCE).unwrap().size();
        let mut hold = running.hold(PATIENCE).unwrap();
        assert_eq!(add(&mut hold, "next"), size + 1);
        drop(hold);
        let line = bench.archive().line(size).unwrap().unwrap();
        let record = Record::parse(&line).unwrap();
        assert_eq!(record.entry.kind, Kind::Recovered);
        assert_eq!(record.entry.cut.as_ref().unwrap().bytes, torn.len() as u64);
    }
    assert_eq!(bench.verify().uncovered, 6);
}

#[test]
fn lines_that_are_none_of_ours_are_refused() {
    let bench = Bench::filled(10);
    append_raw(&bench.at("records.jsonl"), b"{\"seq\":11,\"time\":\"\"}\n");
    let mut log = bench.open();
    let error = log.hold(PATIENCE).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("record 10 is not where it belongs"),
        "{error}"
    );
    assert_eq!(
        bench.findings(),
        ["records.jsonl: record 11 is where record 10 belongs"]
    );
}

#[test]
fn a_writer_remembers_what_no_head_covers_yet() {
    let bench = Bench::new();
    let mut log = bench.open();
    add(&mut log.hold(PATIENCE).unwrap(), "x");
    let away = bench.place.path().join("away");
    fs::rename(bench.at("records.jsonl"), &away).unwrap();
    for _ in 0..2 {
        let error = log.hold(PATIENCE).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("it has 0 records, and had 1 before"),
            "{error}"
        );
    }
    fs::rename(&away, bench.at("records.jsonl")).unwrap();
    assert_eq!(add(&mut log.hold(PATIENCE).unwrap(), "y"), 1);
}

#[test]
fn tiles_that_a_power_cut_took_are_made_anew() {
    for broken in ["tile/0/001.p/44", "tile/1/000.p/1"] {
        let bench = Bench::filled(300);
        fs::write(
            bench.at(broken),
            vec![0; fs::read(bench.at(broken)).unwrap().len()],
        )
        .unwrap();
        assert_eq!(bench.verify().findings.len(), 1);
        let mut log = bench.open();
        let mut hold = log.hold(PATIENCE).unwrap();
        add(&mut hold, "x");
        hold.sign().unwrap();
        drop(hold);
        assert_eq!(bench.findings(), [""; 0], "{broken}");
        let record = bench.archive().line(300).unwrap().unwrap();
        assert_eq!(Record::parse(&record).unwrap().entry.kind, Kind::Recovered);
    }
}

#[test]
fn a_log_without_its_key_is_refused() {
    let bench = Bench::filled(3);
    let key = fs::read(bench.site().key_file).unwrap();
    fs::remove_file(bench.site().key_file).unwrap();
    let error = Log::open(&bench.site(), "web1").unwrap_err();
    assert!(matches!(error, LogError::KeyMissing { .. }), "{error}");
    let other = Bench::filled(1);
    fs::copy(other.site().key_file, bench.site().key_file).unwrap();
    let mut log = bench.open();
    let error = log.hold(PATIENCE).unwrap_err();
    assert!(
        chain(&error).contains("signed by another key")
            || chain(&error).contains("the signature is wrong"),
        "{error}"
    );
    fs::write(bench.site().key_file, &key[..20]).unwrap();
    assert!(matches!(
        Log::open(&bench.site(), "web1"),
        Err(LogError::Key { .. })
    ));
    fs::write(bench.site().key_file, key).unwrap();
    fs::set_permissions(bench.site().key_file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Log::open(&bench.site(), "web1").unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_log_that_lost_records_is_refused() {
    let bench = Bench::filled(30);
    let text = fs::read_to_string(bench.at("records.jsonl")).unwrap();
    let shorter = &text[..=text[..text.len() - 1].rfind('\n').unwrap()];
    fs::write(bench.at("records.jsonl"), shorter).unwrap();
    let mut log = bench.open();
    let error = log.hold(PATIENCE).unwrap_err();
    assert!(
        error.to_string().contains("not all of them are there"),
        "{error}"
    );
    assert_eq!(bench.findings().len(), 1);
}

#[test]
fn pruning_keeps_the_tree_and_is_on_record() {
    let bench = Bench::filled(700);
    let mut log = bench.open().with_segments(20_000);
    let oldest = log.hold(PATIENCE).unwrap().prune(300, &writer()).unwrap();
    assert!(oldest > 200 && oldest <= 300, "{oldest}");
    let verified = bench.verify();
    assert_eq!(
        (verified.findings.as_slice(), verified.first),
        (&[][..], oldest)
    );
    let key = log.key().verifier().clone();
    assert!(bench.archive().prove(3, &key).is_ok());
    assert!(bench.archive().line(3).unwrap().is_none());
    let mut again = bench.open();
    let mut hold = again.hold(PATIENCE).unwrap();
    add(&mut hold, "x");
    hold.sign().unwrap();
    drop(hold);
    assert_eq!(bench.findings(), [""; 0]);
    let next = bench.archive().directory.segments().unwrap()[0];
    fs::remove_file(bench.at(&crate::audit::directory::segment(next))).unwrap();
    let findings = bench.findings();
    assert!(
        findings
            .iter()
            .any(|finding| finding.contains("none says that they were pruned")),
        "{findings:?}"
    );
}

#[test]
fn whoever_closes_a_segment_removes_what_is_older_than_the_site_keeps() {
    let bench = Bench::new();
    let mut log = bench.open().with_segments(5_000);
    let add_old = |log: &mut Log, age: u64| {
        let draft = Draft {
            time: std::time::SystemTime::now() - Duration::from_secs(age),
            entry: Entry::new(Kind::Start),
        };
        let mut hold = log.hold(PATIENCE).unwrap();
        hold.append(&[draft], &writer(), false).unwrap();
    };
    for age in (0..100).rev() {
        add_old(&mut log, age * 3600);
    }
    assert!(bench.archive().line(0).unwrap().is_some());
    let mut log = bench.open().with_segments(5_000);
    let mut log = {
        log.hold(PATIENCE).unwrap();
        log.with_retention(Some(Duration::from_hours(50)))
    };
    let before = bench.archive().directory.segments().unwrap().len();
    for _ in 0..40 {
        add_old(&mut log, 0);
    }
    log.hold(PATIENCE).unwrap().sign().unwrap();
    let verified = bench.verify();
    assert_eq!(verified.findings, []);
    // What is younger is there, and what is in one segment with it.
    assert!(
        verified.first > 20 && verified.first <= 50,
        "{}",
        verified.first
    );
    assert!(bench.archive().directory.segments().unwrap().len() < before + 4);
}

#[test]
fn an_older_head_shows_what_was_rewritten() {
    let bench = Bench::filled(120);
    let key = bench.open().key().verifier().clone();
    let since = |bench: &Bench| Since {
        name: "kept".to_owned(),
        head: bench.archive().checkpoint(&key).unwrap().unwrap(),
    };
    let kept = since(&bench);
    // Whoever has the key begins the log anew.
    for name in ["records.jsonl", "checkpoint"] {
        fs::remove_file(bench.at(name)).unwrap();
    }
    for first in bench.archive().directory.segments().unwrap() {
        bench.archive().directory.remove_segment(first).unwrap();
    }
    fs::remove_dir_all(bench.at("tile")).unwrap();
    let mut log = bench.open();
    for _ in 0..150 {
        let mut hold = log.hold(PATIENCE).unwrap();
        add(&mut hold, "forged");
        hold.sign().unwrap();
    }
    assert_eq!(bench.findings(), [""; 0]);
    let verified = verify(&bench.archive(), &key, &[kept]).unwrap();
    let findings: Vec<_> = verified.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        ["kept: the first 120 records are not those that it covers"]
    );
    assert!(
        verify(&bench.archive(), &key, &[since(&bench)])
            .unwrap()
            .findings
            .is_empty()
    );
}
