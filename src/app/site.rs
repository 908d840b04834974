//! The site: the host's own file, opened once by each command that launches, reveals or controls.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::manifest::{MAX_SITE_BYTES, ManifestError, parse_site};
use crate::model::printable::{printable, printable_path};
use crate::model::{Governed, Plan, Site, StoreKind};
use crate::sys::filesystem::{self, effective_uid};
use crate::sys::syslog;
use crate::sys::walk::{self, Rule, WalkError, WalkFault};

/// Where a host has its site.
pub const PLACE: &str = "/etc/hushpipe/site.yaml";

/// Names another one: for root, and where the host has none.
pub const VARIABLE: &str = "HUSHPIPE_SITE";

/// What the site says of the secrets in a store's directory, or of one in a file.
pub fn governed<'s>(site: &'s Site, place: &Path) -> io::Result<Option<&'s Governed>> {
    for one in &site.governed {
        if filesystem::is_within(place, &one.directory)? {
            return Ok(Some(one));
        }
    }
    Ok(None)
}

/// Has what the site says of stores on this host count, in place of what the manifest says. A directory
/// store's secret is where its file is, which its key may lead to.
pub fn govern(plan: &mut Plan, site: &Site) -> io::Result<()> {
    if site.governed.is_empty() {
        return Ok(());
    }
    for secret in plan.secrets.values_mut() {
        let key = secret.source.key.as_deref().unwrap_or_default();
        let place = match &plan.stores[&secret.source.store].kind {
            StoreKind::Sealed(spec) => spec.path.clone(),
            StoreKind::Directory(spec) => spec.path.join(key),
            _ => continue,
        };
        let Some(found) = governed(site, &place)? else {
            continue;
        };
        let count = |said: &Option<String>, word: &mut Option<String>| {
            if said.is_some() {
                word.clone_from(said);
            }
        };
        count(&found.classification, &mut secret.classification);
        count(&found.owner, &mut secret.owner);
    }
    Ok(())
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The site, if there is one.
    pub site: Option<Site>,
    /// What the user should know about how it was found.
    pub warnings: Vec<String>,
}

/// Finds, reads and checks the site. Where the host has none, and nothing names one, this is one call
/// that fails.
pub fn load() -> Result<Found, ManifestError> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let is_root = effective_uid() == 0 && walk::is_root_known();
    let named = match (named, is_root) {
        (Some(named), true) => return instead(&named.into()),
        (named, _) => named,
    };
    let place = Path::new(PLACE);
    if is_there(place)? {
        let mut found = Found::of(read(place, &Rule::ROOT)?);
        found.warnings.extend(named.map(|named| {
            let named = printable(&named.to_string_lossy());
            format!("{VARIABLE}={named} is ignored: this host has a site, {PLACE}")
        }));
        return Ok(found);
    }
    match named {
        Some(named) => Ok(Found::of(read_named(&named.into())?)),
        None => Ok(Found::default()),
    }
}

impl Found {
    fn of(site: Site) -> Self {
        Self {
            site: Some(site),
            warnings: Vec::new(),
        }
    }
}

/// The one that root names. That it counts in place of the host's own is said.
fn instead(named: &PathBuf) -> Result<Found, ManifestError> {
    let mut found = Found::of(read_named(named)?);
    let place = Path::new(PLACE);
    if named != place && is_there(place)? {
        let named = printable_path(named);
        let text = format!("{VARIABLE}={named} counts in place of this host's site, {PLACE}");
        // Where the caller cannot silence it.
        syslog::alert(&text);
        found.warnings.push(text);
    }
    Ok(found)
}

/// A link that leads to nothing is there: what it says is missing is an error, not the absence of a site.
fn is_there(place: &Path) -> Result<bool, ManifestError> {
    match filesystem::status_of_path(place) {
        Ok(found) => Ok(found.is_some()),
        Err(error) => {
            let help = if error.kind() == ErrorKind::PermissionDenied {
                "every user must be able to read the site: chmod 0755 /etc/hushpipe"
            } else {
                "root repairs or removes it"
            };
            let message = format!("cannot tell whether this host has a site, {PLACE}");
            Err(ManifestError::site(place, message, help, Some(error)))
        }
    }
}

/// The one that the variable names: of root, or of the user that runs hushpipe.
fn read_named(path: &PathBuf) -> Result<Site, ManifestError> {
    let whole = std::path::absolute(path).map_err(|error| {
        let message = format!("{VARIABLE} names no file");
        ManifestError::site(path, message, "name the site's file", Some(error))
    })?;
    read(&whole, &Rule::STRICT)
}

fn read(path: &Path, rule: &Rule<'_>) -> Result<Site, ManifestError> {
    let file = walk::file(path, rule).map_err(|error| refused(path, error, rule))?;
    let mut bytes = Vec::with_capacity(4 * 1024);
    let limit = MAX_SITE_BYTES as u64 + 1;
    let file = File::from(file).take(limit).read_to_end(&mut bytes);
    file.map_err(|error| {
        let message = format!("cannot read the site {}", printable_path(path));
        ManifestError::site(path, message, "root repairs the file", Some(error))
    })?;
    parse_site(path, bytes)
}

fn refused(path: &Path, error: WalkError, rule: &Rule<'_>) -> ManifestError {
    let shown = printable_path(path);
    if let WalkFault::System(source) = error.fault {
        let help = match source.kind() {
            ErrorKind::NotFound if rule.root_alone => {
                "it is a link that leads to nothing: root repairs or removes it".to_owned()
            }
            ErrorKind::NotFound => format!("create it, or unset {VARIABLE}"),
            ErrorKind::PermissionDenied => {
                "every user that runs hushpipe must be able to read the site: chmod 0644, and 0755 for \
                 its directory"
                    .to_owned()
            }
            _ => "root repairs or removes it".to_owned(),
        };
        let message = format!("cannot open the site {shown}");
        return ManifestError::site(path, message, help, Some(source));
    }
    let owner = if rule.root_alone { 0 } else { effective_uid() };
    let message = format!("the site {shown} cannot be trusted: {error}");
    let help = error.remedy(owner).map_or_else(
        || "a site is a regular file that only root can change, in directories that only root can change".to_owned(),
        |command| format!("look at the file, and then: {command}"),
    );
    ManifestError::site(path, message, help, None)
}
