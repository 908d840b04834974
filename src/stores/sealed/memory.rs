//! What this host remembers of a sealed store: the newest index that it saw at the store's path, so
//! that an older one, another store or another writer's is noticed.
//!
//! One file a path, in `/var/lib/hushpipe/sealed` for root, else in `$XDG_STATE_HOME/hushpipe/sealed`
//! (`~/.local/state`); `$HUSHPIPE_STATE_DIRECTORY` names another place than `/var/lib/hushpipe`:
//!
//! ```text
//! hushpipe-sealed-memory 1
//! path /srv/app/secrets
//! store 3f0c…
//! number 7
//! index SHA256
//! recipient age1…
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::index::{FileDigest, StoreId, digest, unhex};
use crate::model::hex;
use crate::sys::walk::{self, Rule, WalkError, WalkFault};
use crate::sys::{durable, held};

/// More than thousands of recipients take.
const MAX: u64 = 1 << 20;
const FIRST_LINE: &str = "hushpipe-sealed-memory 1";

/// What is remembered of one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its id.
    pub store: StoreId,
    /// The number of the index.
    pub number: u64,
    /// The digest of the index.
    pub index: FileDigest,
    /// Who could write it then.
    pub members: BTreeSet<String>,
}

/// Where what is remembered of a store is kept.
pub struct Memory {
    /// `None`: this user has no place for it.
    file: Option<PathBuf>,
    store: PathBuf,
}

/// However a path is spelled, a directory has one memory: else an older copy would be new to this host
/// through `sub/../secrets` or a link.
fn canonical(store: &Path) -> PathBuf {
    let absolute = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    if let Ok(found) = absolute.canonicalize() {
        return found;
    }
    // One that is made yet: its directory is there.
    let parent = absolute
        .parent()
        .and_then(|parent| parent.canonicalize().ok());
    match (parent, absolute.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => absolute.components().collect(),
    }
}

impl Memory {
    /// Of the store at a path.
    pub fn of(store: &Path) -> Self {
        Self::below(directory(), store)
    }

    /// The same, where a directory for state is known.
    pub fn below(state: Option<PathBuf>, store: &Path) -> Self {
        let store = canonical(store);
        let name = &hex(&digest(store.as_os_str().as_encoded_bytes()))[..32];
        let file = state.map(|state| state.join("sealed").join(name));
        Self { file, store }
    }

    /// The file, where there is a place for it.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is remembered. A file that cannot be read, or is none of ours, is an error.
    pub fn recall(&self) -> io::Result<Option<Remembered>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let text = trusted(file).and_then(|file| {
            // Room for a few recipients: read at once.
            let mut text = String::with_capacity(1024);
            File::from(file).take(MAX).read_to_string(&mut text)?;
            Ok(text)
        });
        match text {
            Ok(text) => read(&text).map(Some).ok_or_else(|| {
                let text = "it is damaged: remove it after you have looked at the store";
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers a state. One that another process remembered meanwhile, and that is newer, stays,
    /// unless `always`. The error says why nothing can be remembered here.
    pub fn remember(&self, what: &Remembered, always: bool) -> io::Result<()> {
        let Some(file) = &self.file else {
            let text = "$HOME and $XDG_STATE_HOME are not set";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let directory = made(durable::parent(file))?;
        flock(&directory, FlockOperation::LockExclusive)?;
        let newer = |now: &Remembered| now.store == what.store && now.number >= what.number;
        if !always && self.recall()?.as_ref().is_some_and(newer) {
            return Ok(());
        }
        let name = file.file_name().unwrap_or_default();
        durable::replace_at(&directory, name, self.text(what).as_bytes(), 0o600)
    }

    fn text(&self, what: &Remembered) -> String {
        let mut text = format!(
            "{FIRST_LINE}\npath {}\nstore {}\nnumber {}\nindex {}\n",
            self.store.display().to_string().escape_debug(),
            what.store,
            what.number,
            hex(&what.index),
        );
        for member in &what.members {
            writeln!(text, "recipient {member}").expect("a String grows");
        }
        text
    }
}

fn read(text: &str) -> Option<Remembered> {
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE || !lines.next()?.starts_with("path ") {
        return None;
    }
    Some(Remembered {
        store: lines.next()?.strip_prefix("store ")?.parse().ok()?,
        number: lines.next()?.strip_prefix("number ")?.parse().ok()?,
        index: unhex(lines.next()?.strip_prefix("index ")?)?,
        members: lines
            .map(|line| line.strip_prefix("recipient ").map(str::to_owned))
            .collect::<Option<_>>()?,
    })
}

/// Directories above it are missing, or are none.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Where what is remembered of all stores is, if this user has a place for it.
pub fn place() -> Option<PathBuf> {
    directory().map(|state| state.join("sealed"))
}

/// hushpipe's own state, of this user.
fn directory() -> Option<PathBuf> {
    let of = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    if let Some(named) = of("HUSHPIPE_STATE_DIRECTORY") {
        return Some(named);
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/hushpipe"));
    }
    let state = of("XDG_STATE_HOME").or_else(|| of("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("hushpipe"))
}

/// The directory for it, made where it is missing.
fn made(path: &Path) -> io::Result<OwnedFd> {
    held::make_directories(path, &Rule::STRICT).map_err(word)
}

/// What is remembered is not believed where others can change it.
fn trusted(path: &Path) -> io::Result<OwnedFd> {
    walk::file(path, &Rule::STRICT).map_err(word)
}

fn word(error: WalkError) -> io::Error {
    match error.fault {
        WalkFault::System(source) => source,
        _ => io::Error::new(io::ErrorKind::PermissionDenied, error.to_string()),
    }
}
