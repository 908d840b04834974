//! Where a unit's file and its drop-ins are, systemd.unit(5). The files are read, not systemd asked:
//! so it works for an image, and in a container without systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

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

/// The drop-in that is hushpipe's own.
pub const DROP_IN: &str = "50-hushpipe.conf";

/// How many aliases of aliases are followed.
const ALIASES: usize = 16;

/// A service, as systemd would load it without hushpipe's drop-in.
#[derive(Debug)]
pub struct Unit {
    /// Its name: of an alias, that of the unit that it stands for.
    pub name: String,
    /// Its file, below the root.
    pub file: PathBuf,
    /// Its drop-ins, but for hushpipe's own.
    pub drop_ins: Vec<PathBuf>,
    /// All that they say.
    pub settings: Settings,
}

impl Unit {
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
pub struct Root(PathBuf);

impl Root {
    /// `/`, or that of an image.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A path of the image as one of this host.
    pub fn join(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// A path of this host as one of the image.
    pub fn within(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(&self.0).unwrap_or(path);
        Path::new("/").join(below)
    }

    /// Where hushpipe's drop-in goes.
    pub fn drop_in(&self, unit: &str) -> PathBuf {
        self.join(&format!("etc/systemd/system/{unit}.d/{DROP_IN}"))
    }

    /// Finds and reads a service; `.service` may be left out.
    pub fn find(&self, name: &str) -> Result<Unit, Fault> {
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
        let drop_ins = self.drop_ins(names);
        for path in &drop_ins {
            settings.add(&text(path)?);
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
            return self.0.join(below.collect::<PathBuf>());
        }
        link.parent().unwrap_or(&self.0).join(target)
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
                    if let Some(name) = name.filter(|name| is_conf && *name != DROP_IN) {
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
        let near = crate::manifest::nearest(stem, stems.iter().map(String::as_str))?;
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

fn full_name(name: &str) -> Result<String, Fault> {
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
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Image(tempfile::TempDir);

    impl Image {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, path: &str, text: &str) -> &Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn link(&self, path: &str, target: &str) -> &Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
            self
        }

        fn find(&self, name: &str) -> Result<Unit, Fault> {
            Root::new(self.0.path()).find(name)
        }

        fn start_of(&self, name: &str) -> String {
            let unit = self.find(name).unwrap();
            unit.settings.list("Service", "ExecStart").join(",")
        }
    }

    fn starts(text: &str) -> String {
        format!("[Service]\nExecStart={text}\n")
    }

    #[test]
    fn the_administrators_file_goes_before_the_packages() {
        let image = Image::new();
        image.write("lib/systemd/system/a.service", &starts("/lib"));
        assert_eq!(image.start_of("a"), "/lib");
        image.write("usr/lib/systemd/system/a.service", &starts("/usr"));
        assert_eq!(image.start_of("a.service"), "/usr");
        image.write("run/systemd/system/a.service", &starts("/run"));
        image.write("etc/systemd/system/a.service", &starts("/etc"));
        assert_eq!(image.start_of("a.service"), "/etc");
    }

    #[test]
    fn drop_ins_are_added_by_name_but_for_our_own() {
        let image = Image::new();
        image
            .write("lib/systemd/system/a-b.service", &starts("/a"))
            .write(
                "lib/systemd/system/a-b.service.d/20.conf",
                &starts("/lib20"),
            )
            .write(
                "etc/systemd/system/a-b.service.d/20.conf",
                &starts("/etc20"),
            )
            .write(
                "run/systemd/system/a-b.service.d/10.conf",
                &starts("/run10"),
            )
            .write(
                "etc/systemd/system/a-.service.d/30.conf",
                &starts("/prefix30"),
            )
            .write("etc/systemd/system/service.d/40.conf", &starts("/all40"))
            .write(
                "etc/systemd/system/a-b.service.d/50-hushpipe.conf",
                &starts("/ours"),
            )
            .write("etc/systemd/system/a-b.service.d/60.txt", &starts("/none"))
            .write(
                "lib/systemd/system/a-b.service.d/70.conf",
                &starts("/lib70"),
            )
            .link("etc/systemd/system/a-b.service.d/70.conf", "/dev/null");
        assert_eq!(image.start_of("a-b"), "/a,/run10,/etc20,/prefix30,/all40");
    }

    #[test]
    fn an_instance_is_found_by_its_template() {
        let image = Image::new();
        image
            .write("lib/systemd/system/a@.service", &starts("/a %i"))
            .write("etc/systemd/system/a@.service.d/1.conf", &starts("/all"))
            .write("etc/systemd/system/a@x.service.d/2.conf", &starts("/x"));
        assert_eq!(image.start_of("a@x"), "/a %i,/all,/x");
        assert_eq!(image.start_of("a@y"), "/a %i,/all");
        assert_eq!(image.start_of("a@"), "/a %i,/all");
        image.write("etc/systemd/system/a@x.service", &starts("/own"));
        assert_eq!(image.start_of("a@x"), "/own,/all,/x");
    }

    #[test]
    fn an_alias_stands_for_its_unit() {
        let image = Image::new();
        image
            .write("lib/systemd/system/real.service", &starts("/real"))
            .write(
                "etc/systemd/system/alias.service.d/1.conf",
                &starts("/more"),
            )
            .link(
                "etc/systemd/system/alias.service",
                "/lib/systemd/system/real.service",
            )
            .write("lib/systemd/system/t@.service", &starts("/t"))
            .link(
                "etc/systemd/system/u@.service",
                "/lib/systemd/system/t@.service",
            );
        let unit = image.find("alias").unwrap();
        assert_eq!(unit.name, "real.service");
        assert_eq!(image.start_of("alias"), "/real,/more");
        assert_eq!(image.find("u@x").unwrap().name, "t@x.service");
    }

    #[test]
    fn a_linked_unit_is_read_where_it_is() {
        let image = Image::new();
        image
            .write("opt/app/app.service", &starts("/app"))
            .link("etc/systemd/system/app.service", "/opt/app/app.service");
        assert_eq!(image.start_of("app"), "/app");
        image.link("etc/systemd/system/gone.service", "/opt/gone/gone.service");
        assert!(matches!(image.find("gone"), Err(Fault::Missing { .. })));
    }

    #[test]
    fn what_cannot_be_wrapped_is_told_apart() {
        let image = Image::new();
        image
            .link("etc/systemd/system/null.service", "/dev/null")
            .write("lib/systemd/system/null.service", &starts("/a"))
            .write("etc/systemd/system/empty.service", "")
            .write("run/systemd/transient/run-1.service", &starts("/a"))
            .write("run/systemd/generator.late/sysv.service", &starts("/a"))
            .write("lib/systemd/system/nginx.service", &starts("/a"));
        assert!(matches!(image.find("null"), Err(Fault::Masked { .. })));
        assert!(matches!(image.find("empty"), Err(Fault::Masked { .. })));
        assert!(matches!(image.find("run-1"), Err(Fault::Transient(_))));
        assert!(image.find("sysv").unwrap().is_generated());
        assert!(!image.find("nginx").unwrap().is_generated());
        match image.find("ngnix") {
            Err(Fault::Missing { near, .. }) => assert_eq!(near.as_deref(), Some("nginx.service")),
            other => panic!("{other:?}"),
        }
        for name in [
            "",
            "a/b",
            "../a",
            "a b",
            "a.socket",
            ".service",
            "@.service",
            "a\n",
        ] {
            assert!(matches!(image.find(name), Err(Fault::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let image = Image::new();
        image
            .link("etc/systemd/system/a.service", "b.service")
            .link("etc/systemd/system/b.service", "a.service");
        assert!(matches!(image.find("a"), Err(Fault::Missing { .. })));
    }
}
