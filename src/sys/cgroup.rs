//! What a process's cgroup says of where it runs: the systemd unit, the container, the pod. The names
//! below a unit or container that delegates its cgroup (a user's own manager, for example) are made by
//! whoever has it, so the outermost that fits counts, and what a user's manager made bears its name.
//!
//! Sources: cgroups(7); systemd's src/basic/cgroup-util.c (how a path names a unit); the names that
//! Docker, Podman, containerd's CRI plugin, CRI-O and the kubelet give to cgroups, with both drivers.

use std::fs::File;
use std::io::Read;

/// A file of /proc is at most this long.
const LONGEST: u64 = 64 * 1024;

/// Where a process runs. Text that is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `nginx.service`; of a user's manager: `user@1000.service/app.service`.
    pub unit: String,
    /// The container's id, 64 hex digits; below a user's manager with its name before it, as a unit.
    pub container: String,
    /// The pod's uid.
    pub pod: String,
}

/// Of this process.
pub fn own() -> Place {
    read("/proc/self/cgroup")
}

/// Of another one. Who has its number by now may be another process.
pub fn of(pid: i32) -> Place {
    read(&format!("/proc/{pid}/cgroup"))
}

fn read(path: &str) -> Place {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    match file {
        Ok(length) if (length as u64) < LONGEST => parse(&text),
        _ => Place::default(),
    }
}

/// The content of /proc/PID/cgroup: of version 2, of systemd's own hierarchy of version 1, or both.
fn parse(text: &str) -> Place {
    let mut unified = None;
    let mut named = None;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("0"), Some(""), Some(path)) => unified = Some(path),
            (Some(_), Some("name=systemd"), Some(path)) => named = Some(path),
            _ => {}
        }
    }
    // In the hybrid layout both lead to the same place; version 2 alone may be at the root.
    let path = unified.filter(|path| *path != "/").or(named);
    path.and_then(components)
        .map_or_else(Place::default, |all| place(&all))
}

/// `None`: it is no path that can be relied on. A process outside of the cgroup namespace has `..` in
/// its path.
fn components(path: &str) -> Option<Vec<&str>> {
    let all: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let odd = |part: &&str| {
        matches!(*part, "" | "." | "..") || part.len() > 255 || part.chars().any(char::is_control)
    };
    (!all.iter().any(odd)).then_some(all)
}

fn place(all: &[&str]) -> Place {
    let pod_at = all.iter().position(|part| pod(part).is_some());
    let pod_at = pod_at.filter(|at| all[..=*at].iter().any(|part| part.contains("kubepods")));
    let from = pod_at.map_or(0, |at| at + 1);
    let mut below = all[from..].iter().enumerate();
    let container = below.find_map(|(index, part)| {
        let above = (from + index).checked_sub(1).map(|at| all[at]);
        container(part, above)
    });
    let manager = all.iter().find(|part| is_manager(part));
    let container = container.map_or_else(String::new, |id| match manager {
        Some(manager) => format!("{manager}/{id}"),
        None => id.to_owned(),
    });
    Place {
        unit: unit(all),
        container,
        pod: pod_at.and_then(|at| pod(all[at])).unwrap_or_default(),
    }
}

/// The first component below the slices is the unit; below a user's manager, so it is once more.
fn unit(all: &[&str]) -> String {
    let after_slices = |all: &[&str]| all.iter().position(|part| !is_slice(part));
    let Some(at) = after_slices(all) else {
        return String::new();
    };
    let Some(name) = unit_name(all[at]) else {
        return String::new();
    };
    if !is_manager(name) {
        return name.to_owned();
    }
    let below = &all[at + 1..];
    let own = after_slices(below).and_then(|at| unit_name(below[at]));
    own.map_or_else(|| name.to_owned(), |own| format!("{name}/{own}"))
}

fn is_slice(name: &str) -> bool {
    name.strip_suffix(".slice").is_some()
}

fn is_manager(name: &str) -> bool {
    let instance = name
        .strip_prefix("user@")
        .and_then(|rest| rest.strip_suffix(".service"));
    instance.is_some_and(|uid| !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The unit that a cgroup's name stands for: systemd puts `_` before one that would be taken for a file
/// of the kernel's. What systemd escaped in the name itself (`\x2d`) stays, as in its own output.
fn unit_name(name: &str) -> Option<&str> {
    const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
    let name = name.strip_prefix('_').unwrap_or(name);
    let fits = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let stem = KINDS.iter().find_map(|kind| name.strip_suffix(kind))?;
    (!stem.is_empty() && !stem.starts_with('@') && name.chars().all(fits)).then_some(name)
}

/// The id in a cgroup's name, of an engine's driver for systemd (`docker-ID.scope`) or for plain cgroups
/// (`docker/ID`, `libpod-ID`, `podUID/ID`).
fn container<'a>(name: &'a str, above: Option<&str>) -> Option<&'a str> {
    const ENGINES: [&str; 5] = ["docker-", "libpod-", "cri-containerd-", "crio-", "nerdctl-"];
    let id = |text: &'a str| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(hex)).then_some(text)
    };
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    if let Some(found) = ENGINES.iter().find_map(|engine| stem.strip_prefix(engine)) {
        return id(found);
    }
    let of_engine = |above: &str| {
        matches!(above, "docker" | "buildkit" | "default" | "k8s.io" | "moby")
            || pod(above).is_some()
    };
    above.is_some_and(of_engine).then(|| id(name)).flatten()
}

/// The uid in a cgroup's name: `kubepods-burstable-podUID.slice` with `_` for `-`, or `podUID`. A static
/// pod's is a digest of 32 digits.
fn pod(name: &str) -> Option<String> {
    let uid = match name.strip_suffix(".slice") {
        Some(stem) => {
            stem.contains("kubepods")
                .then(|| stem.rsplit_once("-pod"))??
                .1
        }
        None => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let hex = uid
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let groups: Vec<usize> = uid.split('-').map(str::len).collect();
    let shaped = matches!(groups.as_slice(), [8, 4, 4, 4, 12] | [32]);
    (hex && shaped).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "0a1b2c3d-0000-1111-2222-333344445555";

    fn found(text: &str) -> (String, String, String) {
        let place = parse(text);
        (place.unit, place.container, place.pod)
    }

    fn at(path: &str) -> (String, String, String) {
        found(&format!("0::{path}\n"))
    }

    fn owned(unit: &str, container: &str, pod: &str) -> (String, String, String) {
        (unit.to_owned(), container.to_owned(), pod.to_owned())
    }

    #[test]
    fn units_are_found_in_each_layout() {
        let unit = |path: &str| at(path).0;
        assert_eq!(unit("/system.slice/nginx.service"), "nginx.service");
        assert_eq!(
            unit("/system.slice/system-getty.slice/getty@tty1.service"),
            "getty@tty1.service"
        );
        assert_eq!(unit("/system.slice/a\\x2db.service"), "a\\x2db.service");
        assert_eq!(unit("/_cpu.service"), "cpu.service");
        assert_eq!(unit("/init.scope"), "init.scope");
        assert_eq!(
            unit("/system.slice/d.service/payload/x.service"),
            "d.service"
        );
        assert_eq!(
            unit("/user.slice/user-1000.slice/session-3.scope"),
            "session-3.scope"
        );
        let v1 = "12:cpu,cpuacct:/elsewhere\n1:name=systemd:/system.slice/x.service\n";
        assert_eq!(found(v1).0, "x.service");
        let hybrid = "1:name=systemd:/system.slice/x.service\n0::/system.slice/x.service\n";
        assert_eq!(found(hybrid).0, "x.service");
        let root = "1:name=systemd:/system.slice/x.service\n0::/\n";
        assert_eq!(found(root).0, "x.service");
    }

    #[test]
    fn a_users_unit_is_never_taken_for_one_of_the_system() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        for (below, unit) in [
            ("", "user@1000.service"),
            (
                "/app.slice/nginx.service",
                "user@1000.service/nginx.service",
            ),
            (
                "/a.slice/b.slice/x.scope/system.slice/nginx.service",
                "user@1000.service/x.scope",
            ),
            ("/odd/nginx.service", "user@1000.service"),
        ] {
            assert_eq!(at(&format!("{user}{below}")).0, unit);
        }
        let container = at(&format!("{user}/user.slice/libpod-{ID}.scope/container"));
        assert_eq!(
            container,
            owned(
                &format!("user@1000.service/libpod-{ID}.scope"),
                &format!("user@1000.service/{ID}"),
                ""
            )
        );
    }

    #[test]
    fn containers_are_found_by_each_engine_and_driver() {
        let container = |path: &str| at(path).1;
        for path in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}"),
            format!("/docker/buildkit/{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/libpod_parent/libpod-{ID}"),
            format!("/system.slice/nerdctl-{ID}.scope"),
            format!("/default/{ID}"),
        ] {
            assert_eq!(container(&path), ID, "{path}");
        }
        for path in [
            format!("/machine.slice/libpod-conmon-{ID}.scope"),
            format!("/system.slice/{ID}.service"),
            format!("/{ID}"),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{}", ID.to_uppercase()),
            "/system.slice/docker.service".to_owned(),
        ] {
            assert_eq!(container(&path), "", "{path}");
        }
        // Who is in a container and has its cgroup cannot make it look like another.
        let other = "f".repeat(64);
        let path = format!("/system.slice/docker-{ID}.scope/docker-{other}.scope");
        assert_eq!(container(&path), ID);
    }

    #[test]
    fn pods_are_found_with_both_drivers() {
        let escaped = UID.replace('-', "_");
        for path in [
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{escaped}.slice/\
                 cri-containerd-{ID}.scope"
            ),
            format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{ID}.scope"),
            format!("/kubepods/besteffort/pod{UID}/{ID}"),
            format!(
                "/docker/{}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{escaped}.slice/\
                 cri-containerd-{ID}.scope",
                "f".repeat(64)
            ),
        ] {
            let (_, container, pod) = at(&path);
            assert_eq!((&*container, &*pod), (ID, UID), "{path}");
        }
        let digest = "0123456789abcdef0123456789abcdef";
        assert_eq!(at(&format!("/kubepods/pod{digest}/{ID}")).2, digest);
        for path in [
            format!("/elsewhere/pod{UID}/{ID}"),
            "/kubepods/podx/y".to_owned(),
            "/kubepods/burstable".to_owned(),
        ] {
            assert_eq!(at(&path).2, "", "{path}");
        }
    }

    #[test]
    fn what_cannot_be_relied_on_is_nothing() {
        for text in [
            "",
            "0::/",
            "0::",
            "0::relative/x.service",
            "0::/../../system.slice/x.service",
            "0::/system.slice/x.service (deleted)",
            "0::/system.slice//x.service",
            "0::/.service",
            "0::/@x.service",
            "x",
            "5:memory:/system.slice/x.service",
        ] {
            assert_eq!(parse(text), Place::default(), "{text}");
        }
        let long = format!("0::/{}.service", "x".repeat(300));
        assert_eq!(parse(&long), Place::default());
    }

    #[test]
    fn the_own_cgroup_is_read() {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        assert_eq!(own(), parse(&text));
        assert_eq!(of(crate::sys::process::id()), own());
        assert_eq!(of(i32::MAX), Place::default());
    }
}
