//! The facts that policy decides on, of a launch or a command. The caller can choose none of them, but
//! for the reason. Nothing here is gathered on a host without a site.

use std::io::IsTerminal as _;
use std::path::Path;

use sha2::Digest as _;

use crate::model::query::{Facts, Manifest, Person, Program, Shown};
use crate::model::{Plan, Site};
use crate::supervisor::spawn::{Judged, Launch};
use crate::sys::users::Database;
use crate::sys::{cgroup, host, namespaces, process};

/// Of a launch that is settled. The reason is for the caller to add.
pub fn of_launch(plan: &Plan, site: &Site, launch: &Launch) -> Facts {
    let users = Database::host();
    let (uid, _) = launch.owner();
    Facts {
        program: Program {
            argv0: argv0(launch),
            ..launch.judged().map_or_else(
                || Program {
                    path: text(launch.program()),
                    ..Program::default()
                },
                |judged| Program {
                    pinned: judged.pinned
                        && plan.run.env.loading.as_ref().is_none_or(Vec::is_empty)
                        && (judged.interpreter.is_none() || has_own_home(launch, &users)),
                    ..program(judged)
                },
            )
        },
        arguments_sha256: arguments(launch),
        shown: shown(launch),
        user: users.name_of_user(uid),
        uid,
        ..around(Some(plan), site)
    }
}

/// Of a command of this process's user.
pub fn of_command(plan: Option<&Plan>, site: &Site) -> Facts {
    let uid = own_uid();
    Facts {
        user: Database::host().name_of_user(uid),
        uid,
        ..around(plan, site)
    }
}

/// Who runs this process: by its real uid.
pub fn person() -> Person {
    Person {
        interactive: std::io::stdin().is_terminal(),
        ..person_of(own_uid())
    }
}

fn person_of(uid: u32) -> Person {
    let users = Database::host();
    let user = users.user(&uid.to_string()).ok();
    let groups = user.and_then(|user| users.groups_of(&user).ok());
    let groups = groups.unwrap_or_default();
    let names = groups.into_iter().map(|gid| users.name_of_group(gid));
    Person {
        name: users.name_of_user(uid),
        uid,
        groups: names.collect(),
        interactive: false,
    }
}

/// What is the same for all that this process does.
fn around(plan: Option<&Plan>, site: &Site) -> Facts {
    let place = cgroup::own();
    let of_plan = || plan.and_then(|plan| plan.environment.clone());
    Facts {
        login_uid: process::login_uid(process::id()).map_or(-1, i64::from),
        unit: place.unit,
        container: place.container,
        pod: place.pod,
        host: host::name(),
        in_host_namespaces: namespaces::are_first(),
        environment: site
            .environment
            .clone()
            .or_else(of_plan)
            .unwrap_or_default(),
        site: site.labels.clone(),
        manifest: plan.map(manifest).unwrap_or_default(),
        terminal: std::io::stdin().is_terminal(),
        ..Facts::default()
    }
}

fn manifest(plan: &Plan) -> Manifest {
    let digest = plan.manifest_sha256;
    let variables = plan.manifest_variables.as_ref();
    Manifest {
        path: plan.manifest_file.as_deref().map(text).unwrap_or_default(),
        sha256: digest.map(|digest| digest.to_string()).unwrap_or_default(),
        variables: variables.map(|all| all.names.clone()).unwrap_or_default(),
        variables_sha256: variables
            .map(|all| all.sha256.to_string())
            .unwrap_or_default(),
        signed_by: plan.manifest_signer.clone().unwrap_or_default(),
    }
}

/// Whether HOME, where an interpreter may find code (`~/.local/lib/python3`), is what the host says of the
/// program's user, and not what the caller says.
fn has_own_home(launch: &Launch, users: &Database) -> bool {
    let mut homes = launch
        .env()
        .iter()
        .filter_map(|variable| variable.to_bytes().strip_prefix(b"HOME="));
    let user = users.user(&launch.owner().0.to_string()).ok();
    let own = user.and_then(|user| Some(user.entry?.home));
    homes.all(|home| {
        own.as_ref()
            .is_some_and(|own| own.as_os_str().as_encoded_bytes() == home)
    })
}

fn program(judged: &Judged) -> Program {
    let interpreter = judged.interpreter.as_ref();
    Program {
        path: text(&judged.path),
        sha256: judged.sha256.to_string(),
        pinned: judged.pinned,
        interpreter: interpreter.map(|(path, _)| text(path)).unwrap_or_default(),
        interpreter_sha256: interpreter
            .map(|(_, digest)| digest.to_string())
            .unwrap_or_default(),
        owner: judged.owner,
        mode: judged.mode,
        ..Program::default()
    }
}

fn shown(launch: &Launch) -> Shown {
    let arguments = launch.argv().iter().skip(1);
    let directory = launch.cwd().or_else(|| std::env::current_dir().ok());
    Shown {
        arguments: arguments
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        directory: directory.as_deref().map(text).unwrap_or_default(),
        ..Shown::default()
    }
}

/// As the program gets it, or as its interpreter would without policy.
fn argv0(launch: &Launch) -> String {
    let first = launch.argv().first();
    first
        .map(|word| word.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Without the first, each ended by a NUL byte.
fn arguments(launch: &Launch) -> String {
    let mut hasher = sha2::Sha256::new();
    for argument in launch.argv().iter().skip(1) {
        hasher.update(argument.to_bytes_with_nul());
    }
    crate::model::Sha256(hasher.finalize().into()).to_string()
}

fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// What is not UTF-8 is replaced.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::manifest::{Overrides, parse_site, parse_under};

    const MANIFEST: &str = "version: 1\nservice: x\nrun: { command: [/bin/true, a, 'b c'] }\n";

    fn site() -> Site {
        let text = "version: 1\nenvironment: production\nlabels: { region: eu-1 }\npolicy: {}\n";
        parse_site(Path::new("/etc/hushpipe/site.yaml"), text.into()).unwrap()
    }

    fn settled() -> (Plan, Launch) {
        let name = Path::new("/srv/m.yaml");
        let overrides = Overrides::default();
        let plan = parse_under(Some(&site()), name, MANIFEST, &overrides, &|_| None).unwrap();
        let launch = Launch::settle(&plan.run, std::env::vars_os()).unwrap();
        (plan, launch)
    }

    #[test]
    fn facts_of_a_launch_come_from_the_kernel_and_the_site() {
        let (plan, launch) = settled();
        let facts = of_launch(&plan, &site(), &launch);
        let whole = std::fs::canonicalize("/bin/true").unwrap();
        assert_eq!(facts.program.path, whole.display().to_string());
        let bytes = std::fs::read(whole).unwrap();
        let hex =
            |bytes: &[u8]| crate::model::Sha256(sha2::Sha256::digest(bytes).into()).to_string();
        assert_eq!(facts.program.sha256, hex(&bytes));
        assert!(facts.program.pinned);
        assert_eq!(
            (facts.program.owner, facts.program.mode & 0o111),
            (0, 0o111)
        );
        assert_eq!(facts.arguments_sha256, hex(b"a\0b c\0"));
        assert_eq!(facts.manifest.sha256, hex(MANIFEST.as_bytes()));
        assert_eq!(facts.environment, "production");
        assert_eq!(
            facts.site,
            BTreeMap::from([("region".to_owned(), "eu-1".to_owned())])
        );
        assert_eq!(facts.uid, nix::unistd::geteuid().as_raw());
        assert!(!facts.host.is_empty() && facts.reason.is_empty());
    }

    #[test]
    fn a_person_is_named_with_the_groups() {
        let root = person_of(0);
        assert_eq!(
            (&*root.name, root.uid, root.interactive),
            ("root", 0, false)
        );
        assert!(
            root.groups.contains(&"root".to_owned()),
            "{:?}",
            root.groups
        );
        let stranger = person_of(4242);
        assert_eq!((&*stranger.name, stranger.groups.len()), ("4242", 0));
        assert_eq!(person().uid, nix::unistd::getuid().as_raw());
    }
}
