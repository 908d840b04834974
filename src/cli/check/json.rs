//! The plan as JSON. Values of variables that the program gets are left out, as anything could be
//! in them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{vault, words};
use crate::app::Report;
use crate::model::{
    Channel, Delivery, DeliveryKind, FileSpec, OnRotate, Plan, RotateAction, RunSpec, SecretSpec,
    StoreKind, StoreSpec, Verify, VerifyHow, format_duration,
};

/// The whole plan.
pub fn plan(plan: &Plan, report: Option<&Report>) -> Value {
    json!({
        "manifest": plan.manifest.display().to_string(),
        "service": plan.service,
        "environment": plan.environment,
        "owner": plan.owner,
        "mode": words::mode(plan.mode),
        "stores": named(plan.stores.iter().map(|(name, spec)| (name.to_string(), store(spec)))),
        "secrets": named(plan.secrets.iter().map(|(name, spec)| (name.to_string(), secret(spec)))),
        "deliver": plan.deliveries.iter().map(delivery).collect::<Vec<_>>(),
        "isolation": words::isolation(plan.isolation),
        "run": run(&plan.run),
        "on_rotate": on_rotate(&plan.on_rotate),
        "warnings": plan.warnings,
        "host": report.map(host),
    })
}

fn host(report: &Report) -> Value {
    let tried = report
        .isolation
        .iter()
        .map(|used| words::isolation_used(*used));
    let versions = report.versions.iter();
    json!({
        "program": report.program.display().to_string(),
        "warnings": report.warnings,
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
            "format": words::format(command.format),
            "timeout": format_duration(command.timeout),
            "env": command.env,
        }),
        StoreKind::Vault(vault) => vault::json(vault),
    }
}

fn secret(spec: &SecretSpec) -> Value {
    json!({
        "store": spec.source.store.to_string(),
        "key": spec.source.key,
        "version": spec.source.version,
        "request": spec.source.request.as_ref().map(vault::request_json),
        "format": words::fields(&spec.source),
        "on_rotate": spec.on_rotate.as_ref().map(action),
        "refresh": words::refresh(spec.refresh),
        "checks": words::checks(&spec.checks),
        "classification": spec.classification,
        "owner": spec.owner,
    })
}

fn on_rotate(on_rotate: &OnRotate) -> Value {
    let mut object = action(&on_rotate.action);
    object["settle"] = json!(format_duration(on_rotate.settle));
    object["splay"] = json!(format_duration(on_rotate.splay));
    object["verify"] = on_rotate.verify.as_ref().map_or(Value::Null, verify);
    object["rollback"] = json!(on_rotate.rollback);
    object["restarts"] = json!({
        "max": on_rotate.restarts.max,
        "per": format_duration(on_rotate.restarts.per),
    });
    object
}

/// As the manifest writes it.
fn action(action: &RotateAction) -> Value {
    match action {
        RotateAction::Nothing => json!({ "do": "nothing" }),
        RotateAction::Restart => json!({ "do": "restart" }),
        RotateAction::Signal(signal) => json!({ "do": "signal", "signal": signal.to_string() }),
        RotateAction::Command { argv, timeout } => json!({
            "do": "command",
            "command": argv,
            "timeout": format_duration(*timeout),
        }),
        RotateAction::Http {
            url,
            method,
            timeout,
        } => json!({
            "do": "http",
            "http": url,
            "method": words::http_method(*method),
            "timeout": format_duration(*timeout),
        }),
    }
}

fn verify(verify: &Verify) -> Value {
    let within = format_duration(verify.within);
    match &verify.how {
        VerifyHow::Http(url) => json!({ "http": url, "within": within }),
        VerifyHow::Command(argv) => json!({ "command": argv, "within": within }),
        VerifyHow::Alive => json!({ "alive": true, "within": within }),
    }
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
        DeliveryKind::Fd {
            number,
            kind,
            mode,
            owner,
        } => json!({
            "fd": number,
            "as": words::fd_kind(*kind),
            "mode": mode.to_string(),
            "owner": owner.user,
            "group": owner.group,
        }),
        DeliveryKind::Stdin => json!({ "stdin": true }),
        DeliveryKind::Credential(spec) => file("credential", spec),
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
        .map(|(signal, becomes)| (signal.to_string(), json!(words::rewrite(*becomes))));
    let limits = run
        .rlimits
        .iter()
        .map(|(name, (soft, hard))| (name.clone(), json!({ "soft": soft, "hard": hard })));
    json!({
        "command": run.shown(),
        "user": run.user,
        "group": run.group,
        "groups": run.supplementary_groups,
        "cwd": run.cwd.as_ref().map(|path| path.display().to_string()),
        "umask": run.umask.map(|mask| format!("{mask:04o}")),
        "env": {
            "inherit": words::env_inherit(&run.env.inherit),
            "unset": run.env.unset,
            "set": run.env.set.keys().collect::<Vec<_>>(),
        },
        "sha256": run.sha256.map(|digest| digest.to_string()),
        "ready": words::ready(run.startup.ready),
        "forking": run.startup.forking.as_ref().map(|forking| {
            json!({ "pid_file": forking.pid_file.as_ref().map(|path| path.display().to_string()) })
        }),
        "stop": {
            "signal": run.stop.signal.to_string(),
            "timeout": seconds(run.stop.timeout),
            "leftovers": words::leftovers(run.stop.leftovers),
        },
        "signals": {
            "to": words::forward_to(&run.forward),
            "rewrite": named(rewrite),
        },
        "core_dumps": run.core_dumps,
        "no_new_privs": run.no_new_privs,
        "rlimits": named(limits),
    })
}
