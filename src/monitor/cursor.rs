//! How far a sink is, on the disk: it moves once the other side has confirmed.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::model::printable::printable_path;
use crate::model::{SinkSpec, hex};
use crate::sys::walk::Rule;
use crate::sys::{beneath, durable, held};

/// A cursor's file has no more bytes than this.
const LONGEST: u64 = 4096;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// The records before this one were confirmed.
    confirmed: u64,
    /// Those from there to before this one may have been sent.
    tried: u64,
}

/// The name of a sink's cursor: the same at each start, for one of the same kind and address.
pub fn cursor_name(spec: &SinkSpec) -> String {
    let name = spec.name();
    let kind = name.split(' ').next().unwrap_or_default();
    let digest = digest(&SHA256, name.as_bytes());
    format!("{kind}-{}", hex(&digest.as_ref()[..4]))
}

/// Of one sink.
#[derive(Debug)]
pub struct Cursor {
    directory: OwnedFd,
    path: PathBuf,
    name: OsString,
    position: Position,
    /// Why it could not be read.
    unread: Option<String>,
}

impl Cursor {
    /// Reads it, where the sink was fed before; `name` is the same for a sink at each start. From a file that
    /// cannot be read, nothing is known: all records may have been sent. The error is for a person.
    pub fn open(directory: &Path, name: &str) -> Result<Self, String> {
        let opened = held::make_directories(directory, &Rule::STRICT);
        let opened = opened.map_err(|error| error.to_string())?;
        let name = OsString::from(format!("cursor-{name}"));
        let path = directory.join(&name);
        let wrong = |error: &dyn std::fmt::Display| {
            format!(
                "cannot read the position {}: {error}",
                printable_path(&path)
            )
        };
        let unknown = Position {
            confirmed: 0,
            tried: u64::MAX,
        };
        let read = match beneath::read_file(&opened, &name, LONGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Position::default()),
            Err(error) => Err(wrong(&error)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| wrong(&error)),
        };
        let (position, unread) = match read {
            Ok(position) => (position, None),
            Err(why) => (unknown, Some(why)),
        };
        Ok(Self {
            unread,
            directory: opened,
            path,
            name,
            position,
        })
    }

    /// Why it could not be read, once.
    pub const fn take_unread(&mut self) -> Option<String> {
        self.unread.take()
    }

    /// There are no more records than those before this one: none after it was tried.
    pub fn caught_up(&mut self, next: u64) -> Result<(), String> {
        let confirmed = self.position.confirmed;
        let tried = self.position.tried.min(next.max(confirmed));
        self.write(Position { confirmed, tried })
    }

    /// The first record that was not confirmed.
    pub const fn confirmed(&self) -> u64 {
        self.position.confirmed
    }

    /// Whether a record may have been sent before.
    pub const fn was_tried(&self, seq: u64) -> bool {
        seq < self.position.tried
    }

    /// Those before this one are about to be sent.
    pub fn trying(&mut self, before: u64) -> Result<(), String> {
        let confirmed = self.position.confirmed;
        let tried = self.position.tried.max(before);
        self.write(Position { confirmed, tried })
    }

    /// Those before this one were confirmed.
    pub fn confirm(&mut self, before: u64) -> Result<(), String> {
        let tried = self.position.tried;
        self.write(Position {
            confirmed: before,
            tried,
        })
    }

    /// The log begins anew: nothing of it was sent.
    pub fn restart(&mut self, at: u64) -> Result<(), String> {
        self.write(Position {
            confirmed: at,
            tried: at,
        })
    }

    fn write(&mut self, position: Position) -> Result<(), String> {
        if position == self.position {
            return Ok(());
        }
        let text = serde_json::to_string(&position).map_err(|error| error.to_string())?;
        let written = durable::replace_at(&self.directory, &self.name, text.as_bytes(), 0o600);
        written.map_err(|error| {
            format!(
                "cannot write the position {}: {error}",
                printable_path(&self.path)
            )
        })?;
        self.position = position;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_after_a_crash_what_may_have_been_sent() {
        let place = tempfile::tempdir().unwrap();
        let open = || Cursor::open(&place.path().join("state"), "x").unwrap();
        let mut cursor = open();
        assert_eq!((cursor.confirmed(), cursor.was_tried(0)), (0, false));
        cursor.trying(10).unwrap();
        let mut cursor = open();
        assert_eq!((cursor.confirmed(), cursor.was_tried(9)), (0, true));
        assert!(!cursor.was_tried(10));
        cursor.confirm(10).unwrap();
        assert_eq!((open().confirmed(), open().was_tried(10)), (10, false));
        cursor.restart(0).unwrap();
        assert_eq!((open().confirmed(), open().was_tried(0)), (0, false));
    }

    #[test]
    fn after_one_that_cannot_be_read_all_may_have_been_sent() {
        let place = tempfile::tempdir().unwrap();
        for wrong in ["{", "", "{\"confirmed\":1}"] {
            std::fs::write(place.path().join("cursor-x"), wrong).unwrap();
            let mut cursor = Cursor::open(place.path(), "x").unwrap();
            assert!(cursor.take_unread().unwrap().contains("cursor-x"));
            assert_eq!((cursor.confirmed(), cursor.was_tried(1 << 60)), (0, true));
            cursor.trying(5).unwrap();
            cursor.confirm(5).unwrap();
            cursor.caught_up(5).unwrap();
            assert!(!cursor.was_tried(5));
            let mut again = Cursor::open(place.path(), "x").unwrap();
            assert_eq!((again.confirmed(), again.take_unread()), (5, None));
        }
    }
}
