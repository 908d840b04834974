//! Paths are walked once: by `sys::walk`, and held by descriptor from then on (`sys::held`). Every other
//! call that takes a path is in a file of this list, with its reason.

use super::scan::Source;

/// Where paths are walked, and what is looked up by path for a reason: a file, or the start of several.
pub const EXPLAINED: &[(&str, &str)] = &[
    ("src/sys/walk", "the walk itself"),
    (
        "src/sys/held.rs",
        "what is held after the walk, by descriptor",
    ),
    (
        "src/sys/filesystem.rs",
        "calls relative to a descriptor, and their few forms by path",
    ),
    (
        "src/sys/beneath.rs",
        "what lies beneath a directory that is open",
    ),
    (
        "src/monitor/alerts/file.rs",
        "who owns the monitor's directory, of which only times and words are read: it is walked to afterwards",
    ),
    (
        "src/audit/kept.rs",
        "who owns a directory whose content is signed: it is walked to afterwards",
    ),
    (
        "src/sys/mount.rs",
        "a mount point is reached again in the new namespace, and compared",
    ),
    ("src/sys/mounts.rs", "reads /proc"),
    ("src/sys/cgroup.rs", "reads /proc"),
    ("src/sys/clock.rs", "reads /etc/localtime"),
    (
        "src/sys/child",
        "/dev/tty and /proc, and covers, which are compared with what was looked at",
    ),
    ("src/sys/fd.rs", "/dev/null and /proc/self/fd"),
    ("src/sys/durable.rs", "`init` writes the user's own files"),
    (
        "src/sys/command.rs",
        "the directory that hushpipe was started in",
    ),
    (
        "src/sys/container.rs",
        "reads /proc and the marks of containers",
    ),
    ("src/sys/datagram.rs", "sockets have paths"),
    ("src/sys/host.rs", "`doctor` asks what the kernel supports"),
    (
        "src/sys/landlock.rs",
        "rules are about what is there, and grant nothing new",
    ),
    (
        "src/sys/pid_file.rs",
        "a pid file is checked after it is opened",
    ),
    ("src/sys/namespaces.rs", "reads /proc"),
    ("src/sys/pidfd.rs", "reads /proc"),
    (
        "src/sys/pipe.rs",
        "an inode is opened once more through /proc/self/fd",
    ),
    ("src/sys/process.rs", "reads /proc"),
    ("src/sys/prompt.rs", "/dev/tty"),
    ("src/sys/pty.rs", "/dev/tty"),
    ("src/sys/outlet.rs", "/proc/self/fd/1 and 2"),
    ("src/sys/terminal.rs", "/dev/tty"),
    ("src/sys/trace", "reads /proc, and writes /proc/PID/mem"),
    ("src/sys/users.rs", "/etc/passwd and /etc/group"),
    (
        "src/app/gate/proof.rs",
        "a test writes a directory of policies",
    ),
    (
        "src/app/files.rs",
        "what commands read and write for people",
    ),
    (
        "src/app/inventory",
        "opens what the user names, and holds what is below it",
    ),
    (
        "src/app/missing.rs",
        "whether the program's user may enter what it is given",
    ),
    (
        "src/stores/polled.rs",
        "looks for changes; what is read is walked",
    ),
    (
        "src/stores/sealed/memory.rs",
        "the name under which a store is remembered; what is read is walked",
    ),
    (
        "src/app/bootstrap.rs",
        "finds what is covered for the program",
    ),
    ("src/app/control/", "reads /proc, and offers what is there"),
    (
        "src/app/envfile/",
        "`init` adopts the user's own .env files",
    ),
    (
        "src/app/approvals/glance.rs",
        "whether something may have changed; what is read is walked",
    ),
    (
        "src/app/site.rs",
        "whether the host has a site; what is read is walked",
    ),
    ("src/app/git/", "`init` looks at the user's own work tree"),
    ("src/app/rotate/beside.rs", "/dev/null"),
    (
        "src/app/sealed.rs",
        "`secret` reads and writes what the user names",
    ),
    ("src/cli/init/", "writes the user's own project"),
    ("src/cli/man/", "writes manual pages where the user says"),
    (
        "src/cli/policy.rs",
        "reads the records that the user names, to replay them",
    ),
    ("src/cli/secret", "a manifest in the working directory"),
    ("src/cli/systemd/", "reads the host's units"),
    (
        "src/delivery/links.rs",
        "whether what a link leads to is there; the link itself is held by descriptor",
    ),
    ("src/delivery/readers.rs", "reads /proc"),
    (
        "src/manifest/read.rs",
        "the manifest is read before there is a plan; root's is checked by its walk",
    ),
    ("src/scan/processes.rs", "reads /proc"),
    (
        "src/scan/tree.rs",
        "opens the paths that the user names, and holds what is below them",
    ),
    ("src/stores/command/", "the program of a command store"),
    ("src/http/", "the system's certificates"),
    ("src/stores/path_watch.rs", "watches what the walk reads"),
    (
        "src/stores/trail.rs",
        "finds what to watch; what is read is walked",
    ),
    (
        "src/stores/vault/credential.rs",
        "watches and removes credential files; what is read is walked",
    ),
    ("src/supervisor/activation.rs", "sockets of the unit"),
    (
        "src/supervisor/spawn/",
        "the program is looked for as execve(2) will find it",
    ),
    ("src/fuzzing/", "seeds of the tests"),
];

/// Functions of std::fs, std::os::unix::fs, nix and rustix that take a path.
const BY_PATH: &[&str] = &[
    "access",
    "canonicalize",
    "chmod",
    "chown",
    "copy",
    "create_dir",
    "create_dir_all",
    "exists",
    "hard_link",
    "lchown",
    "link",
    "lstat",
    "metadata",
    "mkdir",
    "mkfifo",
    "open",
    "read",
    "read_dir",
    "read_link",
    "read_to_string",
    "readlink",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "rename",
    "rmdir",
    "set_permissions",
    "stat",
    "statfs",
    "symlink",
    "symlink_metadata",
    "truncate",
    "unlink",
    "write",
];

/// Modules that these are in.
const MODULES: &[&str] = &["fs", "unistd", "fcntl", "mount"];

/// Methods of a path.
const METHODS: &[&str] = &[
    "canonicalize",
    "exists",
    "read_dir",
    "read_link",
    "symlink_metadata",
    "try_exists",
];

/// The lines of a file on which it calls what walks a path.
pub fn walks(source: &Source) -> Vec<usize> {
    let mut lines = source.lines_where(|words| match words {
        ["CWD", ..] | ["OpenOptions", "::", "new", _] | ["mount", "::", "mount", _] => true,
        ["File", "::", name, "("] => ["open", "create", "create_new", "options"].contains(name),
        ["filesystem", "::", name, "("] => ["open_directory", "status_of_path"].contains(name),
        [".", name, "(", ")"] => METHODS.contains(name),
        [module, "::", name, "("] => MODULES.contains(module) && BY_PATH.contains(name),
        _ => false,
    });
    for module in MODULES {
        let groups = source.lines_with(&[module, "::", "{"]).into_iter();
        let names = |line: &usize| BY_PATH.iter().any(|name| source.group_has(*line, name));
        lines.extend(groups.filter(names));
    }
    lines
}

/// Why a file may, if it may.
pub fn reason(name: &str) -> Option<&'static str> {
    let found = EXPLAINED.iter().find(|(file, _)| name.starts_with(file));
    found.map(|(_, why)| *why)
}
