//! What this host remembers of a sealed store: the newest index that it saw at the store's path, so
//! that an older one, another store or another writer's is noticed.
//!
//! One file a path (without links, and as it is written), in `/var/lib/hushpipe/sealed` for root, else in `$XDG_STATE_HOME/hushpipe/sealed`
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
use crate::sys::filesystem::settled;
use crate::sys::walk::{self, Rule, WalkError, WalkFault};
use crate::sys::{durable, held};

/// More than thousands of recipients take.
const MAX: u64 = 1 << 20;
/// So often it may be replaced while it is opened.
const RACES: u32 = 10;
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
    /// Of its path without links and `..`, then of the path as it was given, if that is another: a link that
    /// leads to another copy now is noticed, and so is another way to the same copy. None: this user has no
    /// place for it.
    places: Vec<Place>,
}

/// What is remembered of one path.
struct Place {
    file: PathBuf,
    store: PathBuf,
}

impl Memory {
    /// Of the store at a path.
    pub fn of(store: &Path) -> Self {
        Self::below(directory(), store)
    }

    /// The same, where a directory for state is known.
    pub fn below(state: Option<PathBuf>, store: &Path) -> Self {
        let given = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
        let given: PathBuf = given.components().collect();
        let mut stores = vec![settled(&given)];
        if stores[0] != given {
            stores.push(given);
        }
        let state = state.map(|state| state.join("sealed"));
        let place = |store: PathBuf| {
            let name = &hex(&digest(store.as_os_str().as_encoded_bytes()))[..32];
            let file = state.as_ref()?.join(name);
            Some(Place { file, store })
        };
        let places = stores.into_iter().filter_map(place).collect();
        Self { places }
    }

    /// The file, where there is a place for it.
    pub fn file(&self) -> Option<&Path> {
        self.places.first().map(|place| place.file.as_path())
    }

    /// What is remembered. A file that cannot be read, or is none of ours, is an error.
    pub fn recall(&self) -> io::Result<Option<Remembered>> {
        let mut known: Option<Remembered> = None;
        for place in &self.places {
            let Some(found) = place.recall()? else {
                continue;
            };
            // The path as it was given is what its user means, if it was another store so far.
            let is_older = known
                .as_ref()
                .is_some_and(|known| known.store == found.store && known.number >= found.number);
            if !is_older {
                known = Some(found);
            }
        }
        Ok(known)
    }

    /// Remembers a state. One that another process remembered meanwhile, and that is newer, stays,
    /// unless `always`. The error says why nothing can be remembered here.
    pub fn remember(&self, what: &Remembered, always: bool) -> io::Result<()> {
        if self.places.is_empty() {
            let text = "$HOME and $XDG_STATE_HOME are not set";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        self.places
            .iter()
            .try_for_each(|place| place.remember(what, always))
    }
}

impl Place {
    fn recall(&self) -> io::Result<Option<Remembered>> {
        let mut found = self.look();
        // Another process has just replaced it.
        for _ in 0..RACES {
            if !matches!(&found, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
            found = self.look();
        }
        found
    }

    fn look(&self) -> io::Result<Option<Remembered>> {
        let text = trusted(&self.file).and_then(|file| {
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

    fn remember(&self, what: &Remembered, always: bool) -> io::Result<()> {
        let directory = made(durable::parent(&self.file))?;
        flock(&directory, FlockOperation::LockExclusive)?;
        let newer = |now: &Remembered| now.store == what.store && now.number >= what.number;
        if !always && self.recall()?.as_ref().is_some_and(newer) {
            return Ok(());
        }
        let name = self.file.file_name().unwrap_or_default();
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
