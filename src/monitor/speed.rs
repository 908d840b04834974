//! How fast sinks are fed and metrics written, and what a sink gets that was down. The goals are those of a release
//! build:
//!
//!     HUSHPIPE_NIGHTLY=1 cargo test --release --lib monitor::speed -- --nocapture

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::metrics::{Dialect, of_launchers, text};
use super::*;
use crate::audit::*;
use crate::http::{Asked, Listener, Reply, serve};
use crate::model::control::{SecretStatus, Status};
use crate::model::{Address, HttpFormat, ServerSpec, SinkSpec, Tls, rounds};

fn log(place: &Path) -> Log {
    let site = Place {
        directory: place.join("log"),
        key_file: place.join("audit.key"),
    };
    Log::open(&site, "web1").unwrap()
}

/// As releases with one secret have it.
fn append(log: &mut Log, count: usize) {
    let mut entry = Entry::new(Kind::Release);
    entry.secrets.push(Secret {
        name: "db".to_owned(),
        store: "vault".to_owned(),
        fingerprints: vec![Fingerprint::new(&[7; 32])],
        ..Secret::default()
    });
    let drafts = vec![Draft::now(entry); count];
    let mut hold = log.hold(Duration::from_secs(5)).unwrap();
    hold.append(&drafts, &Writer::of_a_test(), false).unwrap();
    hold.sign().unwrap();
}

fn feed(place: &Path, at: SocketAddr) -> Feed {
    let spec = SinkSpec::Http {
        server: ServerSpec {
            url: Address::Url(format!("http://{at}")),
            tls: Tls::default(),
            token_file: None,
        },
        format: HttpFormat::Json,
    };
    let cursor = Cursor::open(&place.join("monitor"), &cursor_name(&spec)).unwrap();
    let archive = Archive::open(&place.join("log")).unwrap();
    let tail = Tail::new(archive, cursor.confirmed());
    Feed::new(Sender::new(&spec), tail, cursor)
}

/// Takes what is posted.
#[derive(Default)]
struct Receiver {
    bodies: RefCell<Vec<Vec<u8>>>,
}

impl Receiver {
    async fn run(&self, at: SocketAddr) {
        let listener = Listener::tcp(at).await.unwrap();
        let answer = |asked: Asked| {
            self.bodies.borrow_mut().push(asked.body);
            Reply::text(200, "")
        };
        match serve(&listener, 16 << 20, &answer).await {}
    }

    /// Each record that came, with its mark.
    fn records(&self) -> Vec<(String, bool)> {
        let bodies = self.bodies.borrow();
        let rows = bodies.iter().flat_map(|body| {
            let rows: Vec<(bool, Box<serde_json::value::RawValue>)> =
                serde_json::from_slice::<Vec<Value>>(body)
                    .unwrap()
                    .iter()
                    .map(|row| {
                        let raw = serde_json::value::to_raw_value(&row["record"]).unwrap();
                        (row["duplicate"].as_bool().unwrap(), raw)
                    })
                    .collect();
            rows
        });
        rows.map(|(duplicate, raw)| (raw.get().to_owned(), duplicate))
            .collect()
    }
}

/// An address where nothing listens yet.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn ten_thousand_records_a_second_go_to_a_sink() {
    let place = tempfile::tempdir().unwrap();
    let count = rounds(500, 50_000);
    let mut log = log(place.path());
    for _ in 0..count / 500 {
        append(&mut log, 500);
    }
    let (at, receiver) = (free(), Receiver::default());
    let feed = feed(place.path(), at);
    let took = runtime().block_on(async {
        let fed = async {
            sleep(Duration::from_millis(50)).await;
            let since = Instant::now();
            feed.run_once(&|_, _| {}).await.unwrap();
            since.elapsed()
        };
        tokio::select! {
            took = fed => took,
            () = receiver.run(at) => unreachable!("it does not end"),
        }
    });
    #[allow(clippy::cast_precision_loss)]
    let rate = count as f64 / took.as_secs_f64();
    println!("{count} records to a sink: {rate:.0} a second; the goal is 10000");
    assert_eq!(receiver.records().len(), count);
    if !cfg!(debug_assertions) && count >= 50_000 {
        assert!(rate >= 10_000.0, "{rate}");
    }
}

#[test]
fn a_scrape_of_a_thousand_secrets_is_quick() {
    let secrets = (0..1_000).map(|number| SecretStatus {
        name: format!("secret_{number}"),
        store: "vault".to_owned(),
        lease_seconds: Some(60),
        ..SecretStatus::default()
    });
    let status = Status {
        service: "shop".to_owned(),
        secrets: secrets.collect(),
        ..Status::default()
    };
    let metrics = of_launchers(&[status], SystemTime::now());
    let mut best = Duration::MAX;
    for _ in 0..rounds(3, 100) {
        let since = Instant::now();
        let text = text(&metrics, Dialect::OpenMetrics);
        best = best.min(since.elapsed());
        assert!(text.lines().count() > 3_000);
    }
    println!("a scrape of 1,000 secrets: {best:?}; the goal is 5 ms");
    if !cfg!(debug_assertions) {
        assert!(best <= Duration::from_millis(5), "{best:?}");
    }
}

/// Nightly: 60 s under 1,000 records a second.
#[test]
fn a_sink_that_was_down_gets_all_in_order_and_the_tree_can_be_built_from_it() {
    let place = tempfile::tempdir().unwrap();
    let mut log = log(place.path());
    append(&mut log, 10);
    let (at, receiver) = (free(), Receiver::default());
    let feed = feed(place.path(), at);
    let (news, heard) = tokio::sync::watch::channel(0);
    let (_, progress) = feed.progress();
    let beats = rounds(5, 600);
    let count = 10 + beats as u64 * 100;
    runtime().block_on(async {
        let down = async {
            for _ in 0..beats {
                append(&mut log, 100);
                news.send_modify(|number| *number += 1);
                sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(progress.confirmed.get(), 0, "it was down");
            let arrived = async {
                while progress.confirmed.get() < count {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                () = receiver.run(at) => unreachable!("it does not end"),
                arrived = timeout(Duration::from_secs(90), arrived) => arrived.expect("all arrive"),
            }
        };
        tokio::select! {
            () = down => {}
            never = feed.run(heard, &|_, _| {}) => match never {},
        }
    });
    let records = receiver.records();
    let (mut hashes, mut next) = (Vec::new(), 0);
    for (line, duplicate) in &records {
        let number = seq(line.as_bytes()).unwrap();
        if number < next {
            assert!(duplicate, "record {number} came again without a mark");
            continue;
        }
        assert_eq!(number, next, "in order");
        hashes.push(tree::leaf(line.as_bytes()));
        next += 1;
    }
    assert_eq!(next, count);
    // The receiver's copy alone gives the root that was signed.
    let note = Archive::open(&place.path().join("log"))
        .unwrap()
        .note()
        .unwrap()
        .unwrap();
    let head = Checkpoint::parse(Note::parse(&note).unwrap().text()).unwrap();
    assert_eq!((head.size, head.root), (count, root(&hashes)));
}

/// RFC 6962, 2.1: by its own definition, and not by the log's code.
fn root(leaves: &[tree::Hash]) -> tree::Hash {
    match leaves {
        [one] => *one,
        several => {
            let half = several.len().next_power_of_two() / 2;
            tree::node(&root(&several[..half]), &root(&several[half..]))
        }
    }
}
