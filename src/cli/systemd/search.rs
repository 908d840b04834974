//! Where a unit's file and its drop-ins are, systemd.unit(5). The files are read, not systemd asked:
//! so it works for an image, and in a container without systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::syntax::Settings;

/// Where systemd looks for the units of the system, first come first served.
const PLACES: [&str; 13] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/system.attached",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
];

/// The drop-ins that are hushpipe's own. systemd applies drop-ins in the order of their names: the
/// second one is for units where another that comes after the first would take hushpipe out again,
/// such as the override.conf of `systemctl edit`.
pub const DROP_INS: [&str; 2] = ["50-hushpipe.conf", "zz-hushpipe.conf"];

/// How many aliases of aliases are followed.
const ALIASES: usize = 16;

/// Where generators write, systemd.generator(7).
const GENERATED: [&str; 3] = [
    "run/systemd/generator.early",
    "run/systemd/generator",
    "run/systemd/generator.late",
];

/// How long generators may take, and how often is looked whether they are done.
const GENERATORS: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A service, as systemd would load it without hushpipe's drop-in.
#[derive(Debug)]
pub struct Unit {
    /// Its name: of an alias, that of the unit that it stands for.
    pub name: String,
    /// Its file, below the root.
    pub file: PathBuf,
    /// Its drop-ins, but for hushpipe's own, in the order in which systemd applies them.
    pub drop_ins: Vec<DropIn>,
    /// All that they say.
    pub settings: Settings,
}

/// A drop-in of a unit.
#[derive(Debug)]
pub struct DropIn {
    /// Its file, below the root.
    pub path: PathBuf,
    settings: Settings,
}

impl Unit {
    /// A drop-in that is applied after one of this name and sets something that is set by its text.
    pub fn overruling(&self, name: &str, text: &str) -> Option<&Path> {
        let mut ours = Settings::default();
        ours.add(text);
        let after = |other: &&DropIn| other.path.file_name().is_some_and(|other| other > name);
        let mut after = self.drop_ins.iter().filter(after);
        let found = after.find(|other| other.settings.sets_any_of(&ours));
        found.map(|other| other.path.as_path())
    }

    /// Made by a generator, as from an init script or /etc/fstab.
    pub fn is_generated(&self) -> bool {
        let within = |place: &str| {
            let mut parts = self.file.components().rev().skip(1);
            parts.next().is_some_and(|part| part.as_os_str() == place)
        };
        within("generator") || within("generator.early") || within("generator.late")
    }
}

/// Why there is nothing to wrap.
#[derive(Debug)]
pub enum Fault {
    /// Not the name of a service.
    Name(String),
    /// There is none.
    Missing {
        /// What was looked for.
        name: String,
        /// What is there and has a name like it.
        near: Option<String>,
    },
    /// `systemctl mask`.
    Masked {
        /// Which.
        name: String,
        /// By which file.
        by: PathBuf,
    },
    /// By systemd-run(1): gone when it stops.
    Transient(String),
    /// A file cannot be read, or is no text.
    Unreadable(PathBuf, io::Error),
}

/// Below which directory everything is looked for.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
    /// Of a system that runs, not of an image.
    is_live: bool,
}

impl Root {
    /// `/`, or that of an image.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            is_live: path == Path::new("/"),
        }
    }

    /// A path of the image as one of this host.
    pub fn join(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// A path of this host as one of the image.
    pub fn within(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(&self.path).unwrap_or(path);
        Path::new("/").join(below)
    }

    /// Where a drop-in of hushpipe's goes.
    pub fn drop_in(&self, unit: &str, name: &str) -> PathBuf {
        self.join(&format!("etc/systemd/system/{unit}.d/{name}"))
    }

    /// Which drop-ins of hushpipe's are there.
    pub fn own(&self, unit: &str) -> Vec<PathBuf> {
        let paths = DROP_INS.map(|name| self.drop_in(unit, name));
        paths.into_iter().filter(|path| path.exists()).collect()
    }

    /// Finds and reads a service; `.service` may be left out. `systemctl daemon-reload` takes all
    /// generated units away and makes them anew: what is missing is looked for until that is over.
    pub fn find(&self, name: &str) -> Result<Unit, Fault> {
        let patience = Instant::now() + GENERATORS;
        let mut calm = 0;
        loop {
            let found = self.look_for(name);
            let is_gone = match &found {
                Err(Fault::Missing { .. }) => true,
                Err(Fault::Unreadable(_, error)) => error.kind() == io::ErrorKind::NotFound,
                _ => false,
            };
            // Twice without a reload in sight: one may have ended during the first look.
            if !is_gone || !self.is_live || calm == 2 || Instant::now() > patience {
                return found;
            }
            calm = if self.is_generating() { 0 } else { calm + 1 };
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether generators are at work: systemd makes these directories before, and removes the empty
    /// ones after.
    fn is_generating(&self) -> bool {
        GENERATED.iter().any(|place| {
            fs::read_dir(self.join(place)).is_ok_and(|mut entries| entries.next().is_none())
        })
    }

    fn look_for(&self, name: &str) -> Result<Unit, Fault> {
        let mut name = full_name(name)?;
        let mut names = vec![name.clone()];
        for _ in 0..ALIASES {
            match self.file(&name)? {
                Looked::File(file) => return self.read(name, &names, file),
                Looked::Alias(other) => {
                    name = other;
                    names.push(name.clone());
                }
                Looked::Nothing => break,
            }
        }
        let near = self.near(&name);
        Err(Fault::Missing { name, near })
    }

    fn read(&self, name: String, names: &[String], file: PathBuf) -> Result<Unit, Fault> {
        if file.starts_with(self.join("run/systemd/transient")) {
            return Err(Fault::Transient(name));
        }
        let mut settings = Settings::default();
        settings.add(&text(&file)?);
        let mut drop_ins = Vec::new();
        for path in self.drop_ins(names) {
            let text = text(&path)?;
            settings.add(&text);
            let mut alone = Settings::default();
            alone.add(&text);
            drop_ins.push(DropIn {
                path,
                settings: alone,
            });
        }
        Ok(Unit {
            name,
            file,
            drop_ins,
            settings,
        })
    }

    /// The file of a unit, or of the template that it is an instance of.
    fn file(&self, name: &str) -> Result<Looked, Fault> {
        for candidate in [Some(name.to_owned()), template(name)]
            .into_iter()
            .flatten()
        {
            for place in PLACES {
                let path = self.join(place).join(&candidate);
                match self.look(&path, name)? {
                    Looked::Nothing => {}
                    found => return Ok(found),
                }
            }
        }
        Ok(Looked::Nothing)
    }

    fn look(&self, path: &Path, name: &str) -> Result<Looked, Fault> {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return Ok(Looked::Nothing);
        };
        if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(|error| unreadable(path, error))?;
            if target == Path::new("/dev/null") {
                return Err(masked(name, path));
            }
            let other = target.file_name().and_then(|name| name.to_str());
            if let Some(other) = other.filter(|other| path.file_name() != Some((*other).as_ref())) {
                return Ok(Looked::Alias(instance_of(other, name)));
            }
            let file = self.resolve(path, &target);
            return Ok(if file.is_file() {
                Looked::File(file)
            } else {
                Looked::Nothing
            });
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(masked(name, path));
        }
        Ok(if metadata.is_file() {
            Looked::File(path.to_owned())
        } else {
            Looked::Nothing
        })
    }

    /// Where a link leads: an absolute target starts at the root.
    fn resolve(&self, link: &Path, target: &Path) -> PathBuf {
        if target.is_absolute() {
            let below = target
                .components()
                .filter(|part| *part != Component::RootDir);
            return self.path.join(below.collect::<PathBuf>());
        }
        link.parent().unwrap_or(&self.path).join(target)
    }

    /// The drop-ins of all names in the order of their own names. Of two with one name, the more
    /// specific and the more local one counts.
    fn drop_ins(&self, names: &[String]) -> Vec<PathBuf> {
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in names.iter().flat_map(|name| directories(name)) {
            for place in PLACES {
                let Ok(entries) = fs::read_dir(self.join(place).join(&directory)) else {
                    continue;
                };
                for path in entries.flatten().map(|entry| entry.path()) {
                    let is_conf = path
                        .extension()
                        .is_some_and(|extension| extension == "conf");
                    let name = path.file_name().and_then(|name| name.to_str());
                    if let Some(name) = name.filter(|name| is_conf && !DROP_INS.contains(name)) {
                        found.entry(name.to_owned()).or_insert(path);
                    }
                }
            }
        }
        // One that leads to /dev/null takes away another of its name.
        let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_file());
        found.into_values().filter(is_file).collect()
    }

    /// The service that is there with the name most like this one.
    fn near(&self, name: &str) -> Option<String> {
        let mut stems = BTreeSet::new();
        for place in PLACES {
            let entries = fs::read_dir(self.join(place)).into_iter().flatten();
            let names = entries.flatten().map(|entry| entry.file_name());
            stems.extend(names.filter_map(|name| {
                let stem = name.to_str()?.strip_suffix(".service")?;
                Some(stem.to_owned())
            }));
        }
        let stem = name.strip_suffix(".service").unwrap_or(name);
        let near = crate::model::nearest::nearest(stem, stems.iter().map(String::as_str))?;
        Some(format!("{near}.service"))
    }
}

/// What stands at a path.
enum Looked {
    File(PathBuf),
    /// A link to a unit of another name.
    Alias(String),
    Nothing,
}

/// The name with its suffix.
pub fn full_name(name: &str) -> Result<String, Fault> {
    let is_valid = |name: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        !name.is_empty() && name.len() < 256 && name.bytes().all(known) && !name.starts_with('.')
    };
    let suffixes = [
        ".socket",
        ".timer",
        ".target",
        ".mount",
        ".path",
        ".slice",
        ".scope",
        ".device",
        ".swap",
        ".automount",
    ];
    if !is_valid(name) || suffixes.iter().any(|suffix| name.ends_with(suffix)) {
        return Err(Fault::Name(name.to_owned()));
    }
    match name.strip_suffix(".service") {
        Some("" | "@") => Err(Fault::Name(name.to_owned())),
        Some(_) => Ok(name.to_owned()),
        None => Ok(format!("{name}.service")),
    }
}

/// `foo@.service` of `foo@bar.service`.
fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let instance = rest.strip_suffix(".service")?;
    (!instance.is_empty()).then(|| format!("{prefix}@.service"))
}

/// An instance of an alias' template is the same instance of the template that it stands for.
fn instance_of(other: &str, name: &str) -> String {
    match (other.split_once("@."), name.split_once('@')) {
        (Some((prefix, suffix)), Some((_, rest))) if !rest.starts_with('.') => {
            let instance = rest.strip_suffix(".service").unwrap_or(rest);
            format!("{prefix}@{instance}.{suffix}")
        }
        _ => other.to_owned(),
    }
}

/// `foo-bar@x.service.d`, `foo-bar@.service.d`, `foo-.service.d`, `service.d`: the most specific first.
fn directories(name: &str) -> Vec<String> {
    let mut names = vec![format!("{name}.d")];
    names.extend(template(name).map(|template| format!("{template}.d")));
    let stem = name.strip_suffix(".service").unwrap_or(name);
    let stem = stem.split('@').next().unwrap_or(stem);
    let dashes: Vec<usize> = stem.match_indices('-').map(|(at, _)| at).collect();
    let prefixes = dashes.into_iter().rev().filter(|at| at + 1 < stem.len());
    names.extend(prefixes.map(|at| format!("{}.service.d", &stem[..=at])));
    names.push("service.d".to_owned());
    names
}

fn masked(name: &str, path: &Path) -> Fault {
    Fault::Masked {
        name: name.to_owned(),
        by: path.to_owned(),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Fault {
    Fault::Unreadable(path.to_owned(), error)
}

fn text(path: &Path) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(|error| unreadable(path, error))
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
