//! Feeds one sink: batch after batch, in order, each until it is confirmed.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::cursor::Cursor;
use super::item::Item;
use super::send::Sender;
use crate::audit::{Jump, Tail};
use crate::model::{Backoff, random};

/// A batch has no more records than this.
const RECORDS: usize = 500;
/// Nor more bytes, beside its first record.
const BYTES: usize = 1 << 20;

/// Waits while the other side is down.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Says that the log may have grown.
pub type News = watch::Receiver<u64>;

/// What becomes of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It does not take records: said once, until it does again.
    Failing(String),
    /// It takes them again.
    Works,
    /// Records were pruned before it had them; it goes on at this one.
    Pruned(u64),
    /// The log has fewer records than it had already: another log begins at this one.
    Replaced(u64),
    /// How far it was could not be read: it begins at the first record.
    Unknown(String),
    /// A line of the log is no record: it is left out.
    Unreadable(String),
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failing(why) => write!(f, "{why}; records wait in the log until it takes them"),
            Self::Works => f.write_str("it takes records again"),
            Self::Pruned(next) => {
                write!(f, "records before {next} were pruned before they were sent")
            }
            Self::Replaced(next) => write!(
                f,
                "the log has fewer records than were sent: it was replaced or cut off; sending from record {next}"
            ),
            Self::Unknown(why) => {
                write!(
                    f,
                    "{why}; sending from the first record, marked as duplicates"
                )
            }
            Self::Unreadable(why) => write!(f, "not sent: {why}"),
        }
    }
}

/// How far a sink is, for whoever shows that.
#[derive(Debug, Default)]
pub struct Progress {
    /// The records before this one were confirmed.
    pub confirmed: Cell<u64>,
    /// It does not take records.
    pub failing: Cell<bool>,
}

/// One sink, and how far it is.
pub struct Feed {
    sender: Sender,
    tail: Tail,
    cursor: Cursor,
    most: usize,
    progress: Rc<Progress>,
}

impl Feed {
    /// A tail that begins where the cursor is.
    pub fn new(sender: Sender, tail: Tail, cursor: Cursor) -> Self {
        let progress = Progress::default();
        progress.confirmed.set(cursor.confirmed());
        Self {
            sender,
            tail,
            cursor,
            most: RECORDS,
            progress: Rc::new(progress),
        }
    }

    /// Its kind and address, and how far it is.
    pub fn progress(&self) -> (String, Rc<Progress>) {
        (self.sender.name().to_owned(), Rc::clone(&self.progress))
    }

    /// Feeds for as long as it is polled.
    pub async fn run(mut self, mut news: News, heard: &dyn Fn(&str, Heard)) -> Infallible {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            news.mark_unchanged();
            match self.round(heard).await {
                Ok(true) => backoff.reset(),
                // The sender of news lives as long as the feeds; without it, a look now and then is enough.
                Ok(false) => {
                    if news.changed().await.is_err() {
                        sleep(LONGEST_WAIT).await;
                    }
                }
                Err(why) => {
                    self.failed(why, heard);
                    sleep(backoff.next(random())).await;
                }
            }
        }
    }

    /// Sends all that is there, once. The error is of the first batch that did not arrive.
    pub async fn run_once(mut self, heard: &dyn Fn(&str, Heard)) -> Result<(), String> {
        while self.round(heard).await? {}
        Ok(())
    }

    fn failed(&mut self, why: String, heard: &dyn Fn(&str, Heard)) {
        if !self.progress.failing.replace(true) {
            heard(self.sender.name(), Heard::Failing(why));
        }
    }

    /// One batch. `false`: there is nothing new.
    async fn round(&mut self, heard: &dyn Fn(&str, Heard)) -> Result<bool, String> {
        let more = self.batch(heard).await;
        self.progress.confirmed.set(self.cursor.confirmed());
        more
    }

    async fn batch(&mut self, heard: &dyn Fn(&str, Heard)) -> Result<bool, String> {
        if let Some(why) = self.cursor.take_unread() {
            heard(self.sender.name(), Heard::Unknown(why));
        }
        let read = self.tail.read(self.most, BYTES);
        let (found, jump) = read.map_err(|error| crate::model::chain(&error))?;
        match jump {
            Some(Jump::Pruned(next)) => {
                heard(self.sender.name(), Heard::Pruned(next));
                self.cursor.confirm(next)?;
            }
            Some(Jump::Replaced(next)) => {
                heard(self.sender.name(), Heard::Replaced(next));
                self.cursor.restart(next)?;
                return Ok(true);
            }
            None => {}
        }
        if found.is_empty() {
            self.cursor.caught_up(self.tail.next())?;
            return Ok(false);
        }
        let mut items = Vec::with_capacity(found.len());
        for tailed in found {
            let duplicate = self.cursor.was_tried(tailed.seq);
            match Item::new(tailed, duplicate) {
                Ok(item) => items.push(item),
                Err(why) => heard(self.sender.name(), Heard::Unreadable(why)),
            }
        }
        self.deliver(&items, heard).await?;
        Ok(true)
    }

    async fn deliver(&mut self, items: &[Item], heard: &dyn Fn(&str, Heard)) -> Result<(), String> {
        let end = self.tail.next();
        self.cursor.trying(end)?;
        let sent = match items {
            [] => Ok(()),
            items => self.sender.send(items).await,
        };
        let Err(error) = sent else {
            self.cursor.confirm(end)?;
            self.most = (self.most * 2).min(RECORDS);
            if self.progress.failing.take() {
                heard(self.sender.name(), Heard::Works);
            }
            return Ok(());
        };
        if let Some(item) = items.get(error.confirmed) {
            self.cursor.confirm(item.seq)?;
        }
        if error.is_large {
            self.most = (items.len() / 2).max(1);
        }
        self.tail.rewind(self.cursor.confirmed());
        Err(error.why)
    }
}
