//! Which paths are root's on every system.

use std::path::Path;

/// Whether root has what is there on every system, so that an owner who is not mapped is root: its trees,
/// and the directories in which each user and service has its own.
pub(super) fn is_of_system(path: &Path) -> bool {
    const TREES: [&str; 10] = [
        "/usr",
        "/etc",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/nix/store",
        "/gnu/store",
        "/boot",
    ];
    const ALONE: [&str; 25] = [
        "/",
        "/dev",
        "/dev/shm",
        "/dev/mqueue",
        "/gnu",
        "/home",
        "/media",
        "/mnt",
        "/nix",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/run/lock",
        "/run/secrets",
        "/run/user",
        "/srv",
        "/sys",
        "/tmp",
        "/var",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/run",
        "/var/tmp",
    ];
    ALONE.iter().any(|alone| path == Path::new(alone))
        || TREES.iter().any(|tree| path.starts_with(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_that_is_not_mapped_is_root_where_root_has_its_own() {
        for of_root in ["/", "/tmp", "/usr/local/lib", "/etc/ssl/ca.pem", "/home"] {
            assert!(is_of_system(Path::new(of_root)), "{of_root}");
        }
        for of_anybody in [
            "/tmp/x",
            "/home/x",
            "/srv/x",
            "/var/lib/x",
            "/data",
            "/usrx",
        ] {
            assert!(!is_of_system(Path::new(of_anybody)), "{of_anybody}");
        }
    }
}
