//! In which namespaces this process is (namespaces(7)).

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat2, readlinkat};

/// The numbers of the first namespaces: include/linux/proc_ns.h, the same since Linux 3.8.
const FIRST: [(&str, u32); 4] = [
    ("user", 0xEFFF_FFFD),
    ("uts", 0xEFFF_FFFE),
    ("pid", 0xEFFF_FFFC),
    ("cgroup", 0xEFFF_FFFB),
];

/// Whether it is in the kernel's first namespaces of users, host names, processes and cgroups: those that
/// are there after boot, and in which who has no capability can make no other. Where /proc is none, or
/// something is mounted over it, it is not known: `false`.
pub fn are_first() -> bool {
    directory().is_some_and(|directory| {
        FIRST
            .iter()
            .all(|(kind, number)| is(&directory, kind, *number))
    })
}

/// /proc/self/ns. Nothing that is mounted in /proc counts: who has a mount namespace could put links there.
fn directory() -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = openat2(CWD, "/proc", flags, Mode::empty(), ResolveFlags::empty()).ok()?;
    let is_proc = fstatfs(&proc).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC);
    let within = ResolveFlags::NO_XDEV | ResolveFlags::BENEATH;
    let found = is_proc.then(|| openat2(proc, "self/ns", flags, Mode::empty(), within))?;
    found.ok()
}

fn is(directory: &OwnedFd, kind: &str, number: u32) -> bool {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat2(
        directory,
        Path::new(kind),
        flags,
        Mode::empty(),
        ResolveFlags::NO_XDEV,
    );
    let link = opened.and_then(|link| readlinkat(link, "", Vec::new()));
    link.is_ok_and(|link| link.as_bytes() == format!("{kind}:[{number}]").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_known_by_its_number() {
        let directory = directory().expect("/proc is there");
        let of = |kind: &str| {
            let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            let link = link.to_str().unwrap().to_owned();
            let number = link.strip_prefix(&format!("{kind}:[")).unwrap();
            number.strip_suffix(']').unwrap().parse().unwrap()
        };
        for (kind, _) in FIRST {
            assert!(is(&directory, kind, of(kind)), "{kind}");
            assert!(!is(&directory, kind, 7), "{kind}");
        }
        let first = FIRST.iter().all(|(kind, number)| of(kind) == *number);
        assert_eq!(are_first(), first);
    }
}
