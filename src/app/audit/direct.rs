//! `audit.direct`: the launcher feeds the sinks itself, where no monitor of the host does. What it waits for is
//! delivered once the sinks have confirmed it.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::app::event_loop::runtime;
use crate::audit::{Archive, Tail};
use crate::model::{AuditSpec, SinkSpec, chain};
use crate::monitor::{Cursor, Feed, Heard, Sender, cursor_name};
use crate::sys::walk::Rule;
use crate::sys::{filesystem, held};

/// How long another launcher of this host may feed the sinks.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one sink may take to confirm.
const CONFIRMED: Duration = Duration::from_secs(10);
/// Between two looks at the lock.
const BETWEEN: Duration = Duration::from_millis(5);

/// The sinks of a launcher.
pub struct Direct {
    log: PathBuf,
    /// Of positions.
    directory: PathBuf,
    sinks: Vec<SinkSpec>,
    /// What they said last.
    said: RefCell<Vec<String>>,
    /// They did not take records last time, and that was said.
    failing: Cell<bool>,
}

impl Direct {
    /// `None`: a monitor feeds them.
    pub fn of(spec: &AuditSpec) -> Option<Self> {
        spec.direct.as_ref().map(|directory| Self {
            log: spec.directory.clone(),
            directory: directory.clone(),
            sinks: spec.sinks.clone(),
            said: RefCell::default(),
            failing: Cell::new(false),
        })
    }

    /// Ends when each sink has confirmed all records that are there; the error is for a person. Launchers of one
    /// host take turns.
    pub async fn feed(&self) -> Result<(), String> {
        let shown = crate::model::printable::printable_path(&self.directory);
        let directory = held::make_directories(&self.directory, &Rule::STRICT);
        let directory = directory.map_err(|error| error.to_string())?;
        let wrong = |error| format!("cannot lock {shown}: {error}");
        let lock = filesystem::open_marker_at(&directory, "lock").map_err(wrong)?;
        let taken = async {
            while !filesystem::try_lock(&lock).map_err(wrong)? {
                sleep(BETWEEN).await;
            }
            Ok::<_, String>(())
        };
        let in_time = timeout(PATIENCE, taken).await;
        in_time.map_err(|_| format!("another process feeds the sinks, and has {shown}"))??;
        for sink in &self.sinks {
            self.one(sink).await?;
        }
        Ok(())
    }

    async fn one(&self, sink: &SinkSpec) -> Result<(), String> {
        let name = sink.name();
        let failed = |why: String| format!("sink {name} has not confirmed it: {why}");
        let cursor = Cursor::open(&self.directory, &cursor_name(sink)).map_err(failed)?;
        let archive = Archive::open(&self.log).map_err(|error| failed(chain(&error)))?;
        let tail = Tail::new(archive, cursor.confirmed());
        let feed = Feed::new(Sender::new(sink), tail, cursor);
        let hear = |_: &str, heard: Heard| {
            if let Heard::Pruned(_) | Heard::Replaced(_) | Heard::Unreadable(_) = heard {
                self.said.borrow_mut().push(format!("sink {name}: {heard}"));
            }
        };
        match timeout(CONFIRMED, feed.run_once(&hear)).await {
            Ok(sent) => sent.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {}s", CONFIRMED.as_secs()))),
        }
    }

    /// As [`Direct::feed`], of a site, where no event loop runs, or another one: on a thread of its own.
    pub fn feed_apart(spec: &AuditSpec) -> Result<(), String> {
        if spec.direct.is_none() {
            return Ok(());
        }
        let apart = || {
            let runtime = runtime().map_err(|_| "cannot set up the event loop".to_owned())?;
            match Self::of(spec) {
                Some(direct) => runtime.block_on(direct.feed()),
                None => Ok(()),
            }
        };
        let fed = std::thread::scope(|scope| scope.spawn(apart).join());
        fed.unwrap_or_else(|_| Err("feeding the sinks failed".to_owned()))
    }

    /// A failure that was not reported yet, in words; `None` where it works, or was reported.
    pub fn is_new(&self, why: Option<String>) -> Option<String> {
        let is_failing = self.failing.replace(why.is_some());
        let why = why.filter(|_| !is_failing)?;
        Some(format!(
            "the audit log is not sent: {why}; records wait until its sinks take them"
        ))
    }

    /// What the sinks found wrong with the log since this was asked.
    pub fn said(&self) -> Vec<String> {
        self.said.take()
    }
}
