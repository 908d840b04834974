//! What the program will miss, though nothing is wrong with the plan.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{getenv, inherited};
use crate::delivery::Layout;
use crate::model::printable::printable;
use crate::model::{DeliveryKind, EnvInherit, Plan, credentials, loads_code};
use crate::supervisor::spawn::Launch;
use crate::sys::child::Identity;
use crate::sys::fd;

/// One warning each.
pub fn warnings(plan: &Plan, launch: &Launch, layout: &Layout) -> Vec<String> {
    let mut warnings: Vec<String> = identity(plan, std::env::vars_os()).into_iter().collect();
    warnings.extend(loading(plan, std::env::vars_os()));
    warnings.extend(descriptors(plan, launch));
    warnings.extend(getenv::warning(plan));
    if let Some(identity) = launch.identity() {
        warnings.extend(closed_directories(plan, launch, layout, identity));
    }
    warnings
}

/// Credentials of the program's own, as a cloud gives them to a container, are not told from those of
/// a store's tool.
fn identity(plan: &Plan, variables: impl Iterator<Item = (OsString, OsString)>) -> Option<String> {
    let env = &plan.run.env;
    let named = |name: &str| {
        [&env.unset, &env.withheld]
            .iter()
            .any(|names| names.iter().any(|known| known == name))
            || env.names(name)
    };
    if !matches!(env.inherit, EnvInherit::All | EnvInherit::AllAnd(_)) {
        return None;
    }
    let mut kept: Vec<String> = variables
        .filter(|(name, value)| !value.is_empty() && credentials::is_identity(name.as_bytes()))
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| !named(name))
        .collect();
    if kept.is_empty() {
        return None;
    }
    kept.sort();
    Some(format!(
        "the program does not inherit {}: if it logs in with them itself, name them in \
         run.env.inherit, as [all, {}]; if not, in run.env.unset",
        kept.join(", "),
        kept[0]
    ))
}

/// Variables by which the caller would have the program run other code than what policy judged.
fn loading(plan: &Plan, variables: impl Iterator<Item = (OsString, OsString)>) -> Option<String> {
    let env = &plan.run.env;
    let named = env.loading.as_ref()?;
    if !matches!(env.inherit, EnvInherit::All | EnvInherit::AllAnd(_)) {
        return None;
    }
    let is_left_out = |name: &String| {
        loads_code(name.as_bytes())
            && !named.contains(name)
            && !env.unset.contains(name)
            && !env.set.contains_key(name)
    };
    let names = variables.map(|(name, _)| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(is_left_out).collect();
    names.sort();
    let first = names.first()?;
    Some(format!(
        "the program does not inherit {}: this host's site has policies, which judge the program's \
         file, and such a variable has it run other code. If it needs it, set it in run.env.set, or \
         name it in run.env.inherit, as [all, {}]",
        printable(&names.join(", ")),
        printable(first)
    ))
}

/// Descriptors of hushpipe's caller that an argument or a variable names, and that are closed.
fn descriptors(plan: &Plan, launch: &Launch) -> Vec<String> {
    let delivered = |wanted: RawFd| {
        plan.deliveries.iter().any(|delivery| match delivery.kind {
            DeliveryKind::Fd { number, .. } => number == wanted,
            _ => false,
        })
    };
    let closed: Vec<RawFd> = fd::inherited()
        .into_iter()
        .filter(|number| !delivered(*number))
        .collect();
    let mut warnings = Vec::new();
    if closed.is_empty() {
        return warnings;
    }
    let mut warn = |number: RawFd, place: String, declare: &str| {
        warnings.push(format!(
            "the program does not get file descriptor {number} of hushpipe's caller, which {place} \
             names: if it is to have it, add `run: {{ fds: {{ inherit: [{declare}] }} }}`"
        ));
    };
    for (index, argument) in launch.argv().iter().enumerate() {
        for number in paths(argument.as_bytes(), &closed) {
            warn(number, format!("argument {index}"), &number.to_string());
        }
    }
    for variable in launch.env() {
        let bytes = variable.as_bytes();
        let equals = memchr::memchr(b'=', bytes).unwrap_or(bytes.len());
        let (name, value) = (
            &bytes[..equals],
            bytes.get(equals + 1..).unwrap_or_default(),
        );
        let name = OsStr::from_bytes(name);
        let mut numbers = paths(value, &closed);
        if inherited::names_descriptors(name) {
            numbers.extend(inherited::numbers(OsStr::from_bytes(value)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        let shown = name.to_string_lossy();
        if let Some(number) = numbers.into_iter().find(|number| closed.contains(number)) {
            warn(number, format!("the variable {shown}"), &shown);
        }
    }
    warnings
}

/// Which of them a text names by a path such as `/dev/fd/63`, which shells put for `<(...)`.
fn paths(text: &[u8], closed: &[RawFd]) -> Vec<RawFd> {
    let mut found = Vec::new();
    for start in memchr::memmem::find_iter(text, b"/fd/") {
        let before = &text[..start];
        if before.ends_with(b"/dev") || before.ends_with(b"/proc/self") {
            let digits = text[start + 4..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit());
            let digits: Vec<u8> = digits.copied().collect();
            let number = std::str::from_utf8(&digits).ok();
            let number = number.and_then(|digits| digits.parse().ok());
            found.extend(number.filter(|number| closed.contains(number)));
        }
    }
    found
}

/// Directories on the way to the program, its working directory and its deliveries that its user may
/// not enter.
fn closed_directories(
    plan: &Plan,
    launch: &Launch,
    layout: &Layout,
    identity: &Identity,
) -> Vec<String> {
    let above = |path: &Path| path.parent().map(Path::to_owned);
    let program = above(launch.program()).map(|directory| (directory, "the program"));
    let cwd = plan.run.cwd.clone().map(|cwd| (cwd, "run.cwd"));
    // The last one hushpipe makes, or mounts on.
    let deliveries = layout.directories().into_iter();
    let deliveries =
        deliveries.filter_map(|directory| Some((above(&directory)?, "what is delivered")));
    let mut warned: Vec<PathBuf> = Vec::new();
    let mut warnings = Vec::new();
    for (directory, what) in program.into_iter().chain(cwd).chain(deliveries) {
        let Some(closed) = first_closed(&directory, identity) else {
            continue;
        };
        if !warned.contains(&closed) {
            warnings.push(format!(
                "uid {} may not enter {}, which is on the way to {what}: chmod o+x, or give it to the \
                 program's user or group",
                identity.uid,
                closed.display()
            ));
            warned.push(closed);
        }
    }
    warnings
}

/// The first directory from the root on that this user may not enter, as far as its mode tells. With
/// an ACL, the group's bits are the most that it gives anybody.
fn first_closed(path: &Path, identity: &Identity) -> Option<PathBuf> {
    if identity.uid == 0 {
        return None;
    }
    let mut directories: Vec<&Path> = path.ancestors().collect();
    directories.reverse();
    let closed = directories.into_iter().find(|directory| {
        let Ok(status) = std::fs::metadata(directory) else {
            return false;
        };
        let in_group = status.gid() == identity.gid || identity.groups.contains(&status.gid());
        let bit = if status.uid() == identity.uid {
            0o100
        } else if in_group {
            0o010
        } else {
            0o011
        };
        status.is_dir() && status.mode() & bit == 0
    });
    closed.map(Path::to_owned)
}
