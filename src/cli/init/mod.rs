//! `hushpipe init`: a starting manifest, a sealed store, an identity; and what becomes of the .env
//! files that are there.

mod adopt;
mod arguments;
mod ask;
mod ignore;
mod join;
mod manifest;
mod project;
mod report;

use std::io;
use std::path::{Path, PathBuf};

use super::output::print;
use super::run::warnings;
use super::{Failure, Globals, Outcome, load};
use crate::app::custody::{self, Secrets};
use crate::app::files;
use crate::app::git::WorkTree;
use crate::app::sealed::{self, Initialised};
use crate::manifest::{Overrides, parse};
use crate::model::Exit;
use crate::model::query::Action;
use adopt::{Adoption, Found, Looked};
pub use arguments::InitArgs;
use project::below;
use report::{Report, quoted, shown};

/// Where everything goes.
struct Places {
    manifest: PathBuf,
    store: PathBuf,
    identity: PathBuf,
}

/// Makes what is missing and says what comes next.
pub fn run(arguments: &InitArgs, globals: Globals) -> Outcome {
    if arguments.directory.is_relative() {
        std::env::current_dir().map_err(|error| {
            let text = format!(
                "the working directory cannot be used: change to another one\n  cause: {error}"
            );
            Failure::text(Exit::Os, text)
        })?;
    }
    is_directory(&arguments.directory)?;
    let places = Places::of(arguments)?;
    sealed::check_places(&places.store, &places.identity)
        .map_err(|error| Failure::new(error.exit(), &error))?;
    let start = Start::of(arguments, &places)?;
    let looked = match start.look(arguments, &places) {
        Ok(looked) => looked,
        Err(there) => return join::join(arguments, &places.manifest, there, globals),
    };
    let adoption = match &looked.found {
        Found::Adopted(adoption) => Some(&**adoption),
        Found::Nothing | Found::Left(_) => None,
    };
    let manifest = places.manifest(arguments, adoption)?;
    if WorkTree::of(&arguments.directory).is_some() {
        ignore::check(&arguments.directory)?;
    }
    if let Some(adoption) = adoption {
        places.allow(adoption, arguments, globals)?;
    }
    let made = sealed::init(&places.store, &places.identity)
        .map_err(|error| Failure::new(error.exit(), &error))?;
    if let Some(adoption) = adoption {
        adoption.seal(&places.store, &places.identity)?;
    }
    places.write_manifest(&manifest, &start, adoption)?;
    let mut report = Report::default();
    if let Some(adoption) = adoption {
        adoption.tell(&mut report);
    }
    places.tell(&made, &mut report);
    finish(arguments, &places, &looked, &mut report)?;
    if globals.quiet {
        return Ok(Exit::Ok);
    }
    let next = next_steps(&arguments.directory, adoption);
    print(&format!("{}{next}", report.text()))
}

fn is_directory(directory: &Path) -> Result<(), Failure> {
    let name = shown(directory);
    let text = match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => format!("{name} is not a directory\n  help: give the directory of the manifest"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = quoted(directory);
            format!("there is no directory {name}\n  help: make it first: mkdir -p {name}")
        }
        Err(error) => format!("cannot look into {name}\n  cause: {error}"),
    };
    Err(Failure::text(Exit::Os, text))
}

impl Places {
    /// Where a store is there already, policy decides whether this user may change it, as for `secret set`.
    fn allow(
        &self,
        adoption: &Adoption,
        arguments: &InitArgs,
        globals: Globals,
    ) -> Result<(), Failure> {
        if self.store.symlink_metadata().is_err() {
            return Ok(());
        }
        let governance = load::governance(arguments.said.clone(), globals)?;
        let (name, keys) = (sealed::unnamed(), adoption.keys());
        let command = "hushpipe init";
        let secrets = Secrets {
            store: &name,
            directory: &self.store,
            keys: &keys,
        };
        let observer = warnings(globals);
        custody::allowed(
            command,
            &governance,
            None,
            Action::Change,
            &secrets,
            &observer,
        )
        .map(drop)
        .map_err(|failures| Failure::found(&failures))
    }
}

/// What is in the place of the manifest at first.
enum Start {
    /// Nothing.
    New,
    /// The starting manifest, as an init without .env files wrote it.
    Example,
    /// Another manifest, with its text.
    Written(String),
}

impl Start {
    fn of(arguments: &InitArgs, places: &Places) -> Result<Self, Failure> {
        if places.manifest.symlink_metadata().is_err() {
            return Ok(Self::New);
        }
        // What cannot be read is no manifest of ours.
        let text = files::read(&places.manifest).unwrap_or_default();
        let text = String::from_utf8(text).unwrap_or_default();
        if text == places.manifest(arguments, None)? {
            return Ok(Self::Example);
        }
        Ok(Self::Written(text))
    }

    /// Looks for .env files: also beside a manifest, where an init was interrupted or asked to leave
    /// them.
    fn look(&self, arguments: &InitArgs, places: &Places) -> Result<Looked, Failure> {
        let there = || {
            let manifest = shown(&places.manifest);
            let text = format!(
                "{manifest} is there already: it stays as it is\n  \
                 help: `hushpipe add NAME` adds a secret; `hushpipe check` looks at all"
            );
            Failure::text(Exit::Usage, text)
        };
        match self {
            Self::New => adopt::look(arguments),
            Self::Written(text) => adopt::look_again(arguments, text)?.ok_or_else(there),
            Self::Example => {
                let looked = adopt::look(arguments)?;
                let is_adopted = matches!(looked.found, Found::Adopted(_));
                is_adopted.then_some(looked).ok_or_else(there)
            }
        }
    }
}

/// `.gitignore`, and then the .env files.
fn finish(
    arguments: &InitArgs,
    places: &Places,
    looked: &Looked,
    report: &mut Report,
) -> Result<(), Failure> {
    let found = &looked.found;
    for (name, note) in &looked.notes {
        report.line(name, note);
    }
    let directory = &arguments.directory;
    let tree = WorkTree::of(directory);
    let tree = tree.as_ref();
    if let Some(tree) = tree {
        let mut paths: Vec<_> = below(&places.identity, directory).into_iter().collect();
        paths.extend(found.paths_in(directory));
        let store = below(&places.store, directory);
        ignore::see_to(tree, directory, &paths, store.as_deref(), report)?;
    }
    match found {
        Found::Nothing => Ok(()),
        Found::Left(left) => {
            for path in left {
                let text = "stays as it is; later: `hushpipe secret import`";
                report.line(&shown(path), text);
            }
            Ok(())
        }
        Found::Adopted(adoption) => adoption.settle_files(arguments, tree, report),
    }
}

/// The manifest of a directory: hushpipe.yml where that is its name.
fn manifest_in(directory: &Path) -> PathBuf {
    let usual = directory.join("hushpipe.yaml");
    let other = directory.join("hushpipe.yml");
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if !is_there(&usual) && is_there(&other) {
        other
    } else {
        usual
    }
}

impl Places {
    fn of(arguments: &InitArgs) -> Result<Self, Failure> {
        let identity = match load::named_identity(arguments.identity.as_ref())? {
            Some(named) => named,
            None => load::default_identity_file()?,
        };
        let store = arguments.store.clone();
        Ok(Self {
            manifest: manifest_in(&arguments.directory),
            store: store.unwrap_or_else(|| arguments.directory.join("secrets")),
            identity: std::path::absolute(identity).map_err(|error| os(&error))?,
        })
    }

    /// The manifest's text, which has no faults: nothing is made before that is known.
    fn manifest(
        &self,
        arguments: &InitArgs,
        adoption: Option<&Adoption>,
    ) -> Result<String, Failure> {
        let store = store_in_manifest(arguments)?;
        let identity = home_in(&self.identity);
        for path in [&store, &identity] {
            if path.to_str().is_none() {
                let text = format!(
                    "{} is not UTF-8 text, and a manifest cannot name it\n  \
                     choose another place with --store or --identity",
                    shown(path)
                );
                return Err(Failure::text(Exit::Usage, text));
            }
        }
        let text = adoption.map_or_else(
            || manifest::example(&store, &identity),
            |adoption| adoption.manifest(&store, &identity),
        );
        let environment = |name: &str| std::env::var(name).ok();
        // The command may come with each run.
        let overrides = Overrides {
            command: vec!["true".into()],
            no_launch: true,
            ..Overrides::default()
        };
        parse(&self.manifest, &text, &overrides, &environment)
            .map_err(|error| Failure::shown(error.exit(), error.text(), error.render(false)))?;
        Ok(text)
    }

    fn write_manifest(
        &self,
        text: &str,
        start: &Start,
        adoption: Option<&Adoption>,
    ) -> Result<(), Failure> {
        let written = match start {
            Start::New => files::create(&self.manifest, text, 0o666),
            Start::Example => files::replace(&self.manifest, text, 0o666),
            Start::Written(before) => {
                let linked =
                    adoption.map_or_else(|| before.clone(), |some| some.with_links(before));
                if linked == *before {
                    Ok(())
                } else {
                    files::replace(&self.manifest, &linked, 0o666)
                }
            }
        };
        written.map_err(|error| {
            let manifest = shown(&self.manifest);
            Failure::text(
                Exit::Os,
                format!("cannot write {manifest}\n  cause: {error}"),
            )
        })
    }

    fn tell(&self, made: &Initialised, report: &mut Report) {
        let what = if made.kept_identity {
            "kept"
        } else {
            "new: keep it safe, it opens the secrets"
        };
        let kept = if made.kept_store { " (kept)" } else { "" };
        report.line("manifest", &shown(&self.manifest));
        report.line("store", &format!("{}{kept}", shown(&self.store)));
        let text = format!("{} ({what})", shown(&self.identity));
        report.line("identity", &text);
    }
}

fn os(error: &io::Error) -> Failure {
    Failure::new(Exit::Os, error)
}

/// As the manifest names it: relative to itself where it was not given.
fn store_in_manifest(arguments: &InitArgs) -> Result<PathBuf, Failure> {
    arguments.store.as_ref().map_or_else(
        || Ok(PathBuf::from("secrets")),
        |store| std::path::absolute(store).map_err(|error| os(&error)),
    )
}

/// With `~`, so that a manifest can be shared.
fn home_in(path: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let below = home
        .filter(|home| home.is_absolute())
        .and_then(|home| path.strip_prefix(home).map(Path::to_owned).ok());
    below.map_or_else(|| path.to_owned(), |below| Path::new("~").join(below))
}

fn next_steps(directory: &Path, adoption: Option<&Adoption>) -> String {
    let enter = if directory == Path::new(".") {
        String::new()
    } else {
        format!("  cd {}\n", quoted(directory))
    };
    let steps = adoption.map_or(
        "  hushpipe secret set example/greeting\n  hushpipe check\n  hushpipe run\n",
        Adoption::next_steps,
    );
    format!("\nNext:\n{enter}{steps}")
}
