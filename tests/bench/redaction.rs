//! What `run.redact` costs: ordinary output through a pipe with ten secrets to look for, and the delay of a
//! line. What comes out must be what went in: in a gigabyte of it, no value of eight bytes is found by chance.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::table::{Row, percentile};
use super::{Bench, Effort, SECRETS};

/// One file of output, which is written several times.
const SIZE: usize = 64 << 20;

/// Seconds that 100 MB take: 500 MB/s.
const TARGET: f64 = 0.2;

/// Milliseconds.
const DELAY: f64 = 1.0;

/// Measures both.
pub fn measure(bench: &Bench, effort: Effort) -> Vec<Row> {
    let log = bench.path("output.log");
    let text = ordinary();
    fs::write(&log, &text).expect("it is writable");
    for number in 0..SECRETS {
        // Eight bytes, the shortest that are looked for.
        let value = format!("{:08}", 7_919 * (number + 2_003));
        fs::write(bench.path(&format!("plain/s{number}")), value).expect("it is writable");
    }
    let copies = effort.rounds(16);
    let list = vec![log.display().to_string(); copies].join(", ");
    let redacted = bench.manifest(
        "plain",
        &super::by_fd(),
        &format!("  command: [/bin/cat, {list}]\n  redact: [stdout]\n"),
    );
    let manifest = redacted.to_str().expect("it is UTF-8");
    let hushpipe = || {
        let mut command = Command::new(&bench.hushpipe);
        command.args(["-q", "run", "-m", manifest]);
        command
    };
    let cat = || {
        let mut command = Command::new("/bin/cat");
        command.args(vec![&log; copies]);
        command
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        with.push(read_all(hushpipe(), &text, copies));
        without.push(read_all(cat(), &text, copies));
    }
    let per_100_mb =
        |seconds: &mut [f64]| percentile(seconds, 0.1) * 100e6 / (SIZE * copies) as f64;
    let (with, without) = (per_100_mb(&mut with), per_100_mb(&mut without));
    let mut delays = delays(bench, effort.rounds(1_000));
    vec![
        Row::timed("redaction, 100 MB of ordinary output, s", with, TARGET),
        Row::info("the same by cat alone, s", without),
        Row::timed(
            "redaction, delay of a line, p99, ms",
            percentile(&mut delays, 0.99),
            DELAY,
        ),
        Row::info(
            "redaction, delay of a line, median, ms",
            percentile(&mut delays, 0.5),
        ),
    ]
}

/// Lines as servers write them: the same on every machine.
fn ordinary() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut text = String::with_capacity(SIZE + 256);
    let mut line = 0_u64;
    while text.len() < SIZE {
        let (one, two) = (next(), next());
        line += one % 50;
        text.push_str(&format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}.{:03}Z INFO  10.{}.{}.{} GET /api/v1/orders/{}?page={} {} {}ms \
             id={two:016x} user=\"agent-{}\"\n",
            1 + line / 86_400_000 % 28,
            line / 3_600_000 % 24,
            line / 60_000 % 60,
            line / 1000 % 60,
            line % 1000,
            one % 256,
            (one >> 8) % 256,
            (one >> 16) % 256,
            two % 10_000_000,
            one % 90,
            [200, 200, 200, 304, 404][one as usize % 5],
            two % 400,
            one % 5_000,
        ));
    }
    text.truncate(SIZE);
    text.into_bytes()
}

/// Seconds until all of it came, unchanged.
fn read_all(mut command: Command, text: &[u8], copies: usize) -> f64 {
    let since = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut output = child.stdout.take().expect("it is a pipe");
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let count = output.read(&mut piece).expect("it can be read");
        if count == 0 {
            break;
        }
        let mut rest = &piece[..count];
        while !rest.is_empty() {
            let begin = at % text.len();
            let same = rest.len().min(text.len() - begin);
            assert!(
                rest[..same] == text[begin..begin + same],
                "the output was changed near byte {at}"
            );
            at += same;
            rest = &rest[same..];
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    assert!(child.wait().is_ok_and(|status| status.success()));
    assert_eq!(at, text.len() * copies, "some of the output is missing");
    seconds
}

/// Milliseconds between a line's writing and its reading.
fn delays(bench: &Bench, lines: usize) -> Vec<f64> {
    let itself = std::env::current_exe().expect("it has a path");
    let run = format!(
        "  command: [{}, writer, \"{lines}\"]\n  redact: [stdout]\n",
        itself.display()
    );
    let manifest = bench.manifest("plain", &super::by_fd(), &run);
    let mut child = Command::new(&bench.hushpipe)
        .args(["-q", "run", "-m"])
        .arg(manifest)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let output = child.stdout.take().expect("it is a pipe");
    let mut delays = Vec::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(output)) {
        let now = nanoseconds();
        let line = line.expect("it can be read");
        let sent: u128 = line.parse().expect("it is a number");
        delays.push(now.saturating_sub(sent) as f64 / 1e6);
    }
    assert!(child.wait().is_ok_and(|status| status.success()));
    assert_eq!(delays.len(), lines);
    delays
}

fn nanoseconds() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_nanos()
}

/// The program: a line with the time, every two milliseconds.
pub fn writer(lines: &str) -> ! {
    use std::io::Write as _;
    for _ in 0..lines.parse().expect("it is a number") {
        std::thread::sleep(Duration::from_millis(2));
        let line = format!("{}\n", nanoseconds());
        std::io::stdout()
            .write_all(line.as_bytes())
            .and_then(|()| std::io::stdout().flush())
            .expect("it has a reader");
    }
    std::process::exit(0)
}
