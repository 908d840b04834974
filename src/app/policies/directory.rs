//! A directory of policies: read, and read again when it changes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::digest::{Context, SHA256};

use super::cache::{self, Key};
use crate::app::failure::{Failure, Failures};
use crate::model::printable::printable_path;
use crate::model::{Exit, Sha256};
use crate::policy::{Policies, PolicyError, PolicyErrors};
use crate::sys::beneath;
use crate::sys::filesystem::{self, Status};
use crate::sys::walk::{self, Links, Rule, WalkError};

/// More files are not read.
const MAX_FILES: usize = 1_000;

/// Nor more bytes, of all files.
const MAX_BYTES: u64 = 10 << 20;

/// The only other name that is read.
const ENTITIES: &str = "entities.json";

/// A directory of policies, checked.
#[derive(Debug)]
pub struct PolicyDirectory {
    path: PathBuf,
    policies: Policies,
    sha256: Sha256,
    stamp: Stamp,
    /// Why the directory cannot be read any more, as it was reported.
    broken: Option<String>,
}

/// What became of the policies while a program runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// They are as they were, or what is wrong with them was reported already.
    Same,
    /// They were read anew, or can be read again.
    Changed,
    /// They cannot be read, for this reason, and the last good ones stay.
    Kept(String),
}

/// What the files looked like when they were read.
#[derive(Debug, Default)]
struct Stamp {
    files: BTreeMap<String, Status>,
    /// Too fresh to tell a later change by.
    racy: bool,
}

/// The texts of all files.
struct Texts {
    policies: Vec<(String, String)>,
    entities: Option<String>,
    sha256: Sha256,
    key: Key,
    stamp: Stamp,
}

impl PolicyDirectory {
    /// Reads and checks it.
    pub fn open(path: &Path) -> Result<Self, Failures> {
        let texts = Texts::read(path)?;
        let policies = texts.check(path)?;
        Ok(Self::new(path, texts, policies))
    }

    /// The same, unless the cache has what these texts come to.
    pub fn open_cached(path: &Path) -> Result<Self, Failures> {
        let texts = Texts::read(path)?;
        let policies = texts.check_cached(path)?;
        Ok(Self::new(path, texts, policies))
    }

    fn new(path: &Path, texts: Texts, policies: Policies) -> Self {
        Self {
            path: path.to_owned(),
            policies,
            sha256: texts.sha256,
            stamp: texts.stamp,
            broken: None,
        }
    }

    /// The last good ones.
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Of the names and bytes of all files that they are of.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Looks whether the directory has changed, and reads it if so. Where it cannot be read any more, the
    /// last good policies stay, and the reason is given once.
    pub fn refresh(&mut self) -> Refreshed {
        if !self.stamp.racy && self.broken.is_none() && self.looks_the_same() {
            return Refreshed::Same;
        }
        let read = Texts::read(&self.path).and_then(|texts| {
            if texts.sha256 == self.sha256 {
                return Ok((texts.stamp, None));
            }
            let policies = texts.check_cached(&self.path)?;
            Ok((texts.stamp, Some((policies, texts.sha256))))
        });
        match read {
            Ok((stamp, new)) => {
                self.stamp = stamp;
                let was_broken = self.broken.take().is_some();
                let Some((policies, sha256)) = new else {
                    // That the last good ones are those that are there again is news as well.
                    return if was_broken {
                        Refreshed::Changed
                    } else {
                        Refreshed::Same
                    };
                };
                self.policies = policies;
                self.sha256 = sha256;
                Refreshed::Changed
            }
            Err(failures) => self.keep(&failures),
        }
    }

    fn keep(&mut self, failures: &Failures) -> Refreshed {
        let why = failures.iter().map(|failure| failure.error.to_string());
        let why = why.collect::<Vec<_>>().join("; ");
        if self.broken.as_ref() == Some(&why) {
            return Refreshed::Same;
        }
        self.broken = Some(why.clone());
        Refreshed::Kept(why)
    }

    fn looks_the_same(&self) -> bool {
        let found = open_directory(&self.path).and_then(|directory| {
            let mut found = BTreeMap::new();
            for name in names(&self.path, &directory)? {
                let status = filesystem::status_at(&directory, &name);
                let status = status.map_err(|error| unreadable(&self.path.join(&name), error))?;
                found.extend(status.map(|status| (name, status)));
            }
            Ok(found)
        });
        found.is_ok_and(|found| found == self.stamp.files)
    }
}

impl Texts {
    fn check(&self, path: &Path) -> Result<Policies, Failures> {
        let policies = Policies::parse(&self.policies, self.entities.as_deref());
        policies.map_err(|errors| in_directory(path, errors))
    }

    fn check_cached(&self, path: &Path) -> Result<Policies, Failures> {
        if let Some(policies) = cache::load(self.key) {
            return Ok(policies);
        }
        let policies = self.check(path)?;
        cache::store(self.key, &policies);
        Ok(policies)
    }

    fn read(path: &Path) -> Result<Self, Failures> {
        let directory = open_directory(path)?;
        let names = names(path, &directory)?;
        let now = SystemTime::now();
        let mut left = MAX_BYTES;
        let mut failures = Failures::new();
        let mut texts = Self {
            policies: Vec::new(),
            entities: None,
            sha256: Sha256([0; 32]),
            key: Key(Sha256([0; 32])),
            stamp: Stamp::default(),
        };
        let mut digest = Context::new(&SHA256);
        for name in names {
            let (text, status) = match read_file(path, &directory, &name, &mut left) {
                Ok(read) => read,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            for part in [name.as_str(), text.as_str()] {
                digest.update(&(part.len() as u64).to_le_bytes());
                digest.update(part.as_bytes());
            }
            texts.stamp.racy |= status.is_racy(now);
            texts.stamp.files.insert(name.clone(), status);
            if name == ENTITIES {
                texts.entities = Some(text);
            } else {
                texts.policies.push((name, text));
            }
        }
        let mut key = digest.clone();
        key.update(Policies::cache_version().as_bytes());
        texts.key = Key(finished(key));
        texts.sha256 = finished(digest);
        if failures.is_empty() {
            Ok(texts)
        } else {
            Err(failures)
        }
    }
}

fn finished(digest: Context) -> Sha256 {
    let digest = digest.finish();
    Sha256(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn failure(error: impl Into<Box<dyn std::error::Error>>) -> Failure {
    Failure::new(Exit::Manifest, error)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Failures> {
    let opened = walk::directory(path, &Rule::STRICT);
    opened.map_err(|error| vec![failure(Unsafe::new(path, error))])
}

/// The names in it, in order: those of policies, and entities.json.
fn names(path: &Path, directory: &OwnedFd) -> Result<Vec<String>, Failures> {
    let mut names = Vec::new();
    let mut others = Failures::new();
    let visited = filesystem::visit_entries(directory, |name| {
        match name.to_str() {
            Some(name) if name == ENTITIES || is_policy(name) => names.push(name.to_owned()),
            _ => others.push(failure(DirectoryError::Other(path.join(name)))),
        }
        if names.len() + others.len() > MAX_FILES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    visited.map_err(|error| unreadable(path, error))?;
    if names.len() + others.len() > MAX_FILES {
        return Err(vec![failure(DirectoryError::Many(path.to_owned()))]);
    }
    names.sort_unstable();
    if others.is_empty() {
        Ok(names)
    } else {
        Err(others)
    }
}

fn is_policy(name: &str) -> bool {
    let stem = name.strip_suffix(".cedar");
    stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'))
}

fn read_file(
    path: &Path,
    directory: &OwnedFd,
    name: &str,
    left: &mut u64,
) -> Result<(String, Status), Failure> {
    // A link would be another file's owner and time.
    let rule = Rule {
        links: Links::Refuse,
        ..Rule::STRICT
    };
    let whole = path.join(name);
    let opened = walk::file_beneath(
        std::os::fd::AsFd::as_fd(directory),
        path,
        Path::new(name),
        &rule,
    );
    let opened = opened.map_err(|error| failure(Unsafe::new(&whole, error)))?;
    let file = File::from(opened);
    let wrong = |error| failure(DirectoryError::System(whole.clone(), error));
    let status = filesystem::status(&file).map_err(wrong)?;
    let bytes = beneath::read_whole(file, *left).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => failure(DirectoryError::Large(path.to_owned())),
        _ => wrong(error),
    })?;
    *left -= bytes.len() as u64;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, status)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            Err(failure(DirectoryError::NotText(whole, at)))
        }
    }
}

fn unreadable(path: &Path, error: io::Error) -> Failures {
    vec![failure(DirectoryError::System(path.to_owned(), error))]
}

/// Each error of the policies, with the directory before its file.
fn in_directory(path: &Path, errors: PolicyErrors) -> Failures {
    let within = |error: PolicyError| PolicyError {
        file: path.join(&error.file).display().to_string(),
        ..error
    };
    errors.0.into_iter().map(within).map(failure).collect()
}

#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error("{}: a policy directory holds *.cedar and entities.json alone: move it elsewhere", printable_path(.0))]
    Other(PathBuf),
    #[error("{}: more than {MAX_FILES} files: join some of them", printable_path(.0))]
    Many(PathBuf),
    #[error("{}: more than {} MiB of policies", printable_path(.0), MAX_BYTES >> 20)]
    Large(PathBuf),
    #[error("{}: not UTF-8 from byte {} on", printable_path(.0), .1 + 1)]
    NotText(PathBuf, usize),
    #[error("{}: cannot be read", printable_path(.0))]
    System(PathBuf, #[source] io::Error),
}

/// A walk that did not end well, and what it was for.
#[derive(Debug, thiserror::Error)]
#[error("the policies in {}: {error}{}", printable_path(.path), .error.help(filesystem::effective_uid()))]
struct Unsafe {
    path: PathBuf,
    error: WalkError,
}

impl Unsafe {
    fn new(path: &Path, error: WalkError) -> Self {
        Self {
            path: path.to_owned(),
            error,
        }
    }
}
