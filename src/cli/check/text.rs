//! The plan as aligned tables.

use std::fmt::Write as _;

use crate::app::Report;
use crate::cli::Palette;
use crate::model::{
    Address, Channel, Checks, Delivery, DeliveryKind, EnvInherit, FdKind, FieldChecks, FileSpec,
    Forward, HttpMethod, Isolation, IsolationUsed, Leftovers, Mode, Plan, Refresh, RestartBudget,
    Rewrite, RotateAction, RunSpec, SecretSpec, StoreKind, StoreName, StoreSpec, ValueFormat,
    VaultAuth, Verify, VerifyHow, format_duration,
};

type Rows = Vec<Vec<String>>;

/// The whole plan, one section below the other.
pub fn plan(plan: &Plan, report: Option<&Report>, palette: Palette) -> String {
    let mut out = String::new();
    section(&mut out, palette, "service", &service(plan));
    section(&mut out, palette, "program", &program(plan));
    section(&mut out, palette, "stores", &stores(plan));
    section(&mut out, palette, "secrets", &secrets(plan));
    section(&mut out, palette, "deliveries", &deliveries(plan));
    section(&mut out, palette, "signals", &signals(plan));
    section(&mut out, palette, "rotation", &rotation(plan));
    if let Some(report) = report {
        section(&mut out, palette, "this host", &host(report));
    }
    out
}

/// What a run would find here.
fn host(report: &Report) -> Rows {
    let mut rows = vec![row(&["program", &report.program.display().to_string()])];
    let tried: Vec<&str> = report
        .isolation
        .iter()
        .map(|used| isolation_used(*used))
        .collect();
    if !tried.is_empty() {
        rows.push(row(&["isolation", &tried.join(", else ")]));
    }
    for (secret, version) in &report.versions {
        rows.push(row(&["secret", &format!("{secret} has version {version}")]));
    }
    rows
}

/// As in `isolation:`.
pub const fn isolation_used(used: IsolationUsed) -> &'static str {
    match used {
        IsolationUsed::Private => "private",
        IsolationUsed::Shared => "shared",
    }
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
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, " {cell:width$} ").expect("writing to a String does not fail");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| visible(cell)).collect()
}

/// Text of a manifest without control characters: it goes to a terminal.
fn visible(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
            out
        })
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
    rows
}

fn program(plan: &Plan) -> Rows {
    let run = &plan.run;
    let argv: Vec<String> = run.command.iter().map(|word| shell_word(word)).collect();
    let mut rows = vec![
        row(&["command", &argv.join(" ")]),
        row(&["mode", mode(plan.mode)]),
    ];
    let optional = [
        ("user", run.user.clone()),
        ("group", run.group.clone()),
        (
            "groups",
            run.supplementary_groups.as_ref().map(|groups| list(groups)),
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

fn list(words: &[String]) -> String {
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// A word as a shell would take it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
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
    let mut text = format!("inherits {}", env_inherit(&run.env.inherit));
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
    format!("{cores}, {privileges}")
}

fn stores(plan: &Plan) -> Rows {
    plan.stores
        .iter()
        .map(|(name, spec)| store(name, spec))
        .collect()
}

fn store(name: &StoreName, spec: &StoreSpec) -> Vec<String> {
    let name = name.as_str();
    match &spec.kind {
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
            let argv: Vec<String> = command.run.iter().map(|word| shell_word(word)).collect();
            let how = format!(
                "{}, within {}",
                format(command.format),
                format_duration(command.timeout)
            );
            row(&[name, "command", &argv.join(" "), &how])
        }
        StoreKind::Vault(vault) => {
            let addresses: Vec<String> = vault.addresses.iter().map(address).collect();
            let how = format!(
                "{}, within {}",
                auth(&vault.auth),
                format_duration(vault.deadline)
            );
            row(&[name, "vault", &addresses.join(" "), &how])
        }
    }
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

fn secret(name: &str, spec: &SecretSpec) -> Vec<String> {
    let path = spec.source.request.as_ref().map(|request| &request.path);
    let mut key = path
        .or(spec.source.key.as_ref())
        .map_or_else(|| "-".to_owned(), Clone::clone);
    if let Some(version) = spec.source.version {
        write!(key, " (version {version})").expect("writing to a String does not fail");
    }
    let checks = checks(&spec.checks);
    let checks = if checks.is_empty() {
        "-".to_owned()
    } else {
        checks.join(", ")
    };
    row(&[
        name,
        spec.source.store.as_str(),
        &key,
        format(spec.source.format),
        &refresh(spec.refresh),
        &checks,
    ])
}

fn deliveries(plan: &Plan) -> Rows {
    let mut rows: Rows = plan.deliveries.iter().map(delivery).collect();
    let files = |delivery: &Delivery| {
        matches!(
            delivery.kind,
            DeliveryKind::File(_) | DeliveryKind::Fifo { .. }
        )
    };
    if plan.deliveries.iter().any(files) {
        rows.push(row(&["isolation", isolation(plan.isolation)]));
    }
    rows
}

fn delivery(delivery: &Delivery) -> Vec<String> {
    let carries = match &delivery.channel {
        Channel::Secret(reference) => format!("secret {reference}"),
        Channel::Template(_) => "template".to_owned(),
    };
    match &delivery.kind {
        DeliveryKind::File(spec) => row(&["file", &path(spec), &carries, &access(spec)]),
        DeliveryKind::Fifo { file, max_reads } => {
            let reads = max_reads.map_or(String::new(), |reads| format!(", at most {reads} reads"));
            row(&[
                "fifo",
                &path(file),
                &carries,
                &format!("{}{reads}", access(file)),
            ])
        }
        DeliveryKind::Fd { number, kind } => {
            row(&["fd", &number.to_string(), &carries, fd_kind(*kind)])
        }
        DeliveryKind::Stdin => row(&["stdin", "0", &carries, "pipe"]),
    }
}

fn path(spec: &FileSpec) -> String {
    spec.path.display().to_string()
}

fn access(spec: &FileSpec) -> String {
    let mut text = spec.mode.to_string();
    for (what, name) in [("owner", &spec.owner.user), ("group", &spec.owner.group)] {
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
        row(&["to", forward_to(&run.forward)]),
        row(&["stop", &stop]),
        row(&["leftovers", leftovers(run.stop.leftovers)]),
    ];
    for (signal, becomes) in &run.forward.rewrite {
        rows.push(row(&[
            "rewrite",
            &format!("{signal} becomes {}", rewrite(*becomes)),
        ]));
    }
    rows
}

fn rotation(plan: &Plan) -> Rows {
    if plan.mode == Mode::Exec {
        return vec![row(&["do", "nothing: no parent stays"])];
    }
    let on_rotate = &plan.on_rotate;
    let mut rows = vec![
        row(&["do", &action(&on_rotate.action)]),
        row(&["settle", &format_duration(on_rotate.settle)]),
    ];
    if !on_rotate.splay.is_zero() {
        rows.push(row(&["splay", &format_duration(on_rotate.splay)]));
    }
    if let Some(asked) = &on_rotate.verify {
        rows.push(row(&["verify", &verify(asked)]));
        let back = if on_rotate.rollback { "yes" } else { "no" };
        rows.push(row(&["rollback", back]));
    }
    if on_rotate.action == RotateAction::Restart {
        rows.push(row(&["restarts", &restarts(on_rotate.restarts)]));
    }
    rows
}

/// `supervise` or `exec`.
pub const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Supervise => "supervise",
        Mode::Exec => "exec",
    }
}

/// As the manifest writes it.
pub const fn isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Auto => "auto",
        Isolation::Private => "private",
        Isolation::Shared => "shared",
    }
}

/// As the manifest writes it.
pub const fn format(format: ValueFormat) -> &'static str {
    match format {
        ValueFormat::Raw => "raw",
        ValueFormat::Json => "json",
        ValueFormat::Dotenv => "dotenv",
    }
}

/// As the manifest writes it.
pub const fn fd_kind(kind: FdKind) -> &'static str {
    match kind {
        FdKind::Memfd => "memfd",
        FdKind::Pipe => "pipe",
    }
}

/// As the manifest writes it.
pub const fn leftovers(leftovers: Leftovers) -> &'static str {
    match leftovers {
        Leftovers::Terminate => "terminate",
        Leftovers::Leave => "leave",
    }
}

/// As the manifest writes it.
pub const fn forward_to(forward: &Forward) -> &'static str {
    if forward.to_group { "group" } else { "program" }
}

/// A signal, or `none`.
pub fn rewrite(rewrite: Rewrite) -> String {
    match rewrite {
        Rewrite::To(signal) => signal.to_string(),
        Rewrite::Drop => "none".to_owned(),
        Rewrite::Rotate => "rotate".to_owned(),
    }
}

/// A duration, `never`, or what the store does by itself.
pub fn refresh(refresh: Refresh) -> String {
    match refresh {
        Refresh::Store => "store".to_owned(),
        Refresh::Never => "never".to_owned(),
        Refresh::Every(duration) => format_duration(duration),
    }
}

/// What tells the program, in words.
pub fn action(action: &RotateAction) -> String {
    match action {
        RotateAction::Nothing => "nothing".to_owned(),
        RotateAction::Signal(signal) => format!("signal {signal}"),
        RotateAction::Restart => "restart".to_owned(),
        RotateAction::Command { argv, timeout } => {
            format!(
                "command {}, within {}",
                argv_of(argv),
                format_duration(*timeout)
            )
        }
        RotateAction::Http {
            url,
            method,
            timeout,
        } => format!(
            "{} {url}, within {}",
            http_method(*method),
            format_duration(*timeout)
        ),
    }
}

fn argv_of(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

/// As it stands in a request.
const fn http_method(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
    }
}

/// How the program is asked, in words.
pub fn verify(verify: &Verify) -> String {
    let within = format_duration(verify.within);
    match &verify.how {
        VerifyHow::Http(url) => format!("GET {url}, within {within}"),
        VerifyHow::Command(argv) => format!("command {}, within {within}", argv_of(argv)),
        VerifyHow::Alive => format!("alive for {within}"),
    }
}

/// As `5 in 10m`.
pub fn restarts(budget: RestartBudget) -> String {
    format!("{} in {}", budget.max, format_duration(budget.per))
}

/// As the manifest writes it.
pub fn address(address: &Address) -> String {
    match address {
        Address::Url(url) => url.clone(),
        Address::Unix(path) => format!("unix://{}", path.display()),
    }
}

/// How hushpipe logs in, in words.
pub fn auth(auth: &VaultAuth) -> String {
    match auth {
        VaultAuth::Environment => "token of the environment".to_owned(),
        VaultAuth::TokenFile(path) => format!("token {}", path.display()),
        VaultAuth::AppRole { mount, .. } => format!("approle at {mount}"),
        VaultAuth::Jwt { mount, .. } => format!("jwt at {mount}"),
        VaultAuth::Certificate { mount, .. } => format!("cert at {mount}"),
        VaultAuth::UserPass {
            mount, username, ..
        } => format!("userpass {username} at {mount}"),
    }
}

/// `all`, `none`, or the names.
pub fn env_inherit(inherit: &EnvInherit) -> String {
    match inherit {
        EnvInherit::All => "all".to_owned(),
        EnvInherit::None => "none".to_owned(),
        EnvInherit::Only(names) => names.join(", "),
    }
}

/// Each check in words; those of fields start with the field's name.
pub fn checks(checks: &Checks) -> Vec<String> {
    let mut all = field_checks(&checks.whole, "");
    for (name, field) in &checks.fields {
        let found = field_checks(field, &format!("{name}: "));
        if found.is_empty() {
            all.push(format!("{name}: there"));
        }
        all.extend(found);
    }
    all
}

fn field_checks(checks: &FieldChecks, prefix: &str) -> Vec<String> {
    let length = match (checks.min_length, checks.max_length) {
        (None, None) => None,
        (Some(min), None) => Some(format!("{min} bytes or more")),
        (None, Some(max)) => Some(format!("{max} bytes or less")),
        (Some(min), Some(max)) => Some(format!("{min} to {max} bytes")),
    };
    let pattern = checks
        .pattern
        .as_ref()
        .map(|pattern| format!("matches {pattern}"));
    let json = checks.json.then(|| "JSON".to_owned());
    let certificate = checks.certificate.then(|| "valid certificate".to_owned());
    [length, pattern, json, certificate]
        .into_iter()
        .flatten()
        .map(|check| format!("{prefix}{check}"))
        .collect()
}
