//! What `hushpipe init` does with the .env files of a project: the questions come first, then the
//! store and the manifest, and the files are touched last.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::Failure;
use super::arguments::InitArgs;
use super::manifest::{self, OfEnvFiles};
use super::report::{Report, quoted, shown};
use super::{ask, project};
use crate::app::envfile::{self, EnvFile, Taken, Takeover};
use crate::app::git::WorkTree;
use crate::app::sealed::SealedError;
use crate::model::Exit;

/// .env files whose values are to be moved.
pub struct Adoption {
    takeover: Takeover,
    directory: PathBuf,
    service: String,
    command: Option<&'static str>,
    unset: Vec<String>,
    /// Which files are removed, so that a link can lead to what is delivered.
    links: Vec<bool>,
}

/// What the report says of a file, after its name.
type Note = (String, String);

/// What was found, and what the report says of files beside it.
pub struct Looked {
    pub found: Found,
    pub notes: Vec<Note>,
}

/// What was found, and what is wanted of it.
pub enum Found {
    /// No .env file.
    Nothing,
    /// Files that stay as they are: nobody was there to be asked, or they were not to be moved.
    Left(Vec<PathBuf>),
    /// Some are moved.
    Adopted(Box<Adoption>),
}

impl Found {
    /// The files' paths relative to a directory, of those that lie in it.
    pub fn paths_in(&self, directory: &Path) -> Vec<PathBuf> {
        let below = |path: &Path| project::below(path, directory);
        match self {
            Self::Nothing => Vec::new(),
            Self::Left(left) => left.iter().filter_map(|path| below(path)).collect(),
            Self::Adopted(adoption) => {
                let files = adoption.takeover.files().iter();
                files
                    .filter_map(|taken| below(taken.file().path()))
                    .collect()
            }
        }
    }
}

/// Looks for .env files, and asks everything about them where somebody is there. Nothing is changed: who
/// interrupts a question finds everything as it was.
pub fn look(arguments: &InitArgs) -> Result<Looked, Failure> {
    let (paths, mut notes) = paths(arguments)?;
    let asks = asks(arguments);
    let found = match () {
        () if paths.is_empty() => Some(Found::Nothing),
        () if !asks && !arguments.yes && arguments.from_env.is_empty() => {
            Some(Found::Left(paths.clone()))
        }
        () => None,
    };
    if let Some(found) = found {
        return Ok(Looked { found, notes });
    }
    let (files, empty): (Vec<_>, Vec<_>) = read(&paths)?
        .into_iter()
        .partition(|file| !file.variables().is_empty());
    for file in &empty {
        let ignored = if arguments.r#move {
            ", and --move does nothing with it"
        } else {
            ""
        };
        let text = format!("has no variables: it stays as it is{ignored}");
        notes.push((shown(file.path()), text));
    }
    let chosen = chosen(arguments, files, asks)?;
    if chosen.is_empty() {
        let is_empty = |path: &PathBuf| empty.iter().any(|file| file.path() == path);
        let left = paths.into_iter().filter(|path| !is_empty(path)).collect();
        return Ok(Looked {
            found: Found::Left(left),
            notes,
        });
    }
    let mut adoption = Adoption::plan(arguments, chosen)?;
    adoption.choose_links(arguments)?;
    Ok(Looked {
        found: Found::Adopted(Box::new(adoption)),
        notes,
    })
}

/// The files whose values an earlier init moved to the store and into this manifest, and which have them
/// still: it was interrupted, or the files were kept. `None`: this manifest is another one.
pub fn look_again(arguments: &InitArgs, manifest: &str) -> Result<Option<Looked>, Failure> {
    let (paths, notes) = paths(arguments)?;
    let all = |file: EnvFile| {
        let all = vec![true; file.variables().len()];
        (file, all)
    };
    let Ok(files) = read(&paths) else {
        return Ok(None);
    };
    let files = files
        .into_iter()
        .filter(|file| !file.variables().is_empty());
    let Ok(every) = Takeover::plan(files.map(all).collect()) else {
        return Ok(None);
    };
    let is_sealed = |secret: Option<(&str, &str)>| {
        secret.is_some_and(|(name, key)| manifest::has_secret(manifest, name, key))
    };
    let chosen: Vec<Vec<bool>> = every
        .files()
        .iter()
        .map(|taken| taken.secrets().map(is_sealed).collect())
        .collect();
    let files = every.into_files().into_iter().zip(chosen).collect();
    let mut adoption = Adoption::plan(arguments, files)?;
    if adoption.takeover.secrets().next().is_none() || !adoption.is_in(manifest) {
        return Ok(None);
    }
    adoption.choose_links(arguments)?;
    if !asks(arguments) && !arguments.r#move {
        let path = shown(adoption.takeover.files()[0].file().path());
        let text = format!(
            "{path} STILL HAS THE VALUES in plain text, which an earlier init moved to the store: \
             `hushpipe init --move` removes it"
        );
        return Err(Failure::text(Exit::Usage, text));
    }
    Ok(Some(Looked {
        found: Found::Adopted(Box::new(adoption)),
        notes,
    }))
}

fn asks(arguments: &InitArgs) -> bool {
    !arguments.yes && ask::is_somebody_there()
}

/// The files that were named, or that are there; and what is no file, for the report.
fn paths(arguments: &InitArgs) -> Result<(Vec<PathBuf>, Vec<Note>), Failure> {
    if !arguments.from_env.is_empty() {
        return Ok((arguments.from_env.clone(), Vec::new()));
    }
    let found = envfile::find(&arguments.directory).map_err(|error| {
        let directory = shown(&arguments.directory);
        Failure::text(
            Exit::Os,
            format!("cannot look into {directory}\n  cause: {error}"),
        )
    })?;
    let note = |(path, what): &(PathBuf, &str)| (shown(path), format!("is {what}: skipped"));
    Ok((found.files, found.skipped.iter().map(note).collect()))
}

fn read(paths: &[PathBuf]) -> Result<Vec<EnvFile>, Failure> {
    let files = paths.iter().map(|path| EnvFile::read(path));
    files
        .collect::<Result<_, _>>()
        .map_err(|error| failure(&error))
}

/// What of each file is sealed; files that are left out are not given.
fn chosen(
    arguments: &InitArgs,
    files: Vec<EnvFile>,
    asks: bool,
) -> Result<Vec<(EnvFile, Vec<bool>)>, Failure> {
    let known = |name: &str| {
        let mut all = files.iter().flat_map(EnvFile::variables);
        all.any(|variable| variable.name == name)
    };
    if let Some(unknown) = arguments.plain.iter().find(|name| !known(name)) {
        let text = format!("--plain {unknown}: no .env file has this variable");
        return Err(Failure::text(Exit::Usage, text));
    }
    let mut chosen = Vec::new();
    for file in files {
        let variables = file.variables();
        let is_plain = |name: &str| arguments.plain.iter().any(|plain| plain == name);
        let sealed = if asks && arguments.plain.is_empty() {
            ask::which(&file)?
        } else {
            let sealed = |variable| ask::advised(variable) && !is_plain(variable.name);
            Some(variables.iter().map(sealed).collect())
        };
        if let Some(sealed) = sealed {
            chosen.push((file, sealed));
        }
    }
    Ok(chosen)
}

impl Adoption {
    fn plan(arguments: &InitArgs, chosen: Vec<(EnvFile, Vec<bool>)>) -> Result<Self, Failure> {
        let mut unset = Vec::new();
        for (file, sealed) in &chosen {
            let variables = file.variables().into_iter().zip(sealed);
            for (variable, _) in variables.filter(|(_, sealed)| **sealed) {
                unset.extend(variable.exported);
            }
        }
        unset.sort();
        unset.dedup();
        let service = project::service(&arguments.directory);
        Ok(Self {
            directory: arguments.directory.clone(),
            command: project::command(&arguments.directory),
            takeover: Takeover::plan(chosen).map_err(|error| failure(&error))?,
            service,
            unset,
            links: Vec::new(),
        })
    }

    fn choose_links(&mut self, arguments: &InitArgs) -> Result<(), Failure> {
        let wants = |taken| wants_link(taken, arguments);
        let links: Result<_, Failure> = self.takeover.files().iter().map(wants).collect();
        self.links = links?;
        Ok(())
    }

    /// The manifest.
    pub fn manifest(&self, store: &Path, identity: &Path) -> String {
        self.texts(store, identity).text()
    }

    fn is_in(&self, manifest: &str) -> bool {
        self.texts(Path::new(""), Path::new("")).is_in(manifest)
    }

    fn texts<'a>(&'a self, store: &'a Path, identity: &'a Path) -> OfEnvFiles<'a> {
        OfEnvFiles {
            service: &self.service,
            store,
            identity,
            takeover: &self.takeover,
            links: &self.links,
            directory: &self.directory,
            command: self.command,
            unset: &self.unset,
        }
    }

    /// The names in the store of all that is sealed.
    pub fn keys(&self) -> BTreeSet<String> {
        let takeover = &self.takeover;
        let names = takeover.secrets().chain(takeover.written());
        names.map(|(_, key)| key.to_owned()).collect()
    }

    /// Seals the values in a store that is there.
    pub fn seal(&self, store: &Path, identity: &Path) -> Result<(), Failure> {
        self.takeover
            .seal(store, identity)
            .map_err(|error| failure(&error))
    }

    /// What comes next.
    pub const fn next_steps(&self) -> &'static str {
        if self.command.is_some() {
            "  hushpipe check\n  hushpipe run\n"
        } else {
            "  hushpipe check -- your program\n  hushpipe run -- your program\n"
        }
    }

    /// Puts a link in the place of each file, where that is wanted and safe; tells what became of it.
    pub fn settle_files(
        &self,
        arguments: &InitArgs,
        tree: Option<&WorkTree>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        for (taken, link) in self.takeover.files().iter().zip(&self.links) {
            Self::settle(taken, *link, report)?;
            let path = project::below(taken.file().path(), &arguments.directory);
            let tracked = path.filter(|path| tree.is_some_and(|tree| tree.tracks(path)));
            if let Some(path) = tracked {
                report.more(&format!(
                    "git has it, and its history the values: `git rm --cached {}`, and change them",
                    quoted(&path)
                ));
            }
            let as_written = &taken.lines().as_written;
            if !as_written.is_empty() {
                report.more(&format!(
                    "Loaders differ on how they read {}: the file has such lines as they were written, \
                     until you set a new value",
                    as_written.join(", ")
                ));
            }
        }
        Ok(())
    }

    fn settle(taken: &Taken, link: bool, report: &mut Report) -> Result<(), Failure> {
        let (path, name) = (quoted(taken.file().path()), taken.file().name());
        if link {
            taken.remove().map_err(|error| failure(&error))?;
            report.line(
                &name,
                "removed: while the program runs, a link leads to what it gets",
            );
            return Ok(());
        }
        let text = format!("STILL HAS THE VALUES in plain text. Delete it: rm {path}");
        report.line(&name, &text);
        report.more("and remove the `# ` before `link:` in hushpipe.yaml: loaders then find it where it was.");
        report.more("Until then they take a path, which is {{ files }}/NAME in the manifest:");
        report.more("  node -r dotenv/config   DOTENV_CONFIG_PATH, which the manifest sets");
        let shown = format!("{{{{ files }}}}/{name}");
        report.more(&format!(
            "  hushpipe run -- dotenv -f '{shown}' run ...   (python-dotenv)"
        ));
        report.more(&format!(
            "  hushpipe run -- docker compose --env-file '{shown}' up"
        ));
        report.more(
            "Not with `set -a` in a shell: the environment of every process started later would show \
             them.",
        );
        Ok(())
    }

    /// An earlier manifest, with the links of the files that are removed now.
    pub fn with_links(&self, manifest: &str) -> String {
        let texts = self.texts(Path::new(""), Path::new(""));
        let mut manifest = manifest.to_owned();
        for (taken, link) in self.takeover.files().iter().zip(&self.links) {
            if *link {
                manifest = manifest.replace(&texts.link(taken, false), &texts.link(taken, true));
            }
        }
        manifest
    }

    /// Tells what was sealed.
    pub fn tell(&self, report: &mut Report) {
        for taken in self.takeover.files() {
            let (count, path) = (taken.count(), shown(taken.file().path()));
            let plural = if count == 1 { "" } else { "s" };
            report.line("sealed", &format!("{count} value{plural} of {path}"));
        }
    }
}

fn wants_link(taken: &Taken, arguments: &InitArgs) -> Result<bool, Failure> {
    if arguments.r#move || arguments.yes || !ask::is_somebody_there() {
        return Ok(arguments.r#move);
    }
    let path = shown(taken.file().path());
    let question = format!(
        "Then overwrite and remove {path}, which has the values in plain text? The program finds its own \
         in the same place."
    );
    ask::yes(&question, true)
}

fn failure(error: &SealedError) -> Failure {
    Failure::new(error.exit(), error)
}
