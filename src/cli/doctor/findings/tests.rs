use std::path::PathBuf;

use super::*;
use crate::sys::host::Pidfds;

const TMPFS: PrivateTmpfs = PrivateTmpfs {
    mount_api: true,
    noswap: true,
};

fn good() -> Host {
    let all = Limit {
        soft: None,
        hard: None,
    };
    Host {
        site: SiteState::None,
        kernel: "6.12".to_owned(),
        mount_namespace: Ok(TMPFS),
        user_namespace: Ok(PrivateTmpfs {
            noswap: false,
            ..TMPFS
        }),
        memfd_secret: Ok(()),
        pidfds: Pidfds {
            open: true,
            signal: true,
            group: true,
        },
        close_range: true,
        core_pattern: Some("core".to_owned()),
        swaps: Some(Vec::new()),
        ptrace_scope: Some("1".to_owned()),
        memlock: all,
        nofile: all,
        proc: true,
        hidepid: Some("2".to_owned()),
        landlock: Some(6),
        seccomp: Some("0".to_owned()),
        dumpable: Ok(false),
        places: vec![(PathBuf::from("/run"), InMemory::Yes)],
    }
}

fn finding(host: &Host, name: &str) -> (Level, String) {
    let finding = judge(host)
        .into_iter()
        .find(|finding| finding.name == name)
        .unwrap();
    (finding.level, finding.found)
}

#[test]
fn on_a_good_host_all_is_ok() {
    let host = good();
    for finding in judge(&host) {
        assert_eq!(finding.level, Level::Ok, "{}", finding.name);
    }
    let verdict = verdict(&host);
    assert_eq!(verdict.isolation, Some("private"));
    assert!(verdict.reason.contains("never swapped") && verdict.launches);
}

#[test]
fn without_privileges_a_user_namespace_is_taken() {
    let host = Host {
        mount_namespace: Err("unshare: EPERM".to_owned()),
        ..good()
    };
    assert_eq!(finding(&host, "mount namespace").0, Level::Weaker);
    assert_eq!(finding(&host, "noswap tmpfs").0, Level::Weaker);
    let verdict = verdict(&host);
    assert_eq!(verdict.isolation, Some("private"));
    assert!(verdict.reason.contains("user and a mount namespace"));
}

#[test]
fn without_namespaces_files_are_shared_where_there_is_a_tmpfs() {
    let bare = Host {
        mount_namespace: Err("unshare: EPERM".to_owned()),
        user_namespace: Err("unshare: ENOSPC".to_owned()),
        ..good()
    };
    assert_eq!(finding(&bare, "user namespace").0, Level::Missing);
    let shared = verdict(&bare);
    assert_eq!(shared.isolation, Some("shared"));
    assert!(shared.reason.contains("EPERM") && shared.reason.contains("ENOSPC"));
    assert!(shared.launches);

    for found in [InMemory::No, InMemory::Absent, InMemory::ReadOnly] {
        let none = Host {
            places: vec![(PathBuf::from("/run"), found)],
            ..bare.clone()
        };
        let verdict = verdict(&none);
        assert_eq!((verdict.isolation, verdict.launches), (None, false));
        assert_ne!(finding(&none, "shared files").0, Level::Ok);
    }
}

#[test]
fn without_pidfds_nothing_is_launched() {
    let pidfds = Pidfds {
        open: false,
        signal: false,
        group: false,
    };
    let host = Host { pidfds, ..good() };
    assert_eq!(finding(&host, "pidfd signals").0, Level::Missing);
    assert!(!verdict(&host).launches);
}

#[test]
fn what_weakens_a_host_is_named() {
    let host = Host {
        memfd_secret: Err("ENOSYS".to_owned()),
        swaps: Some(vec!["/dev/sda2".to_owned()]),
        ptrace_scope: None,
        memlock: Limit {
            soft: Some(65_536),
            hard: Some(65_536),
        },
        nofile: Limit {
            soft: Some(64),
            hard: None,
        },
        dumpable: Ok(true),
        landlock: None,
        close_range: false,
        ..good()
    };
    for name in [
        "memfd_secret",
        "swap",
        "ptrace",
        "RLIMIT_MEMLOCK",
        "RLIMIT_NOFILE",
        "hushpipe dumpable",
        "Landlock",
        "close_range",
    ] {
        assert_eq!(finding(&host, name).0, Level::Weaker, "{name}");
    }
    assert!(finding(&host, "swap").1.contains("not known"));
    assert_eq!(finding(&host, "RLIMIT_NOFILE").1, "64, up to unlimited");
    let piped = Host {
        core_pattern: Some("|/usr/bin/handler %p".to_owned()),
        ..good()
    };
    assert!(finding(&piped, "core dumps").1.contains("/usr/bin/handler"));
}

#[test]
fn doctor_says_that_yama_protects_no_delivery() {
    for scope in [None, Some("0"), Some("1"), Some("3")] {
        let host = Host {
            ptrace_scope: scope.map(str::to_owned),
            ..good()
        };
        let findings = judge(&host);
        let yama = findings.iter().find(|finding| finding.name == "ptrace");
        let follows = yama.unwrap().follows;
        assert!(follows.contains("deliveries"), "{scope:?}: {follows}");
    }
}
