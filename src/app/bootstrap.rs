//! What hushpipe itself reads secrets with: identities, tokens, whole stores. They are not the
//! program's, which runs as their user where there is no `run.user`. In a mount namespace of its own it
//! sees nothing there; where it has none, hushpipe says what it can read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::delivery::{self, Layout};
use crate::model::{Plan, StoreKind, VaultStore};
use crate::stores::sealed::memory_directory;
use crate::supervisor::spawn::Launch;
use crate::sys::child::Cover;
use crate::sys::filesystem::settled;

/// Where Kubernetes puts a pod's token, which is the program's as well.
const OF_THE_POD: [&str; 2] = [
    "/var/run/secrets/kubernetes.io",
    "/run/secrets/kubernetes.io",
];

/// What is to be kept from a program.
#[derive(Debug, Default)]
pub struct Bootstrap {
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    /// What hushpipe remembers of sealed stores: who can remove it can put an older store back.
    memory: Option<PathBuf>,
    /// What stays in sight, and why.
    visible: Vec<(PathBuf, &'static str)>,
    /// A store's tool has credentials in its environment.
    tools: bool,
}

/// What a program needs to see.
struct Needed<'a> {
    plan: &'a Plan,
    program: PathBuf,
    cwd: Option<PathBuf>,
    deliveries: Vec<PathBuf>,
}

impl Bootstrap {
    /// Of a plan's stores, as they are now. What is not there needs no cover.
    pub fn of(plan: &Plan, launch: &Launch, layout: &Layout) -> Self {
        let cwd = launch.cwd().or_else(|| std::env::current_dir().ok());
        let needed = Needed {
            plan,
            program: settled(launch.program()),
            cwd: cwd.as_deref().map(settled),
            deliveries: layout
                .directories()
                .iter()
                .map(|path| settled(path))
                .collect(),
        };
        let mut found = Self::default();
        for store in plan.stores.values() {
            match &store.kind {
                StoreKind::Sealed(sealed) => {
                    // What is sealed may be read: the identity opens it. In a work tree git would take
                    // the files for removed, and commit that.
                    if !is_in_work_tree(&sealed.path) {
                        found.directory(&sealed.path, &needed, false);
                    }
                    found.file(&sealed.identity_file, &needed);
                    found.memory(&needed);
                }
                StoreKind::Directory(directory) => found.directory(&directory.path, &needed, true),
                StoreKind::Command(command) => found.tools |= !command.env.is_empty(),
                StoreKind::Vault(vault) => {
                    for file in credentials(vault) {
                        found.file(file, &needed);
                    }
                }
            }
        }
        for secret in plan.secrets.values() {
            let request = secret.source.request.as_ref();
            if let Some(file) = request.and_then(|request| request.token_file.as_ref()) {
                found.file(file, &needed);
            }
        }
        found.without_doubles()
    }

    /// Directories that the program sees empty.
    pub fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.directories.iter().chain(&self.memory)
    }

    /// Files that it sees empty.
    pub fn covers(&self) -> Vec<Cover> {
        self.files
            .iter()
            .filter_map(|file| Cover::of(file))
            .collect()
    }

    /// A warning of what stays in sight in the program's own namespace.
    pub fn in_sight(&self) -> Option<String> {
        let (path, why) = self.visible.first()?;
        Some(format!(
            "the program can read the store {}: {why}",
            path.display()
        ))
    }

    /// A warning of everything, for a program without a namespace of its own.
    pub fn open(&self, why: &str) -> Option<String> {
        let visible = self.visible.iter().map(|(path, _)| path);
        let paths: BTreeSet<String> = self
            .directories
            .iter()
            .chain(&self.files)
            .chain(visible)
            .map(|path| path.display().to_string())
            .collect();
        let mut what: Vec<String> = paths.into_iter().collect();
        if self.tools {
            what.push("the environment of the stores' tools".to_owned());
        }
        (!what.is_empty()).then(|| {
            format!(
                "the program can read what hushpipe reads secrets with ({}): {why}; a user of its \
                 own (`run.user`) cannot",
                what.join(", ")
            )
        })
    }

    fn directory(&mut self, path: &Path, needed: &Needed<'_>, may_be_handed_on: bool) {
        let Ok(directory) = path.canonicalize() else {
            return;
        };
        if !directory.is_dir() {
            return;
        }
        let named = may_be_handed_on && (needed.names(path) || needed.names(&directory));
        let why = if named {
            Some("`run.command` or `run.env.set` names it")
        } else {
            needed.lies_in(&directory)
        };
        match why {
            Some(why) => self.visible.push((directory, why)),
            None => drop(self.directories.insert(directory)),
        }
    }

    fn memory(&mut self, needed: &Needed<'_>) {
        let memory = memory_directory().and_then(|path| path.canonicalize().ok());
        self.memory = memory.filter(|path| path.is_dir() && needed.lies_in(path).is_none());
    }

    fn file(&mut self, path: &Path, needed: &Needed<'_>) {
        let Ok(file) = path.canonicalize() else {
            return;
        };
        if file == needed.program {
            return;
        }
        // Files there come and go, and a cover goes with the file that it is on.
        let own = file
            .parent()
            .filter(|parent| is_own(parent) && needed.lies_in(parent).is_none());
        match own {
            Some(own) => drop(self.directories.insert(own.to_owned())),
            None => drop(self.files.insert(file)),
        }
    }

    /// What lies in a directory that is covered needs no cover of its own.
    fn without_doubles(mut self) -> Self {
        let all = self.directories.clone();
        let outer = |path: &PathBuf| !all.iter().any(|one| path != one && path.starts_with(one));
        self.directories.retain(outer);
        self.files.retain(outer);
        self.memory = self.memory.filter(outer);
        self
    }
}

impl Needed<'_> {
    /// Why a directory cannot be covered.
    fn lies_in(&self, directory: &Path) -> Option<&'static str> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        if self.program.starts_with(directory) {
            Some("the program lies in it")
        } else if self
            .cwd
            .as_ref()
            .is_some_and(|cwd| cwd.starts_with(directory))
        {
            Some("it holds the program's working directory")
        } else if self
            .deliveries
            .iter()
            .any(|other| other.starts_with(directory) || directory.starts_with(other))
        {
            Some("it holds a delivery directory")
        } else if delivery::is_for_others(directory) || home.as_deref() == Some(directory) {
            Some("programs need what else is in it")
        } else {
            None
        }
    }

    /// Whether an argument or a variable of the manifest names this very directory: it is handed on.
    fn names(&self, directory: &Path) -> bool {
        let Some(directory) = directory.to_str() else {
            return false;
        };
        let run = &self.plan.run;
        let ends = |rest: &str| rest.is_empty() || rest == "/" || rest.starts_with([':', ',', ' ']);
        let arguments = run.shown();
        let mut all = arguments.iter().skip(1).chain(run.env.set.values());
        all.any(|text| {
            text.match_indices(directory)
                .any(|(at, found)| ends(&text[at + found.len()..]))
        })
    }
}

/// Whether it is the directory of hushpipe's own files, in a user's configuration or the host's.
fn is_own(directory: &Path) -> bool {
    let outer = directory.parent();
    let known = outer.is_some_and(|outer| outer.ends_with(".config") || outer == Path::new("/etc"));
    directory.ends_with("hushpipe") && known
}

/// Whether a directory belongs to a git work tree.
fn is_in_work_tree(directory: &Path) -> bool {
    let found = directory.canonicalize();
    found.is_ok_and(|directory| {
        let mut above = directory.ancestors();
        above.any(|one| one.join(".git").symlink_metadata().is_ok())
    })
}

/// Files that a vault store logs in with.
fn credentials(vault: &VaultStore) -> Vec<&Path> {
    let mut files: Vec<&Path> = vault
        .auth
        .files()
        .into_iter()
        .map(PathBuf::as_path)
        .collect();
    files.extend(vault.tls.client.as_ref().map(|client| client.key.as_path()));
    files.retain(|file| !OF_THE_POD.iter().any(|pod| file.starts_with(pod)));
    files
}
