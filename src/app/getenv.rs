//! What this host says to `getenv` deliveries, before anything is fetched.

use std::path::Path;

use super::failure::{Failure, Failures};
use crate::model::{Children, DeliveryKind, Exit, Place, Plan};
use crate::supervisor::spawn::Launch;
use crate::sys::privileges::{self, Capabilities};
use crate::sys::{host, seccomp, trace};

/// Programs that start the real one as a child, and do not become it.
const PARENTS: [&str; 18] = [
    "npm",
    "npx",
    "yarn",
    "pnpm",
    "make",
    "gmake",
    "tini",
    "dumb-init",
    "catatonit",
    "supervisord",
    "honcho",
    "foreman",
    "overmind",
    "pm2",
    "nodemon",
    "watchexec",
    "sudo",
    "su",
];

/// The first of the plan's `getenv` deliveries: where it stands, and its variable.
fn first(plan: &Plan) -> Option<(Place, &str)> {
    plan.deliveries
        .iter()
        .find_map(|delivery| match &delivery.kind {
            DeliveryKind::Getenv { name, .. } => Some((delivery.at, name.as_str())),
            _ => None,
        })
}

/// Why this host, or this program, cannot have them.
pub fn refusals(plan: &Plan, launch: Option<&Launch>) -> Failures {
    let Some((at, name)) = first(plan) else {
        return Failures::new();
    };
    let refuse = |exit, why: String| Failure::new(exit, format!("{at}: getenv {name}: {why}"));
    let mut failures = Failures::new();
    if let Some(what) = launch.and_then(Launch::privileges_of_the_file) {
        let program = launch.map_or(Path::new(""), Launch::program);
        let why = format!(
            "{} {what}, which a program that is traced at its start would lose: deliver by `file` or \
             `fd`",
            program.display()
        );
        failures.push(refuse(Exit::Manifest, why));
    }
    let may_trace = privileges::effective().contains(Capabilities::SYS_PTRACE);
    // Who may trace whom (Documentation/admin-guide/LSM/Yama.rst); a kernel without Yama restricts nothing.
    let scope = host::setting("kernel/yama/ptrace_scope");
    let scope: u32 = scope.and_then(|text| text.parse().ok()).unwrap_or(0);
    let why = match scope {
        3.. => Some(
            "kernel.yama.ptrace_scope is 3: no process may be traced until the next boot; deliver by \
             `file` or `fd`",
        ),
        2 if !may_trace => Some(
            "kernel.yama.ptrace_scope is 2: give hushpipe CAP_SYS_PTRACE, or deliver by `file` or `fd`",
        ),
        _ if !trace::are_known() => {
            Some("hushpipe does not support it on this architecture: deliver by `file` or `fd`")
        }
        _ if !seccomp::can_listen() => Some(
            "this kernel has no seccomp user notification (Linux before 5.5, gVisor), or a seccomp \
             filter refuses it (in a unit: `SystemCallFilter=seccomp ptrace process_vm_readv`): deliver \
             by `file` or `fd`",
        ),
        _ => None,
    };
    failures.extend(why.map(|why| refuse(Exit::Os, why.to_owned())));
    failures
}

/// What a program will miss that starts the real one as a child.
pub fn warning(plan: &Plan) -> Option<String> {
    let command = plan.run.command.first().map(Path::new)?.file_name()?;
    let command = command.to_str().filter(|name| PARENTS.contains(name))?;
    let names: Vec<&str> = plan
        .deliveries
        .iter()
        .filter_map(|delivery| match &delivery.kind {
            DeliveryKind::Getenv { name, children } if *children == Children::None => {
                Some(name.as_str())
            }
            _ => None,
        })
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "what {command} starts does not get {}: `children: same` in the delivery lets it",
            names.join(", ")
        )
    })
}
