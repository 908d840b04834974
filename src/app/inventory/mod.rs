//! Reads what `hushpipe graph` and `hushpipe report` are made of: logs, manifests, sites and scans of many
//! hosts, as directories, archives and streams. They are data of others: no link below what was named is
//! followed, one record is read at a time, and what is something else is passed over.

mod feed;
mod notes;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags};

use crate::app::audit::Reading;
use crate::app::failure::{Failure, Failures};
use crate::model::printable::printable_path;
use crate::model::{Exit, Site};
use crate::report::Moment;
use crate::sys::beneath;
use crate::sys::filesystem::{self, Kind};
use feed::Feed;
pub use feed::Inventory;
pub use notes::Notes;

/// How deep directories are entered: each level holds a descriptor.
const DEEPEST: usize = 64;

/// Where a host's manifests are.
const MANIFESTS: &str = "/etc/hushpipe";

/// What is read.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Directories, archives and files; `-` is standard input. None: this host.
    pub paths: &'a [PathBuf],
    /// This host's site.
    pub site: Option<&'a Site>,
    /// As of when: later records are not taken, and ages are counted from it. Else from the newest record.
    pub at: Option<Moment>,
    /// What happens is counted from then on, and what was so then is compared.
    pub since: Option<Moment>,
    /// The command, as the log of this host records that it was read.
    pub command: &'a str,
}

/// Reads all of it.
pub fn read(inputs: &Inputs<'_>) -> Result<Inventory, Failures> {
    let mut feed = Feed::new(inputs.since, inputs.at);
    if inputs.paths.is_empty() {
        this_host(inputs, &mut feed)?;
    }
    for (root, path) in (1..).zip(inputs.paths) {
        feed.root = root;
        named(path, &mut feed).map_err(|error| {
            let text = format!("cannot read {}\n  cause: {error}", printable_path(path));
            vec![Failure::new(Exit::NoManifest, text)]
        })?;
    }
    Ok(feed.finish(inputs.since, inputs.at))
}

/// The log of this host's site, which is put on record, and the manifests in /etc/hushpipe.
fn this_host(inputs: &Inputs<'_>, feed: &mut Feed) -> Result<(), Failures> {
    if inputs.site.is_none_or(|site| site.audit.is_none()) {
        let text = "this host has no site with a log: name directories, archives or files\n  \
                    help: `hushpipe help graph` has examples";
        return Err(vec![Failure::new(Exit::Usage, text)]);
    }
    let reading = Reading::new(inputs.site, None)?;
    if let Err(text) = reading.note(inputs.command) {
        feed.notes.texts.push(text);
    }
    if let Some(site) = inputs.site {
        feed.take("", |collector, origin| collector.site(origin, site));
    }
    let read = feed.lines("", &mut reading.stream()?);
    read.map_err(|error| {
        vec![Failure::new(
            Exit::Os,
            format!("cannot read the log: {error}"),
        )]
    })?;
    match beneath::open_directory(Path::new(MANIFESTS)) {
        Ok(directory) => directory_of(&directory, MANIFESTS, "", 0, feed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => feed.notes.add(MANIFESTS, &error),
    }
    Ok(())
}

/// A path that was named. A link is followed.
fn named(path: &Path, feed: &mut Feed) -> io::Result<()> {
    if path == Path::new("-") {
        return feed.file("standard input", "", &mut io::stdin().lock());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = fs::open(path, flags, Mode::empty())?;
    let shown = path.to_string_lossy();
    match filesystem::status(&opened)?.kind {
        Kind::Directory => {
            directory_of(&opened, shown.trim_end_matches('/'), "", 0, feed);
            Ok(())
        }
        Kind::File => feed.file(&shown, "", &mut File::from(opened)),
        _ => Err(io::Error::other("it is neither a file nor a directory")),
    }
}

/// All below a directory, by name: a log's segments are in order then. `part` is its path from what was named.
fn directory_of(directory: &OwnedFd, path: &str, part: &str, depth: usize, feed: &mut Feed) {
    if depth > DEEPEST {
        return feed.notes.add(path, &"it is too deep");
    }
    let mut names = match filesystem::entries(directory) {
        Ok(names) => names,
        Err(error) => return feed.notes.add(path, &error),
    };
    names.sort_unstable();
    for name in names {
        let shown = name.to_string_lossy();
        let path = format!("{path}/{shown}");
        let done = match filesystem::status_at(directory, &name) {
            Ok(Some(found)) if found.kind == Kind::Directory => {
                let part = feed::below(part, &shown);
                beneath::enter(directory, Path::new(&name))
                    .map(|inner| directory_of(&inner, &path, &part, depth + 1, feed))
            }
            Ok(Some(found)) if found.kind == Kind::File && Feed::wants(&shown) => {
                beneath::open_file(directory, &name)
                    .and_then(|mut file| feed.file(&path, part, &mut file))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            feed.notes.add(&path, &error);
        }
    }
}
