//! What the facts mean: ok, weaker or missing, and what follows. Pure.

use super::host::{Host, SiteState};
use crate::model::printable::printable;
use crate::sys::host::{InMemory, Limit, PrivateTmpfs};

/// Values that are kept want this much locked memory.
const MEMLOCK: u64 = 1 << 20;

/// A launch with many deliveries stays below this.
const NOFILE: u64 = 256;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Weaker,
    Missing,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weaker => "weaker",
            Self::Missing => "missing",
        }
    }
}

/// One row: what was looked at, what was found, what follows from it.
pub(super) struct Finding {
    pub name: &'static str,
    pub level: Level,
    pub found: String,
    pub follows: &'static str,
}

/// Whether a launch would work, and where its files would go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub isolation: Option<&'static str>,
    pub reason: String,
    pub launches: bool,
}

/// Every row.
pub(super) fn judge(host: &Host) -> Vec<Finding> {
    let mut findings = isolation(host);
    findings.extend(memory(host));
    findings.extend(processes(host));
    findings.extend(site(host));
    findings
}

/// What `isolation: auto` comes to, and whether anything works at all.
pub(super) fn verdict(host: &Host) -> Verdict {
    let (isolation, reason) = match (&host.mount_namespace, &host.user_namespace) {
        (Ok(tmpfs), _) => (Some("private"), private_by("a mount namespace", *tmpfs)),
        (Err(_), Ok(tmpfs)) => (
            Some("private"),
            private_by("a user and a mount namespace", *tmpfs),
        ),
        (Err(mount), Err(user)) => shared(host, mount, user),
    };
    Verdict {
        launches: isolation.is_some()
            && host.pidfds.signal
            && !matches!(host.site, SiteState::Bad(_)),
        isolation,
        reason,
    }
}

fn private_by(what: &str, tmpfs: PrivateTmpfs) -> String {
    let noswap = if tmpfs.noswap { ", never swapped" } else { "" };
    format!("{what}, with a tmpfs{noswap}, seen by the program alone")
}

fn shared(host: &Host, mount: &str, user: &str) -> (Option<&'static str>, String) {
    let why = format!("no mount namespace ({mount}), no user namespace ({user})");
    match host
        .places
        .iter()
        .find(|(_, found)| *found == InMemory::Yes)
    {
        Some((path, _)) => {
            let path = path.display();
            (Some("shared"), format!("{why}; {path} is in memory"))
        }
        None => (None, format!("{why}, and no tmpfs that can be written to")),
    }
}

fn isolation(host: &Host) -> Vec<Finding> {
    let mut findings = vec![
        namespace(
            "mount namespace",
            host.mount_namespace.as_ref(),
            host.user_namespace.is_ok(),
        ),
        namespace(
            "user namespace",
            host.user_namespace.as_ref(),
            host.mount_namespace.is_ok(),
        ),
        mount_api(host),
        noswap(host),
    ];
    for (path, found) in &host.places {
        let (level, what) = match found {
            InMemory::Yes => (Level::Ok, "is in memory and can be written to"),
            InMemory::ReadOnly => (Level::Weaker, "is in memory, but not writable by hushpipe"),
            InMemory::No => (Level::Weaker, "is on a disk"),
            InMemory::Absent => (Level::Missing, "is not there"),
        };
        findings.push(Finding {
            name: "shared files",
            level,
            found: format!("{} {what}", path.display()),
            follows: if level == Level::Ok {
                ""
            } else {
                "isolation: shared cannot put files there"
            },
        });
    }
    findings
}

fn namespace(name: &'static str, found: Result<&PrivateTmpfs, &String>, other: bool) -> Finding {
    let (level, found, follows) = match found {
        Ok(_) => (Level::Ok, "with a tmpfs of its own".to_owned(), ""),
        Err(why) if other => (Level::Weaker, why.clone(), "the other namespace is used"),
        Err(why) => (
            Level::Missing,
            why.clone(),
            "isolation: private is not possible: files go to a 0700 directory on a tmpfs, and an ordinary \
             user's program can read what hushpipe reads secrets with",
        ),
    };
    Finding {
        name,
        level,
        found,
        follows,
    }
}

/// The namespace that a launch would take.
const fn used(host: &Host) -> Option<PrivateTmpfs> {
    match (&host.mount_namespace, &host.user_namespace) {
        (Ok(tmpfs), _) | (Err(_), Ok(tmpfs)) => Some(*tmpfs),
        (Err(_), Err(_)) => None,
    }
}

fn mount_api(host: &Host) -> Finding {
    let (level, found) = match used(host) {
        Some(tmpfs) if tmpfs.mount_api => (Level::Ok, "fsopen, fsmount, move_mount"),
        Some(_) => (Level::Weaker, "refused; mount(2) works"),
        None => (Level::Missing, "without a namespace nothing can be mounted"),
    };
    Finding {
        name: "mount API",
        level,
        found: found.to_owned(),
        follows: "",
    }
}

fn noswap(host: &Host) -> Finding {
    let of = |tmpfs: &Result<PrivateTmpfs, String>| match tmpfs {
        Ok(tmpfs) if tmpfs.noswap => "yes",
        Ok(_) => "no",
        Err(_) => "not tried",
    };
    let swapping = host.swaps.as_ref().is_none_or(|areas| !areas.is_empty());
    let level = match used(host) {
        Some(tmpfs) if tmpfs.noswap => Level::Ok,
        _ => Level::Weaker,
    };
    let (mount, user) = (of(&host.mount_namespace), of(&host.user_namespace));
    Finding {
        name: "noswap tmpfs",
        level,
        found: format!("in a mount namespace: {mount}; in a user namespace: {user}"),
        follows: match (level, swapping) {
            (Level::Ok, _) => "",
            (_, true) => "delivered files may be written to swap",
            (_, false) => "nothing follows while there is no swap",
        },
    }
}

fn memory(host: &Host) -> Vec<Finding> {
    vec![
        memfd_secret(host),
        limit(
            "RLIMIT_MEMLOCK",
            host.memlock,
            MEMLOCK,
            "large values that are kept may be swapped",
        ),
        swap(host),
        core_pattern(host),
        dumpable(host),
    ]
}

fn memfd_secret(host: &Host) -> Finding {
    let (level, found, follows) = match &host.memfd_secret {
        Ok(()) => (
            Level::Ok,
            "pages that the kernel itself does not map".to_owned(),
            "",
        ),
        Err(why) => (
            Level::Weaker,
            why.clone(),
            "kept values are in locked pages, which root can read",
        ),
    };
    Finding {
        name: "memfd_secret",
        level,
        found,
        follows,
    }
}

fn limit(name: &'static str, limit: Limit, wanted: u64, follows: &'static str) -> Finding {
    let text = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let enough = limit.soft.is_none_or(|soft| soft >= wanted);
    Finding {
        name,
        level: if enough { Level::Ok } else { Level::Weaker },
        found: format!("{}, up to {}", text(limit.soft), text(limit.hard)),
        follows: if enough { "" } else { follows },
    }
}

fn swap(host: &Host) -> Finding {
    let (level, found, follows) = match &host.swaps {
        None => (Level::Weaker, "/proc/swaps cannot be read".to_owned(), ""),
        Some(areas) if areas.is_empty() => (Level::Ok, "none".to_owned(), ""),
        Some(areas) => (
            Level::Weaker,
            format!("{}; whether encrypted is not known", areas.join(", ")),
            "the program's own memory may be written there; hushpipe's kept values are not",
        ),
    };
    Finding {
        name: "swap",
        level,
        found,
        follows,
    }
}

fn core_pattern(host: &Host) -> Finding {
    let (level, found, follows) = match host.core_pattern.as_deref() {
        None => (Level::Weaker, "cannot be read".to_owned(), ""),
        Some(pattern) => match pattern.strip_prefix('|') {
            Some(handler) => (
                Level::Ok,
                format!("piped to {handler}"),
                "a hard RLIMIT_CORE of 1 keeps the handler from being called",
            ),
            None => (Level::Ok, format!("file {pattern:?}"), ""),
        },
    };
    Finding {
        name: "core dumps",
        level,
        found,
        follows,
    }
}

fn dumpable(host: &Host) -> Finding {
    let (level, found) = match &host.dumpable {
        Ok(false) => (Level::Ok, "no: its own user cannot attach to it".to_owned()),
        Ok(true) => (
            Level::Weaker,
            "yes: its own user can attach to it".to_owned(),
        ),
        Err(why) => (Level::Weaker, why.clone()),
    };
    Finding {
        name: "hushpipe dumpable",
        level,
        found,
        follows: "",
    }
}

fn processes(host: &Host) -> Vec<Finding> {
    vec![
        pidfds(host),
        close_range(host),
        limit(
            "RLIMIT_NOFILE",
            host.nofile,
            NOFILE,
            "a launch with many deliveries may run out of descriptors",
        ),
        proc(host),
        yama(host),
        landlock(host),
        seccomp(host),
    ]
}

fn pidfds(host: &Host) -> Finding {
    let pidfds = host.pidfds;
    let (level, found, follows) = if pidfds.group {
        (Level::Ok, "to a process and to its group", "")
    } else if pidfds.signal {
        (
            Level::Weaker,
            "to a process; not to its group (Linux 6.9)",
            "signals to a group go by its number",
        )
    } else {
        (
            Level::Missing,
            "pidfd_open or pidfd_send_signal is refused (Linux 5.3)",
            "hushpipe cannot supervise a program",
        )
    };
    Finding {
        name: "pidfd signals",
        level,
        found: found.to_owned(),
        follows,
    }
}

fn close_range(host: &Host) -> Finding {
    let (level, found, follows) = if host.close_range {
        (Level::Ok, "yes", "")
    } else {
        (
            Level::Weaker,
            "no (Linux 5.9)",
            "descriptors are closed one by one",
        )
    };
    Finding {
        name: "close_range",
        level,
        found: found.to_owned(),
        follows,
    }
}

fn proc(host: &Host) -> Finding {
    let (level, found, follows) = match (host.proc, &host.hidepid) {
        (false, _) => (
            Level::Weaker,
            "not mounted".to_owned(),
            "user namespaces cannot be set up, and programs may miss it",
        ),
        (true, None) => (
            Level::Ok,
            "mounted, hidepid is off".to_owned(),
            "every user sees the arguments of every process: hushpipe puts no secret there. The \
             environment is open to processes of the same user: avoid `set -a; . FILE`, which puts \
             every value of a .env file there",
        ),
        (true, Some(hidepid)) => (
            Level::Ok,
            format!("mounted, hidepid={hidepid}"),
            "the environment stays open to processes of the same user: avoid `set -a; . FILE`, which \
             puts every value of a .env file there",
        ),
    };
    Finding {
        name: "/proc",
        level,
        found,
        follows,
    }
}

fn yama(host: &Host) -> Finding {
    let (level, found, follows) = match host.ptrace_scope.as_deref() {
        None | Some("0") => (
            Level::Weaker,
            match host.ptrace_scope {
                None => "Yama is not there",
                Some(_) => "ptrace_scope 0",
            }
            .to_owned(),
            "a process of the program's user can attach to the program and read its memory, and reads \
             its deliveries whatever Yama says: run.user",
        ),
        Some(scope) => (
            Level::Ok,
            format!("ptrace_scope {scope}"),
            "for the program's memory alone: a process of its user still reads its deliveries, by \
             /proc/PID/root and /proc/PID/fd: run.user",
        ),
    };
    Finding {
        name: "ptrace",
        level,
        found,
        follows,
    }
}

fn landlock(host: &Host) -> Finding {
    let (level, found, follows) = match host.landlock {
        Some(abi) => (
            Level::Ok,
            format!("ABI {abi}"),
            "hushpipe gives up files after a launch: `hushpipe status -v`",
        ),
        None => (
            Level::Weaker,
            "not there, or switched off".to_owned(),
            "hushpipe keeps its access to files after a launch",
        ),
    };
    Finding {
        name: "Landlock",
        level,
        found,
        follows,
    }
}

fn seccomp(host: &Host) -> Finding {
    let (level, found, follows) = match host.seccomp.as_deref() {
        Some("0") => (Level::Ok, "no filter on hushpipe", ""),
        Some("2") => (
            Level::Ok,
            "a filter is in force",
            "what it refuses shows as weaker or missing above",
        ),
        Some(_) => (Level::Missing, "strict mode", "nothing can be launched"),
        None => (Level::Weaker, "not known", ""),
    };
    Finding {
        name: "seccomp",
        level,
        found: found.to_owned(),
        follows,
    }
}

/// Whether there is a site, what it requires, and what is wrong with it.
fn site(host: &Host) -> Vec<Finding> {
    let finding = |level, found: String, follows| Finding {
        name: "site",
        level,
        found,
        follows,
    };
    let (site, faults) = match &host.site {
        SiteState::None => {
            let follows = "everything is delivered that a manifest names, and nothing is recorded: \
                           hushpipe-site.yaml(5)";
            return vec![finding(Level::Ok, "none".to_owned(), follows)];
        }
        SiteState::Bad(why) => {
            return vec![finding(
                Level::Missing,
                why.replace('\n', " "),
                "nothing can be launched",
            )];
        }
        SiteState::Good(site, faults) => (site, faults),
    };
    let demands = site.demands().into_iter();
    let mut found = vec![site.path.display().to_string()];
    found.extend(
        site.environment
            .iter()
            .map(|name| format!("environment {name}")),
    );
    found.extend(demands.map(|(what, how)| format!("{what} {how}")));
    let mut findings = vec![finding(Level::Ok, printable(&found.join("; ")), "")];
    let faults = faults.iter();
    findings.extend(faults.map(|fault| finding(Level::Weaker, printable(fault), "")));
    findings
}

#[cfg(test)]
mod tests;
