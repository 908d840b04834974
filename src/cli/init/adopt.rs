//! What `hushpipe init` does with the .env files of a project: the questions come first, then the
//! store and the manifest, and the files are touched last.

use std::path::{Path, PathBuf};

use super::super::Failure;
use super::manifest::OfEnvFiles;
use super::report::{Report, quoted, shown};
use super::{InitArgs, ask, project};
use crate::app::envfile::{self, DeliveryPlace, EnvFile, Taken, Takeover};
use crate::app::git::WorkTree;
use crate::app::sealed::SealedError;
use crate::model::Exit;

/// .env files whose values are to be moved.
pub struct Adoption {
    takeover: Takeover,
    place: DeliveryPlace,
    service: String,
    command: Option<&'static str>,
    unset: Vec<String>,
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
        let below = |path: &Path| super::below(path, directory);
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

/// Looks for .env files, and asks about them where somebody is there. Nothing is changed.
pub fn look(arguments: &InitArgs) -> Result<Found, Failure> {
    let named = !arguments.from_env.is_empty();
    let paths = if named {
        arguments.from_env.clone()
    } else {
        envfile::find(&arguments.directory).map_err(|error| {
            let directory = shown(&arguments.directory);
            Failure::text(
                Exit::Os,
                format!("cannot look into {directory}\n  cause: {error}"),
            )
        })?
    };
    let asks = !arguments.yes && ask::is_somebody_there();
    if paths.is_empty() {
        return Ok(Found::Nothing);
    }
    if !asks && !arguments.yes && !named {
        return Ok(Found::Left(paths));
    }
    let files = paths.iter().map(|path| EnvFile::read(path));
    let files = files
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failure(&error))?;
    let chosen = chosen(arguments, files, asks)?;
    if chosen.is_empty() {
        return Ok(Found::Left(paths));
    }
    Adoption::plan(arguments, chosen).map(|adoption| Found::Adopted(Box::new(adoption)))
}

/// What of each file is sealed; files that are left out or have no variables are not given.
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
        if variables.is_empty() {
            continue;
        }
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
        let place = DeliveryPlace::of(&service);
        if arguments.r#move && !place.is_ours {
            let text = "--move: a link would lead to /dev/shm, where any user of this host can put \
                        files: set XDG_RUNTIME_DIR to a directory of yours";
            return Err(Failure::text(Exit::Usage, text));
        }
        Ok(Self {
            place,
            command: project::command(&arguments.directory),
            takeover: Takeover::plan(chosen).map_err(|error| failure(&error))?,
            service,
            unset,
        })
    }

    /// The manifest.
    pub fn manifest(&self, store: &Path, identity: &Path) -> String {
        let of = OfEnvFiles {
            service: &self.service,
            store,
            identity,
            takeover: &self.takeover,
            place: &self.place,
            command: self.command,
            unset: &self.unset,
        };
        of.text()
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
        for taken in self.takeover.files() {
            self.settle(taken, arguments, report)?;
            let path = super::below(taken.file().path(), &arguments.directory);
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

    fn settle(
        &self,
        taken: &Taken,
        arguments: &InitArgs,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let (path, name) = (quoted(taken.file().path()), taken.file().name());
        let target = self.place.directory.join(&name);
        let target_word = quoted(&target);
        if self.place.is_ours && wants_link(taken, arguments)? {
            let replaced = taken.replace_by_link(&target);
            replaced.map_err(|error| failure(&error))?;
            report.line(&name, &format!("a link to {} now", shown(&target)));
            return Ok(());
        }
        let text = format!("STILL HAS THE VALUES in plain text. Delete it: rm {path}");
        report.line(&name, &text);
        if self.place.is_ours {
            report.more(&format!(
                "and lead its loader to the new one: ln -s {target_word} {path}"
            ));
            return Ok(());
        }
        report.more(&format!(
            "The program finds them in {}. Loaders take its path:",
            shown(&target)
        ));
        report.more("  node -r dotenv/config   DOTENV_CONFIG_PATH, which the manifest sets");
        report.more(&format!(
            "  python-dotenv           dotenv -f {target_word} run ..."
        ));
        report.more(&format!(
            "  docker compose          --env-file {target_word}"
        ));
        report.more(&format!(
            "  a shell                 set -a; . {target_word}; set +a"
        ));
        Ok(())
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
        "{path} still has the values. Overwrite it, and put a link to what the program will see in \
         its place?"
    );
    ask::yes(&question, true)
}

fn failure(error: &SealedError) -> Failure {
    Failure::new(error.exit(), error)
}
