//! What the `secret` and `init` commands do with the sealed store. Values go from their source into
//! the store, and from the store to an output, without passing through the command line's room.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::import;
use super::value_file::ValueFile;
use super::{files, git};
use crate::delivery::dotenv;
use crate::model::{Exit, Observer, SealedStore as Spec, StoreName, ValueFormat};
use crate::secret::SecretBytes;
use crate::stores::sealed::{FileDigest, Key, Merged, SealedStore, Sides, file_digest};
use crate::stores::{StoreError, format};
use crate::sys::command::at_terminal;
use crate::sys::memory::fill_random;
use crate::sys::prompt;

/// Where a value comes from; never from the arguments, which every user of the host can read.
#[derive(Clone, Debug)]
pub enum Input {
    /// Standard input, to its end.
    Stdin,
    /// A file.
    File(PathBuf),
    /// The terminal, twice, not shown.
    Prompt,
}

/// Why an operation on the sealed store failed.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The store's own fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value, or a file of values, could not be read.
    #[error("cannot read {from}")]
    Input {
        /// Standard input, the terminal or a path.
        from: String,
        /// The system's word.
        source: io::Error,
    },
    /// What was read or asked for cannot be used.
    #[error("{reason}")]
    Unusable {
        /// What, and why.
        reason: String,
    },
    /// The output could not be written.
    #[error("cannot write the value")]
    Output {
        /// The system's word.
        source: io::Error,
    },
}

impl SealedError {
    /// hushpipe's exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => error.exit(),
            Self::Input { .. } | Self::Output { .. } => Exit::Os,
            Self::Unusable { .. } => Exit::Value,
        }
    }
}

/// What a store is called that no manifest names.
pub fn unnamed() -> StoreName {
    StoreName::new("sealed").expect("it is a good name")
}

/// A store by its path alone, as `--store` names it.
pub fn by_path(
    path: PathBuf,
    identity_file: PathBuf,
    accept: bool,
    observer: Rc<dyn Observer>,
) -> SealedStore {
    let name = unnamed();
    let spec = Spec {
        path,
        identity_file,
        accept,
    };
    SealedStore::open(name, &spec, observer)
}

/// What [`set`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The new version.
    pub version: u64,
    /// Whether the value ends with a newline, which is seldom meant.
    pub ends_with_newline: bool,
}

/// How a value is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOptions {
    /// Take all line ends from its end.
    pub trim: bool,
    /// It may be empty.
    pub allow_empty: bool,
}

/// Reads values and stores them: together, where there are several.
pub fn set(
    store: &SealedStore,
    inputs: &[(Key, Input)],
    options: SetOptions,
) -> Result<Vec<Stored>, SealedError> {
    let mut values = Vec::new();
    for (key, input) in inputs {
        values.push((key.clone(), value_of(key, input, options)?));
    }
    let versions = match values.as_slice() {
        [(key, value)] => vec![store.set(key, value)?],
        several => store.set_all(several)?,
    };
    let stored = values.iter().zip(versions);
    Ok(stored
        .map(|((_, value), version)| Stored {
            version,
            ends_with_newline: without_newline(value.expose()).is_some(),
        })
        .collect())
}

fn value_of(key: &Key, input: &Input, options: SetOptions) -> Result<SecretBytes, SealedError> {
    let mut value = read_value(input, key)?;
    if options.trim {
        let mut kept = value.expose();
        while let Some(shorter) = without_newline(kept) {
            kept = shorter;
        }
        if kept.len() < value.len() {
            value = SecretBytes::new(kept.to_vec());
        }
    }
    if value.expose().trim_ascii().is_empty() && !options.allow_empty {
        return Err(SealedError::Unusable {
            reason: format!(
                "the value of {key} is empty or white space alone, so nothing was stored: check the \
                 command before the pipe, or give --allow-empty"
            ),
        });
    }
    Ok(value)
}

/// The bytes without the newline (or CR and newline) at their end; none if they have none.
fn without_newline(bytes: &[u8]) -> Option<&[u8]> {
    let shorter = bytes.strip_suffix(b"\n")?;
    Some(shorter.strip_suffix(b"\r").unwrap_or(shorter))
}

/// What of a secret is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part<'a> {
    /// A version, or the current one.
    pub version: Option<u64>,
    /// A field, and the format in which it is one.
    pub field: Option<(&'a str, ValueFormat)>,
}

/// Reads a value, or a field of it, and shows it with its version.
pub fn get<T>(
    store: &SealedStore,
    key: &Key,
    part: Part,
    show: impl FnOnce(u64, &SecretBytes) -> T,
) -> Result<T, SealedError> {
    let (bytes, version) = store.get(key, part.version)?;
    let Some((field, format)) = part.field else {
        return Ok(show(version, &bytes));
    };
    let unusable = |reason: String| SealedError::Unusable {
        reason: format!("{key}: {reason}"),
    };
    let value = format::read(bytes, format).map_err(|error| unusable(error.to_string()))?;
    let bytes = value
        .field(field)
        .ok_or_else(|| unusable(format!("it has no field {field:?}")))?;
    Ok(show(version, bytes))
}

/// Writes a value, byte for byte.
pub fn write(bytes: &SecretBytes, output: &mut dyn Write) -> Result<(), SealedError> {
    let written = output.write_all(bytes.expose());
    written
        .and_then(|()| output.flush())
        .map_err(|source| SealedError::Output { source })
}

/// The values of a store, as digests under a key of this process: what a scan looks for. Of a value that is
/// a JSON object each text in it is one as well.
#[cfg(feature = "scan")]
pub fn known(store: &SealedStore) -> Result<crate::scan::Known, SealedError> {
    let mut known = crate::scan::Known::new().map_err(|source| SealedError::Input {
        from: "the kernel's randomness".to_owned(),
        source,
    })?;
    for listed in store.list()? {
        let (value, _) = store.get(&listed.key, None)?;
        let name = listed.key.to_string();
        let object =
            serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(value.expose());
        for (field, inner) in object.iter().flatten() {
            if let Some(text) = inner.as_str() {
                known.add(&format!("{name}.{field}"), text.as_bytes());
            }
        }
        known.add(&name, value.expose());
    }
    Ok(known)
}

/// Reads each `NAME=value` of a dotenv file, or each member of a JSON object, as the secret PREFIX+NAME;
/// fails if the file or a name is bad. `-` is standard input. What other secret managers print is known by its
/// keys (`import`).
pub fn read_import(
    file: &Path,
    prefix: &str,
    format: Option<ValueFormat>,
) -> Result<Vec<(Key, SecretBytes)>, SealedError> {
    let shown = shown(file);
    let input = if file == Path::new("-") {
        Input::Stdin
    } else {
        Input::File(file.to_owned())
    };
    let unusable = |reason: &dyn fmt::Display| SealedError::Unusable {
        reason: format!("{shown}: {reason}"),
    };
    let bytes = read_input(&input)?;
    let members = import::members(bytes, format).map_err(|error| unusable(&error))?;
    let mut keyed = Vec::new();
    for (name, value) in members {
        let name = format!("{prefix}{name}");
        let key = Key::new(&name).map_err(|error| unusable(&format!("{name:?}: {error}")))?;
        keyed.push((key, value));
    }
    Ok(keyed)
}

/// Stores what was read, together, and gives the names and new versions.
pub fn import(
    store: &SealedStore,
    read: &[(Key, SecretBytes)],
) -> Result<Vec<(Key, u64)>, SealedError> {
    let versions = store.set_all(read)?;
    let keys = read.iter().map(|(key, _)| key.clone());
    Ok(keys.zip(versions).collect())
}

/// Stores a new random value of these characters.
pub fn generate(
    store: &SealedStore,
    key: &Key,
    length: usize,
    characters: &[u8],
) -> Result<u64, SealedError> {
    let random = |bytes: &mut [u8]| {
        fill_random(bytes).map_err(|source| SealedError::Input {
            from: "random bytes".to_owned(),
            source,
        })
    };
    // Bytes above the last whole multiple are dropped: each character is as likely as the others.
    let most = 256 - 256 % characters.len();
    let mut value = Vec::with_capacity(length);
    let mut bytes = [0; 64];
    while value.len() < length {
        random(&mut bytes)?;
        let fits = bytes.iter().filter(|byte| usize::from(**byte) < most);
        let chosen = fits.map(|byte| characters[usize::from(*byte) % characters.len()]);
        value.extend(chosen.take(length - value.len()));
    }
    bytes.fill(0);
    Ok(store.set(key, &SecretBytes::new(value))?)
}

/// Stores the current value of one secret as another one, which must not be there.
pub fn copy(store: &SealedStore, from: &Key, to: &Key) -> Result<u64, SealedError> {
    if store.list()?.iter().any(|listed| listed.key == *to) {
        let reason = format!("{to} is there already: nothing was changed");
        return Err(SealedError::Unusable { reason });
    }
    let (value, _) = store.get(from, None)?;
    Ok(store.set(to, &value)?)
}

/// Writes all values: as dotenv lines, with `/` and what else no variable has as `_`, or as a JSON object.
pub fn export(
    store: &SealedStore,
    as_json: bool,
    output: &mut dyn Write,
) -> Result<(), SealedError> {
    let mut members = serde_json::Map::new();
    let (mut lines, mut names) = (String::new(), BTreeMap::new());
    let keys: BTreeSet<Key> = store.list()?.into_iter().map(|listed| listed.key).collect();
    // What `init` keeps beside a value of a .env file: how it was written there.
    let is_companion = |key: &Key| {
        let of = key.as_str().strip_suffix(".written");
        of.is_some_and(|of| keys.iter().any(|other| other.as_str() == of))
    };
    for key in keys.iter().filter(|key| !is_companion(key)) {
        let unusable = |reason: &str| SealedError::Unusable {
            reason: format!("{key}: {reason}"),
        };
        let (value, _) = store.get(key, None)?;
        let text = std::str::from_utf8(value.expose())
            .map_err(|_| unusable("it is not UTF-8 text: `hushpipe secret get` writes it"))?;
        if as_json {
            members.insert(key.to_string(), text.into());
        } else {
            let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            let name: String = key.as_str().chars().map(fits).collect();
            if let Some(other) = names.insert(name.clone(), key) {
                let text = format!("as a variable it has the name of {other}: use --format json");
                return Err(unusable(&text));
            }
            let written = dotenv::write(text, dotenv::Style::default()).map_err(unusable)?;
            lines.extend([name.as_str(), "=", written.as_str(), "\n"]);
        }
    }
    if as_json {
        lines = format!("{:#}\n", serde_json::Value::Object(members));
    }
    let written = output.write_all(SecretBytes::new(lines.into_bytes()).expose());
    written
        .and_then(|()| output.flush())
        .map_err(|source| SealedError::Output { source })
}

/// Has a person change the current value in a file in memory, by this shell command. `None`: it is as it was.
pub fn edit(store: &SealedStore, key: &Key, editor: &OsStr) -> Result<Option<u64>, SealedError> {
    let failed = |source| SealedError::Input {
        from: "the edited value".to_owned(),
        source,
    };
    let is_there = store.list()?.iter().any(|listed| listed.key == *key);
    let before = if is_there {
        store.get(key, None)?.0
    } else {
        SecretBytes::new(Vec::new())
    };
    let edited = ValueFile::make(before.expose()).map_err(failed)?;
    let ended = at_terminal(editor, edited.file().as_os_str()).map_err(failed)?;
    let after = edited.read().map_err(failed)?;
    if !ended {
        let reason = "the editor failed: nothing was stored".to_owned();
        return Err(SealedError::Unusable { reason });
    }
    if after.same(&before) {
        return Ok(None);
    }
    Ok(Some(store.set(key, &after)?))
}

/// Merges a store whose index has a conflict of git's.
pub fn merge(store: &SealedStore) -> Result<Merged, SealedError> {
    let blob = |stage: u8, path: &str| git::blob(store.path(), &format!(":{stage}:./{path}"));
    let index = |stage| blob(stage, "index").and_then(|bytes| String::from_utf8(bytes).ok());
    let (Some(ours), Some(theirs)) = (index(2), index(3)) else {
        return Err(SealedError::Unusable {
            reason: format!(
                "git has no conflict in {}: there is nothing to merge",
                store.path().join("index").display()
            ),
        });
    };
    let sides = Sides {
        base: index(1),
        ours,
        theirs,
    };
    let fetch = |key: &Key, version: u64, wanted: &FileDigest| {
        let path = format!("secrets/{key}/{version}.age");
        let of_conflict = (0..=3).filter_map(|stage| blob(stage, &path));
        let of_commits = ["HEAD", "MERGE_HEAD", "REBASE_HEAD", "CHERRY_PICK_HEAD"]
            .into_iter()
            .filter_map(|commit| git::blob(store.path(), &format!("{commit}:./{path}")));
        of_conflict
            .chain(of_commits)
            .find(|bytes| file_digest(bytes) == *wanted)
    };
    Ok(store.merge(&sides, &fetch)?)
}

/// git's merge driver: merges the index of three files into the second one. `false`: that takes more than
/// the index.
pub fn merge_driver(
    store: &SealedStore,
    [base, ours, theirs]: [&Path; 3],
) -> Result<bool, SealedError> {
    let read = |path: &Path| {
        let text = files::read(path).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| io::Error::other(error.utf8_error()))
        });
        text.map_err(|source| SealedError::Input {
            from: path.display().to_string(),
            source,
        })
    };
    let sides = Sides {
        base: Some(read(base)?),
        ours: read(ours)?,
        theirs: read(theirs)?,
    };
    let Some(text) = store.merge_index(&sides)? else {
        return Ok(false);
    };
    let written = files::replace(ours, &text, 0o600);
    written.map_err(|source| SealedError::Output { source })?;
    Ok(true)
}

/// What [`init`] found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    /// Whether the identity was there before.
    pub kept_identity: bool,
    /// Whether the store was there before.
    pub kept_store: bool,
    /// For whom secrets are sealed.
    pub recipients: Vec<String>,
}

/// Fails if others could change the store or the identity where they are to be. Nothing is made.
pub fn check_places(path: &Path, identity_file: &Path) -> Result<(), SealedError> {
    let (path, identity_file) = (path.to_owned(), identity_file.to_owned());
    let store = by_path(path, identity_file, false, Rc::new(()));
    Ok(store.check_places()?)
}

/// Makes a sealed store for the identity of a file, and makes the identity if the file is not there.
/// A store that is there is kept, where it is sealed for this identity: one that was interrupted is
/// ended so. Else it is refused, before anything is made.
pub fn init(path: &Path, identity_file: &Path) -> Result<Initialised, SealedError> {
    let (path, identity_file) = (path.to_owned(), identity_file.to_owned());
    let store = by_path(path.clone(), identity_file.clone(), false, Rc::new(()));
    let (kept_store, kept_identity) = (store.is_there()?, identity_file.exists());
    if kept_store && !(kept_identity && store.is_for_us()?) {
        return Err(SealedError::Unusable {
            reason: format!(
                "{} is a sealed store already, and not for the identity of {}: it stays as it is",
                path.display(),
                identity_file.display()
            ),
        });
    }
    if !kept_identity {
        store.create_identity()?;
    }
    let recipients = store.own_recipients()?;
    if !kept_store {
        store.create(&recipients)?;
    }
    Ok(Initialised {
        kept_identity,
        kept_store,
        recipients,
    })
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

fn read_value(input: &Input, key: &Key) -> Result<SecretBytes, SealedError> {
    match input {
        Input::Prompt => {
            let first = ask(&format!("Value of {key} (not shown): "))?;
            let second = ask("The same again: ")?;
            if first.same(&second) {
                return Ok(first);
            }
            Err(SealedError::Unusable {
                reason: "the two values differ: nothing was stored".to_owned(),
            })
        }
        other => read_input(other),
    }
}

fn ask(question: &str) -> Result<SecretBytes, SealedError> {
    prompt::hidden_line(question)
        .map(SecretBytes::new)
        .map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => SealedError::Unusable {
                reason: "cancelled: nothing was stored".to_owned(),
            },
            io::ErrorKind::InvalidInput => SealedError::Unusable {
                reason: "a terminal's line ends at 4095 bytes, some of the value may be missing: \
                         use --file or standard input"
                    .to_owned(),
            },
            _ => SealedError::Input {
                from: "the terminal".to_owned(),
                source,
            },
        })
}

fn read_input(input: &Input) -> Result<SecretBytes, SealedError> {
    let (read, from) = match input {
        Input::File(path) => (
            File::open(path).and_then(read_all),
            path.display().to_string(),
        ),
        _ => (read_all(io::stdin().lock()), "standard input".to_owned()),
    };
    let value = read.map_err(|source| SealedError::Input { from, source })?;
    if value.len() > format::MAX_VALUE {
        let reason = format!("a value has at most {} MiB", format::MAX_VALUE >> 20);
        return Err(SealedError::Unusable { reason });
    }
    Ok(value)
}

/// One byte more than a value can have, at most.
pub(super) fn read_all(input: impl Read) -> io::Result<SecretBytes> {
    let mut bytes = Vec::new();
    let read = input
        .take(format::MAX_VALUE as u64 + 1)
        .read_to_end(&mut bytes);
    let bytes = SecretBytes::new(bytes);
    read.map(|_| bytes)
}
