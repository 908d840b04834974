//! Loading the site of this host, and the manifest that a command line means.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::failure::log_object;
use super::said::SaidArgs;
use super::{Failure, Globals, LogFormat, Palette, Stream};
use crate::app::approvals::manifests;
use crate::app::{Governance, files_directory, manifest_of_root, site};
use crate::manifest::{self, ManifestError, Overrides};
use crate::model::private_key::has_private_key;
use crate::model::{Exit, Plan, Site};

/// What a launch goes by.
#[derive(Debug)]
pub struct Loaded {
    /// The manifest, checked. The site's warnings are among its own.
    pub plan: Plan,
    /// The host's site.
    pub site: Option<Site>,
    /// The site's warnings.
    pub notes: Vec<String>,
}

/// The host's site, for a command without a manifest. Its warnings go to stderr.
pub fn site(globals: Globals) -> Result<Option<Site>, Failure> {
    let found = site::load().map_err(|error| failure(&error))?;
    warn(&found.warnings, globals)?;
    Ok(found.site)
}

/// What is odd goes to stderr, one line each, so that stdout is for reading on.
pub fn warn(warnings: &[String], globals: Globals) -> Result<(), Failure> {
    if globals.quiet {
        return Ok(());
    }
    let palette = Palette::of(Stream::Stderr);
    let mut out = String::new();
    for warning in warnings {
        let line = match globals.log_format {
            LogFormat::Text => {
                let (on, off) = (palette.warning(), palette.reset());
                writeln!(out, "{on}hushpipe: warning:{off} {warning}")
            }
            LogFormat::Json => {
                let object = log_object("warning", "weaker", warning);
                writeln!(out, "{object}")
            }
        };
        line.expect("writing to a String does not fail");
    }
    std::io::stderr()
        .write_all(out.as_bytes())
        .map_err(|error| Failure::new(Exit::Os, &error))
}

/// Finds, reads and checks the site and the manifest; a fault is shown with excerpts.
pub fn load(explicit: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Failure> {
    let found = site::load().map_err(|error| failure(&error))?;
    let path = manifest::find(explicit).map_err(|error| failure(&error))?;
    let text = manifest::read(&path, manifest_of_root).map_err(|error| failure(&error))?;
    checked(&path, &text, overrides, found)
}

/// As [`load`], of a manifest that the command line makes: it has no file, nor a signature.
pub fn made(text: String, overrides: &Overrides) -> Result<Loaded, Failure> {
    let found = site::load().map_err(|error| failure(&error))?;
    checked(
        Path::new("-"),
        &manifest::Text::made(text),
        overrides,
        found,
    )
}

fn checked(
    path: &Path,
    text: &manifest::Text,
    overrides: &Overrides,
    found: site::Found,
) -> Result<Loaded, Failure> {
    let site = found.site;
    // What was read is what is verified and what is decoded.
    let wanted = site.as_ref().and_then(|site| site.manifests.as_ref());
    let signer = match wanted {
        Some(wanted) => Some(
            manifests::signer(wanted, path, text.text.as_bytes())
                .map_err(|error| Failure::new(error.exit(), &error))?,
        ),
        None => None,
    };
    let overrides = Overrides {
        files: Some(files_directory::choose),
        identity: named_identity(overrides.identity.as_ref())?,
        ..overrides.clone()
    };
    let mut plan =
        manifest::plan(path, text, &overrides, site.as_ref()).map_err(|error| failure(&error))?;
    if let Some(wanted) = wanted {
        manifests::check_variables(wanted, &plan)
            .map_err(|error| Failure::new(error.exit(), &error))?;
    }
    if let Some(site) = &site {
        site::govern(&mut plan, site).map_err(|error| Failure::new(Exit::Os, &error))?;
    }
    plan.manifest_signer = signer;
    let notes = found.warnings;
    plan.warnings.splice(0..0, notes.iter().cloned());
    Ok(Loaded { plan, site, notes })
}

/// The identity file that an option names, else the environment, in place of the manifest's and the usual
/// one. A path that is no path but the key itself is not shown.
pub fn named_identity(option: Option<&PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let variable = || std::env::var_os("HUSHPIPE_IDENTITY").filter(|path| !path.is_empty());
    let (from, named) = match option {
        Some(path) => ("--identity", path.clone()),
        None => match variable() {
            Some(path) => ("HUSHPIPE_IDENTITY", path.into()),
            None => return Ok(None),
        },
    };
    if has_private_key(&named.to_string_lossy()) {
        let text = format!(
            "{from} has an identity, not the path of a file with one\n  \
             help: write it to a file: (umask 077; printf '%s\\n' \"$KEY\" > id.txt); {from} names that"
        );
        return Err(Failure::text(Exit::Usage, text));
    }
    Ok(Some(absolute(&named)))
}

/// The manifest may be in another directory, and paths in it are relative to that.
fn absolute(path: &PathBuf) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.clone())
}

/// `$HUSHPIPE_IDENTITY`, else identity.txt in hushpipe's directory of the user's configuration.
pub fn default_identity_file() -> Result<PathBuf, Failure> {
    if let Some(named) = named_identity(None)? {
        return Ok(named);
    }
    let of = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let configuration =
        of("XDG_CONFIG_HOME").or_else(|| of("HOME").map(|home| home.join(".config")));
    configuration
        .map(|directory| directory.join("hushpipe/identity.txt"))
        .ok_or_else(|| {
            let text = "no home directory is known ($HOME): name the identity file with --identity";
            Failure::text(Exit::Usage, text)
        })
}

impl Loaded {
    /// What governs a launch or a command, with what a person says for it.
    pub fn governed(self, said: SaidArgs) -> (Plan, Governance) {
        let governance = Governance {
            site: self.site.map(Rc::new),
            said: said.into(),
        };
        (self.plan, governance)
    }
}

/// What governs a command that has no manifest.
pub fn governance(said: SaidArgs, globals: Globals) -> Result<Governance, Failure> {
    Ok(Governance {
        site: site(globals)?.map(Rc::new),
        said: said.into(),
    })
}

/// As it is shown to people and to machines.
pub fn failure(error: &ManifestError) -> Failure {
    let shown = error.render(Palette::of(Stream::Stderr).is_colour());
    Failure::shown(error.exit(), error.text(), shown)
}
