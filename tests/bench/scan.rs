//! How fast a scan reads: source trees with all rules, and values of a store in what is no text.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use super::table::Row;

/// How much is read in one go.
const SIZE: u64 = 128 << 20;

/// Seconds that 100 MB take, by one thread: 150 MB/s and 500 MB/s.
const TARGETS: (f64, f64) = (0.667, 0.2);

/// Reads hushpipe's own sources, as often as it takes, and a file of random bytes.
pub fn measure(bench: &Bench) -> Vec<Row> {
    let tree = bench.path("scanned");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut size = 0;
    for copy in 0.. {
        if size >= SIZE {
            break;
        }
        size += copied(&sources, &tree.join(copy.to_string()));
    }
    let seconds = timed(bench, &[tree.to_str().expect("it is UTF-8")]);
    let mut rows = vec![Row::timed(
        "scan, 100 MB of sources, one thread, s",
        per_100_mb(seconds, size),
        TARGETS.0,
    )];
    let binary = bench.path("scanned.bin");
    let mut state = 1_u64;
    let mut bytes = vec![0; SIZE as usize];
    for chunk in bytes.chunks_exact_mut(8).skip(1) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    fs::write(&binary, bytes).expect("it is writable");
    let known = ["--known", "sealed", "--identity", "identity.txt"];
    let path = binary.to_str().expect("it is UTF-8");
    let seconds = timed(bench, &[&known[..], &[path]].concat());
    rows.push(Row::timed(
        "scan, 100 MB for known values alone, one thread, s",
        per_100_mb(seconds, SIZE),
        TARGETS.1,
    ));
    rows
}

fn per_100_mb(seconds: f64, size: u64) -> f64 {
    seconds * 100e6 / f64::from(u32::try_from(size).expect("it is less than 4 GiB"))
}

/// Copies files; gives how much they have.
fn copied(from: &Path, to: &Path) -> u64 {
    fs::create_dir_all(to).expect("it is writable");
    let mut size = 0;
    for entry in fs::read_dir(from).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let target = to.join(path.file_name().expect("it has a name"));
        size += if path.is_dir() {
            copied(&path, &target)
        } else {
            fs::copy(&path, &target).expect("it is writable")
        };
    }
    size
}

/// The best of three: the first one reads from the disk.
fn timed(bench: &Bench, arguments: &[&str]) -> f64 {
    let once = || {
        let since = Instant::now();
        let status = Command::new(&bench.hushpipe)
            .args(["scan", "--quiet", "--no-ignore", "--threads", "1"])
            .args(arguments)
            .current_dir(bench.directory.path())
            .stdout(Stdio::null())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the scan failed"
        );
        since.elapsed().as_secs_f64()
    };
    (0..3).map(|_| once()).fold(f64::MAX, f64::min)
}
