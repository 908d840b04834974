//! The container around hushpipe, as far as it can be told from inside.

use std::fs;
use std::path::Path;

use rustix::thread::CapabilitySet;

use super::{filesystem, host};

/// What an engine set up that decides whether a private tmpfs is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// What hushpipe may do in there.
    pub rights: Rights,
    /// A seccomp filter is on, or it cannot be told: there is no /proc.
    pub seccomp: bool,
    /// An AppArmor profile is enforced.
    pub apparmor: bool,
}

/// Whose mounts an engine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Who holds `CAP_SYS_ADMIN`.
    SysAdmin,
    /// Root without it.
    Root,
    /// Any other user without it.
    User,
}

/// Looks at this process.
pub fn confinement() -> Confinement {
    Confinement {
        rights: rights(),
        seccomp: host::own_status("Seccomp").is_none_or(|mode| mode != "0"),
        apparmor: apparmor_profile().is_some_and(|profile| is_enforced(&profile)),
    }
}

fn rights() -> Rights {
    let held = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |s| s.effective);
    if held.contains(CapabilitySet::SYS_ADMIN) {
        Rights::SysAdmin
    } else if filesystem::effective_uid() == 0 {
        Rights::Root
    } else {
        Rights::User
    }
}

/// Where other security modules are stacked, AppArmor has a directory of its own; else the one file is
/// of whichever module is on.
fn apparmor_profile() -> Option<String> {
    let files = [
        "/proc/self/attr/apparmor/current",
        "/proc/self/attr/current",
    ];
    files.iter().find_map(|path| {
        fs::read_to_string(path)
            .ok()
            .filter(|text| !text.is_empty())
    })
}

/// `docker-default (enforce)`, by AppArmor; SELinux' contexts have no such end.
fn is_enforced(profile: &str) -> bool {
    profile.trim_end().ends_with(" (enforce)")
}

/// Whether this is a container of Docker, Podman, Kubernetes, containerd, LXC or nspawn, as far as they
/// leave a mark: a file in the root, a variable that they give to the first process, or where the root
/// is mounted from.
pub fn is_container() -> bool {
    let files = ["/.dockerenv", "/run/.containerenv"];
    let variables = ["container", "KUBERNETES_SERVICE_HOST"];
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    files.iter().any(|mark| Path::new(mark).exists())
        || variables
            .iter()
            .any(|name| std::env::var_os(name).is_some())
        || is_root_of_a_container(&mounts())
}

/// Whether / is made of an engine's layers, by proc_pid_mountinfo(5).
fn is_root_of_a_container(mountinfo: &str) -> bool {
    /// Where containerd (also below Kubernetes and nerdctl), Podman, CRI-O and Docker keep them.
    const LAYERS: [&str; 4] = [
        "io.containerd.snapshotter",
        "/containers/storage/",
        "/docker/overlay2/",
        "/docker/vfs/",
    ];
    let root = mountinfo
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/"));
    root.is_some_and(|line| LAYERS.iter().any(|layers| line.contains(layers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enforced_profile_is_told_from_what_lets_everything_pass() {
        assert!(is_enforced("docker-default (enforce)\n"));
        assert!(is_enforced("cri-containerd.apparmor.d (enforce)"));
        for free in [
            "unconfined\n",
            "docker-default (complain)\n",
            "system_u:system_r:container_t:s0:c1,c2\0",
            "",
        ] {
            assert!(!is_enforced(free), "{free:?}");
        }
    }

    #[test]
    fn a_root_of_layers_is_a_container() {
        let proc = "27 26 0:24 / /proc rw - proc proc rw\n";
        let mounted = |root: &str| format!("{proc}26 1 0:23 {root}\n{proc}");
        for layers in [
            "/ / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/\
             io.containerd.snapshotter.v1.overlayfs/snapshots/5/fs,upperdir=/x",
            "/ / rw - overlay overlay rw,lowerdir=/var/lib/containers/storage/overlay/l/A",
            "/ / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A",
            "/var/lib/docker/vfs/dir/1f2e / rw - ext4 /dev/vda rw",
        ] {
            assert!(is_root_of_a_container(&mounted(layers)), "{layers}");
        }
        for other in [
            "/ / rw,relatime - ext4 /dev/vda rw",
            // systemd-nspawn's, and a live system's.
            "/ / rw - overlay overlay rw,lowerdir=/run/nspawn,upperdir=/x",
            // Of the host that keeps them, mounted elsewhere.
            "/ /var/lib/docker/overlay2/1/merged rw - overlay overlay rw,lowerdir=/docker/overlay2/l",
        ] {
            assert!(!is_root_of_a_container(&mounted(other)), "{other}");
        }
        assert!(!is_root_of_a_container(""));
    }
}
