//! The plan as JSON. Values of variables that the program gets are left out, as anything could be
//! in them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::text::{action, checks, env_inherit, isolation_used, refresh};
use crate::app::Report;
use crate::model::{
    Channel, Delivery, DeliveryKind, FileSpec, Plan, RunSpec, SecretSpec, StoreKind, StoreSpec,
    format_duration,
};

/// The whole plan.
pub fn plan(plan: &Plan, report: Option<&Report>) -> Value {
    json!({
        "manifest": plan.manifest.display().to_string(),
        "service": plan.service,
        "environment": plan.environment,
        "owner": plan.owner,
        "mode": super::text::mode(plan.mode),
        "stores": named(plan.stores.iter().map(|(name, spec)| (name.to_string(), store(spec)))),
        "secrets": named(plan.secrets.iter().map(|(name, spec)| (name.to_string(), secret(spec)))),
        "deliver": plan.deliveries.iter().map(delivery).collect::<Vec<_>>(),
        "isolation": super::text::isolation(plan.isolation),
        "run": run(&plan.run),
        "on_rotate": {
            "do": action(&plan.on_rotate.action),
            "settle": format_duration(plan.on_rotate.settle),
            "splay": format_duration(plan.on_rotate.splay),
            "verify": plan.on_rotate.verify.as_ref().map(super::text::verify),
            "rollback": plan.on_rotate.rollback,
            "restarts": super::text::restarts(plan.on_rotate.restarts),
        },
        "warnings": plan.warnings,
        "host": report.map(host),
    })
}

fn host(report: &Report) -> Value {
    let tried = report.isolation.iter().map(|used| isolation_used(*used));
    let versions = report.versions.iter();
    json!({
        "program": report.program.display().to_string(),
        "isolation": tried.collect::<Vec<_>>(),
        "versions": named(versions.map(|(name, version)| (name.to_string(), json!(version.0)))),
    })
}

fn named(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(entries.collect::<Map<_, _>>())
}

fn store(spec: &StoreSpec) -> Value {
    match &spec.kind {
        StoreKind::Sealed(sealed) => json!({
            "type": "sealed",
            "path": sealed.path.display().to_string(),
            "identity_file": sealed.identity_file.display().to_string(),
        }),
        StoreKind::Directory(directory) => json!({
            "type": "directory",
            "path": directory.path.display().to_string(),
        }),
        StoreKind::Command(command) => json!({
            "type": "command",
            "run": command.run,
            "format": super::text::format(command.format),
            "timeout": format_duration(command.timeout),
            "env": command.env,
        }),
        StoreKind::Vault(vault) => json!({
            "type": "vault",
            "addresses": vault.addresses.iter().map(super::text::address).collect::<Vec<_>>(),
            "namespace": vault.namespace,
            "auth": super::text::auth(&vault.auth),
            "deadline": format_duration(vault.deadline),
            "revoke_on_exit": vault.revoke_on_exit,
        }),
    }
}

fn secret(spec: &SecretSpec) -> Value {
    json!({
        "store": spec.source.store.to_string(),
        "key": spec.source.key,
        "version": spec.source.version,
        "path": spec.source.request.as_ref().map(|request| &request.path),
        "on_rotate": spec.on_rotate.as_ref().map(action),
        "format": super::text::format(spec.source.format),
        "refresh": refresh(spec.refresh),
        "checks": checks(&spec.checks),
        "classification": spec.classification,
        "owner": spec.owner,
    })
}

fn delivery(delivery: &Delivery) -> Value {
    let mut object = match &delivery.kind {
        DeliveryKind::File(spec) => file("file", spec),
        DeliveryKind::Fifo {
            file: spec,
            max_reads,
        } => {
            let mut object = file("fifo", spec);
            object["max_reads"] = json!(max_reads);
            object
        }
        DeliveryKind::Fd { number, kind } => {
            json!({ "fd": number, "as": super::text::fd_kind(*kind) })
        }
        DeliveryKind::Stdin => json!({ "stdin": true }),
    };
    match &delivery.channel {
        Channel::Secret(reference) => object["secret"] = json!(reference.to_string()),
        Channel::Template(_) => object["content"] = json!("template"),
    }
    object
}

fn file(kind: &str, spec: &FileSpec) -> Value {
    json!({
        kind: spec.path.display().to_string(),
        "mode": spec.mode.to_string(),
        "owner": spec.owner.user,
        "group": spec.owner.group,
    })
}

fn run(run: &RunSpec) -> Value {
    let seconds = |duration: Duration| format_duration(duration);
    let rewrite = run
        .forward
        .rewrite
        .iter()
        .map(|(signal, becomes)| (signal.to_string(), json!(super::text::rewrite(*becomes))));
    let limits = run
        .rlimits
        .iter()
        .map(|(name, (soft, hard))| (name.clone(), json!({ "soft": soft, "hard": hard })));
    json!({
        "command": run.command,
        "user": run.user,
        "group": run.group,
        "groups": run.supplementary_groups,
        "cwd": run.cwd.as_ref().map(|path| path.display().to_string()),
        "umask": run.umask.map(|mask| format!("{mask:04o}")),
        "env": {
            "inherit": env_inherit(&run.env.inherit),
            "unset": run.env.unset,
            "set": run.env.set.keys().collect::<Vec<_>>(),
        },
        "sha256": run.sha256.map(|digest| digest.to_string()),
        "stop": {
            "signal": run.stop.signal.to_string(),
            "timeout": seconds(run.stop.timeout),
            "leftovers": super::text::leftovers(run.stop.leftovers),
        },
        "signals": {
            "to": super::text::forward_to(&run.forward),
            "rewrite": named(rewrite),
        },
        "core_dumps": run.core_dumps,
        "no_new_privs": run.no_new_privs,
        "rlimits": named(limits),
    })
}
