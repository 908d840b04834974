//! The monitor's metrics, and their ways out: a scrape, a textfile for node_exporter, OTLP.

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::say::{Say, Weight};
use crate::audit::{Archive, Checkpoint, LogError, Note, Tail};
use crate::http::{Asked, Listener, Reply};
use crate::model::{ServerSpec, chain};
use crate::monitor::{
    Dialect, Id, Item, Metrics, News, Posts, Progress, SinkNow, metrics_text, number, otlp_metrics,
};
use crate::sys::walk::{self, Rule};
use crate::sys::{durable, host};

/// So many records before the monitor's start warm the gauges.
const WARMING: u64 = 10_000;
/// As many are read at once.
const AT_ONCE: usize = 500;
/// How often the textfile is written, if anything changed.
const EVERY: Duration = Duration::from_secs(15);
/// A scrape's request has no body to speak of.
const LONGEST_REQUEST: usize = 4096;

/// What all ways out show.
pub struct Shown {
    metrics: RefCell<Metrics>,
    /// Of each sink, by name.
    sinks: Vec<(String, Rc<Progress>)>,
    started: SystemTime,
}

impl Shown {
    /// Nothing was counted yet.
    pub fn new(sinks: Vec<(String, Rc<Progress>)>) -> Self {
        Self {
            metrics: RefCell::new(Metrics::new()),
            sinks,
            started: SystemTime::now(),
        }
    }

    /// Sets a gauge.
    pub fn set(&self, id: Id, labels: &[&str], value: f64) {
        self.metrics.borrow_mut().set(id, labels, value);
    }

    /// Adds to a counter.
    pub fn add(&self, id: Id, labels: &[&str], more: f64) {
        self.metrics.borrow_mut().add(id, labels, more);
    }

    /// How far each sink is, in a log of so many records.
    pub fn sinks_now(&self, size: u64) -> Vec<SinkNow> {
        let sinks = self.sinks.iter();
        sinks
            .map(|(name, progress)| SinkNow {
                name: name.clone(),
                confirmed: progress.confirmed.get(),
                size,
            })
            .collect()
    }

    /// As text, with what sinks have confirmed by now.
    fn text(&self, dialect: Dialect) -> String {
        self.settle();
        metrics_text(&self.metrics.borrow(), dialect)
    }

    fn settle(&self) {
        let mut metrics = self.metrics.borrow_mut();
        let size = metrics.get(Id::Size, &[]).unwrap_or(0.0);
        for (name, progress) in &self.sinks {
            let confirmed = number(progress.confirmed.get());
            metrics.set(Id::SinkLag, &[name], (size - confirmed).max(0.0));
            let up = f64::from(u8::from(!progress.failing.get()));
            metrics.set(Id::SinkUp, &[name], up);
        }
    }

    /// Counts the log's records as they come.
    pub async fn count(&self, directory: &Path, mut news: News, say: Say<'_>) -> Infallible {
        loop {
            news.mark_unchanged();
            match self.follow(directory, &mut news).await {
                Ok(never) => match never {},
                Err(error) => {
                    say(Weight::Warning, &format!("metrics: {}", chain(&error)));
                    sleep(EVERY).await;
                }
            }
        }
    }

    async fn follow(&self, directory: &Path, news: &mut News) -> Result<Infallible, LogError> {
        let start = end(&Archive::open(directory)?)?;
        let archive = Archive::open(directory)?;
        let mut tail = Tail::new(archive, start.saturating_sub(WARMING));
        let mut is_warm = false;
        loop {
            news.mark_unchanged();
            let (found, _) = tail.read(AT_ONCE, 1 << 20)?;
            let is_end = found.is_empty();
            for tailed in found {
                let counted = is_warm && tailed.seq >= start;
                // A line that is no record is the feeds' to report.
                if let Ok(item) = Item::new(tailed, false) {
                    self.metrics.borrow_mut().take(&item, counted);
                }
            }
            self.set(Id::Size, &[], number(tail.next()));
            if is_end {
                is_warm = true;
                if news.changed().await.is_err() {
                    sleep(EVERY).await;
                }
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Answers scrapes.
    pub async fn scraped(&self, listener: &Listener) -> Infallible {
        let answer = |asked: Asked| match (&*asked.method, &*asked.path) {
            ("GET", "/metrics") => Reply {
                content_type: Dialect::CONTENT_TYPE,
                ..Reply::text(200, self.text(Dialect::OpenMetrics))
            },
            ("GET", _) => Reply::text(404, "see /metrics\n"),
            _ => Reply::text(405, "GET /metrics\n"),
        };
        crate::http::serve(listener, LONGEST_REQUEST, &answer).await
    }

    /// Writes hushpipe.prom in node_exporter's directory of text files.
    pub async fn written(&self, directory: &Path, say: Say<'_>) -> Infallible {
        let (mut last, mut failing) = (String::new(), false);
        loop {
            let text = self.text(Dialect::Prometheus);
            if text != last {
                match write(directory, &text) {
                    Ok(()) => {
                        last = text;
                        failing = false;
                    }
                    Err(why) if !failing => {
                        failing = true;
                        say(Weight::Warning, &format!("metrics.textfile: {why}"));
                    }
                    Err(_) => {}
                }
            }
            sleep(EVERY).await;
        }
    }

    /// Pushes by OTLP.
    pub async fn pushed(&self, server: &ServerSpec, every: Duration, say: Say<'_>) -> Infallible {
        let posts = Posts::new(server, "/v1/metrics");
        let name = host::name();
        let mut failing = false;
        loop {
            sleep(every).await;
            self.settle();
            let nanos = |time: SystemTime| {
                time.duration_since(UNIX_EPOCH)
                    .map_or(0, |time| time.as_nanos())
            };
            let (started, now) = (nanos(self.started), nanos(SystemTime::now()));
            let body = otlp_metrics(&self.metrics.borrow(), &name, started, now);
            match posts.send(body, "Bearer").await {
                Ok(_) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        say(Weight::Warning, &format!("metrics.otlp: {}", error.why));
                    }
                }
            }
        }
    }
}

/// How many records a log has by its head; those after it are counted as new.
fn end(archive: &Archive) -> Result<u64, LogError> {
    let note = archive.note()?;
    let head = note.and_then(|note| Checkpoint::parse(Note::parse(&note).ok()?.text()).ok());
    Ok(head.map_or(0, |head| head.size))
}

fn write(directory: &Path, text: &str) -> Result<(), String> {
    let opened = walk::directory(directory, &Rule::STRICT).map_err(|error| error.to_string())?;
    let written = durable::replace_at(opened, OsStr::new("hushpipe.prom"), text.as_bytes(), 0o644);
    written.map_err(|error| format!("{}: {error}", directory.display()))
}
