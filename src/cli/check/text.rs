//! The plan as aligned tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{vault, words};
use crate::app::Report;
use crate::cli::Palette;
use crate::cli::table::{cells, table};
use crate::model::printable::printable;
use crate::model::{
    Channel, Children, Delivery, DeliveryKind, FileMode, FileSpec, ForwardTo, Mode, OwnerSpec,
    Plan, Ready, Rewrite, RotateAction, RunSpec, SecretName, SecretSpec, Site, StoreKind,
    StoreName, StoreSpec, format_duration,
};

type Rows = Vec<Vec<String>>;

/// The whole plan, one section below the other.
pub fn plan(plan: &Plan, site: Option<&Site>, report: Option<&Report>, palette: Palette) -> String {
    let mut out = String::new();
    section(&mut out, palette, "service", &service(plan));
    section(&mut out, palette, "program", &program(plan));
    section(&mut out, palette, "stores", &stores(plan));
    section(&mut out, palette, "secrets", &secrets(plan));
    let described = descriptions(plan);
    if !described.is_empty() {
        section(&mut out, palette, "metadata", &described);
    }
    section(&mut out, palette, "deliveries", &deliveries(plan));
    section(&mut out, palette, "signals", &signals(plan));
    section(&mut out, palette, "rotation", &rotation(plan));
    if let Some(site) = site {
        section(&mut out, palette, "site", &site_of(site));
    }
    if let Some(report) = report {
        section(&mut out, palette, "this host", &host(report));
    }
    out
}

/// What the host requires beyond the manifest.
fn site_of(site: &Site) -> Rows {
    let mut rows = vec![row(&["file", &site.path.display().to_string()])];
    if let Some(environment) = &site.environment {
        rows.push(row(&["environment", environment]));
    }
    rows.extend(labels(&site.labels).map(|label| row(&["label", &label])));
    rows.extend(site.demands().iter().map(|(what, how)| row(&[what, how])));
    rows
}

/// What a run would find here.
fn host(report: &Report) -> Rows {
    let mut rows = vec![row(&["program", &report.program.display().to_string()])];
    let tried: Vec<&str> = report.isolation.iter().map(|used| used.word()).collect();
    if !tried.is_empty() {
        rows.push(row(&["isolation", &tried.join(", else ")]));
    }
    for (secret, version) in &report.versions {
        rows.push(row(&["secret", &format!("{secret} has version {version}")]));
    }
    rows
}

/// A heading and aligned rows; the last column is as long as it is.
fn section(out: &mut String, palette: Palette, heading: &str, rows: &Rows) {
    let (on, off) = (palette.heading(), palette.reset());
    if !out.is_empty() {
        out.push('\n');
    }
    writeln!(out, "{on}{heading}{off}").expect("writing to a String does not fail");
    if rows.is_empty() {
        out.push_str("  none\n");
    }
    out.push_str(&table(&cells(rows), 2, palette));
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| printable(cell)).collect()
}

fn service(plan: &Plan) -> Rows {
    let mut rows = vec![
        row(&["name", &plan.service]),
        row(&["manifest", &plan.manifest.display().to_string()]),
    ];
    for (name, value) in [("environment", &plan.environment), ("owner", &plan.owner)] {
        if let Some(value) = value {
            rows.push(row(&[name, value]));
        }
    }
    rows.extend(labels(&plan.labels).map(|label| row(&["label", &label])));
    rows
}

fn program(plan: &Plan) -> Rows {
    let run = &plan.run;
    let mut rows = vec![
        row(&["command", &words::argv(&run.shown())]),
        row(&["mode", plan.mode.word()]),
    ];
    let optional = [
        ("user", run.user.clone()),
        ("group", run.group.clone()),
        (
            "groups",
            run.supplementary_groups
                .as_ref()
                .map(|groups| words::list(groups)),
        ),
        (
            "directory",
            run.cwd.as_ref().map(|path| path.display().to_string()),
        ),
        ("umask", run.umask.map(|mask| format!("{mask:04o}"))),
        ("sha256", run.sha256.map(|digest| digest.to_string())),
        ("limits", limits(run)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            rows.push(row(&[name, &value]));
        }
    }
    rows.push(row(&["environment", &environment(run)]));
    rows.push(row(&["protection", &protection(run)]));
    rows
}

fn limits(run: &RunSpec) -> Option<String> {
    let number =
        |limit: Option<u64>| limit.map_or("infinity".to_owned(), |limit| limit.to_string());
    let limits: Vec<String> = run
        .rlimits
        .iter()
        .map(|(name, (soft, hard))| {
            if soft == hard {
                format!("{name} {}", number(*soft))
            } else {
                format!("{name} {} (hard {})", number(*soft), number(*hard))
            }
        })
        .collect();
    (!limits.is_empty()).then(|| limits.join(", "))
}

fn environment(run: &RunSpec) -> String {
    let names: Vec<String> = run.env.set.keys().cloned().collect();
    let mut text = format!("inherits {}", run.env.inherit);
    for (what, names) in [("without", &run.env.unset), ("sets", &names)] {
        if !names.is_empty() {
            write!(text, "; {what} {}", names.join(", "))
                .expect("writing to a String does not fail");
        }
    }
    text
}

fn protection(run: &RunSpec) -> String {
    let cores = if run.core_dumps {
        "core dumps allowed"
    } else {
        "no core dumps"
    };
    let privileges = if run.no_new_privs {
        "no new privileges"
    } else {
        "new privileges allowed"
    };
    let streams: Vec<_> = run.redact.iter().map(|stream| stream.word()).collect();
    let redacted = match &streams[..] {
        [] => String::new(),
        streams => format!(", values replaced in {}", streams.join(" and ")),
    };
    format!("{cores}, {privileges}{redacted}")
}

fn stores(plan: &Plan) -> Rows {
    plan.stores
        .iter()
        .flat_map(|(name, spec)| store(name, spec, plan.mode))
        .collect()
}

fn store(name: &StoreName, spec: &StoreSpec, mode: Mode) -> Rows {
    let name = name.as_str();
    let one = match &spec.kind {
        StoreKind::Sealed(sealed) => {
            let identity = format!("identity {}", sealed.identity_file.display());
            row(&[
                name,
                "sealed",
                &sealed.path.display().to_string(),
                &identity,
            ])
        }
        StoreKind::Directory(directory) => {
            row(&[name, "directory", &directory.path.display().to_string()])
        }
        StoreKind::Command(command) => {
            let within = format_duration(command.timeout);
            let how = format!("{}, within {within}", command.format);
            row(&[name, "command", &words::argv(&command.run), &how])
        }
        StoreKind::Vault(vault) => {
            let lines = vault::lines(vault, mode);
            let names = std::iter::once([name, "vault"]).chain(std::iter::repeat(["", ""]));
            let rows = names.zip(&lines);
            return rows
                .map(|([name, kind], line)| row(&[name, kind, line]))
                .collect();
        }
    };
    vec![one]
}

fn secrets(plan: &Plan) -> Rows {
    if plan.secrets.is_empty() {
        return Rows::new();
    }
    let mut rows = vec![row(&[
        "NAME", "STORE", "KEY", "FORMAT", "REFRESH", "CHECKS",
    ])];
    rows.extend(
        plan.secrets
            .iter()
            .map(|(name, spec)| secret(name.as_str(), spec)),
    );
    rows
}

/// What policy and reports are told of secrets, where the manifest says anything.
fn descriptions(plan: &Plan) -> Rows {
    let described = plan.secrets.iter().filter_map(|(name, spec)| {
        let words = [
            ("classification", spec.classification.clone()),
            ("owner", spec.owner.clone()),
            ("environment", spec.environment.clone()),
            ("max_age", spec.max_age.map(format_duration)),
        ];
        let words = words.into_iter();
        let mut words: Vec<String> = words
            .filter_map(|(key, value)| Some(format!("{key} {}", value?)))
            .collect();
        words.extend(labels(&spec.labels));
        (!words.is_empty()).then(|| row(&[name.as_str(), &words.join(", ")]))
    });
    described.collect()
}

fn labels(labels: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    labels.iter().map(|(name, value)| format!("{name}={value}"))
}

fn secret(name: &str, spec: &SecretSpec) -> Vec<String> {
    let checks = spec.checks.words();
    let checks = if checks.is_empty() {
        "-".to_owned()
    } else {
        checks.join(", ")
    };
    row(&[
        name,
        spec.source.store.as_str(),
        &asked(spec),
        spec.source.fields(),
        &spec.refresh.to_string(),
        &checks,
    ])
}

/// What the store is asked.
fn asked(spec: &SecretSpec) -> String {
    let source = &spec.source;
    let mut text = match (&source.request, &source.key) {
        (Some(request), _) => vault::request(request),
        (None, Some(key)) => key.clone(),
        (None, None) => "-".to_owned(),
    };
    if let Some(version) = &source.version {
        write!(text, " (version {version})").expect("writing to a String does not fail");
    }
    text
}

fn deliveries(plan: &Plan) -> Rows {
    let mut rows: Rows = plan.deliveries.iter().map(delivery).collect();
    let files = |delivery: &Delivery| {
        matches!(
            delivery.kind,
            DeliveryKind::File(_) | DeliveryKind::Fifo { .. } | DeliveryKind::Credential(_)
        )
    };
    if plan.deliveries.iter().any(files) {
        rows.push(row(&["isolation", plan.isolation.word()]));
    }
    rows
}

fn delivery(delivery: &Delivery) -> Vec<String> {
    let carries = match &delivery.channel {
        Channel::Secret(reference) => format!("secret {reference}"),
        Channel::Template(_) => "template".to_owned(),
    };
    match &delivery.kind {
        DeliveryKind::File(spec) => row(&[
            "file",
            &path(spec),
            &carries,
            &access(spec.mode, &spec.owner),
        ]),
        DeliveryKind::Fifo { file, max_reads } => {
            let reads = max_reads.map_or(String::new(), |reads| format!(", at most {reads} reads"));
            row(&[
                "fifo",
                &path(file),
                &carries,
                &format!("{}{reads}", access(file.mode, &file.owner)),
            ])
        }
        DeliveryKind::Fd {
            number,
            kind,
            mode,
            owner,
        } => {
            let how = format!("{}, {}", kind, access(*mode, owner));
            row(&["fd", &number.to_string(), &carries, &how])
        }
        DeliveryKind::Getenv { name, children } => {
            let how = match children {
                Children::None => "the program alone",
                Children::Same => "the program and its children",
            };
            row(&["getenv", name, &carries, how])
        }
        DeliveryKind::Stdin => row(&["stdin", "0", &carries, "pipe"]),
        DeliveryKind::Credential(spec) => row(&[
            "credential",
            &path(spec),
            &carries,
            &access(spec.mode, &spec.owner),
        ]),
    }
}

fn path(spec: &FileSpec) -> String {
    let path = spec.path.display();
    match &spec.link {
        Some(link) => format!("{path} (linked from {})", link.display()),
        None => path.to_string(),
    }
}

fn access(mode: FileMode, owner: &OwnerSpec) -> String {
    let mut text = mode.to_string();
    for (what, name) in [("owner", &owner.user), ("group", &owner.group)] {
        if let Some(name) = name {
            write!(text, ", {what} {name}").expect("writing to a String does not fail");
        }
    }
    text
}

fn signals(plan: &Plan) -> Rows {
    if plan.mode == Mode::Exec {
        return vec![row(&["to", "the program itself: no parent stays"])];
    }
    let run = &plan.run;
    let stop = format!(
        "{}, then SIGKILL after {}",
        run.stop.signal,
        format_duration(run.stop.timeout)
    );
    let mut rows = vec![
        row(&["to", ForwardTo::of(run.forward.to_group).word()]),
        row(&["stop", &stop]),
        row(&["leftovers", run.stop.leftovers.word()]),
    ];
    if let Some(forking) = &run.startup.forking {
        let text = match &forking.pid_file {
            Some(path) => format!("the daemon in {} is followed", path.display()),
            None => "the daemon that it leaves is followed".to_owned(),
        };
        rows.push(row(&["forking", &text]));
    }
    if run.startup.ready == Ready::Started {
        rows.push(row(&["ready", "when it was executed"]));
    }
    for (signal, becomes) in &run.forward.rewrite {
        let text = match becomes {
            Rewrite::Rotate => format!("{signal} rotates"),
            becomes => format!("{signal} becomes {becomes}"),
        };
        rows.push(row(&["rewrite", &text]));
    }
    rows
}

/// Variables whose new values wait for a restart, which nothing does by itself.
fn needs_restart(plan: &Plan) -> Option<Vec<String>> {
    let restarts = |name: &SecretName| {
        let own = plan
            .secrets
            .get(name)
            .and_then(|spec| spec.on_rotate.as_ref());
        *own.unwrap_or(&plan.on_rotate.action) == RotateAction::Restart
    };
    let waiting = plan
        .deliveries
        .iter()
        .filter_map(|delivery| match &delivery.kind {
            DeliveryKind::Getenv { name, .. }
                if !delivery.channel.secrets().iter().all(restarts) =>
            {
                Some(name.clone())
            }
            _ => None,
        });
    let waiting: Vec<String> = waiting.collect();
    (!waiting.is_empty()).then(|| {
        let text = format!(
            "a new value of {} takes a restart: `do: restart` restarts",
            waiting.join(", ")
        );
        row(&["getenv", &text])
    })
}

fn rotation(plan: &Plan) -> Rows {
    if plan.mode == Mode::Exec {
        return vec![row(&["do", "nothing: no parent stays"])];
    }
    let on_rotate = &plan.on_rotate;
    let mut rows = vec![row(&["do", &words::action(&on_rotate.action)])];
    for (name, spec) in &plan.secrets {
        if let Some(own) = &spec.on_rotate {
            rows.push(row(&[&format!("do for {name}"), &words::action(own)]));
        }
    }
    rows.extend(needs_restart(plan));
    rows.push(row(&["settle", &format_duration(on_rotate.settle)]));
    if !on_rotate.splay.is_zero() {
        let splay = format!("up to {}", format_duration(on_rotate.splay));
        rows.push(row(&["splay", &splay]));
    }
    if let Some(asked) = &on_rotate.verify {
        rows.push(row(&["verify", &words::verify(asked)]));
    }
    if on_rotate.verify.is_some() || on_rotate.rollback {
        let back = if on_rotate.rollback { "yes" } else { "no" };
        rows.push(row(&["rollback", back]));
    }
    let mut actions = plan
        .secrets
        .values()
        .filter_map(|spec| spec.on_rotate.as_ref());
    let restarts = |action: &RotateAction| *action == RotateAction::Restart;
    if restarts(&on_rotate.action) || actions.any(restarts) {
        let budget = words::restarts(on_rotate.restarts);
        rows.push(row(&["restarts", &format!("at most {budget}")]));
    }
    rows
}
