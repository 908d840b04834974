//! The plan's values, as the manifest writes them or in a few words.

use crate::model::{
    Checks, EnvInherit, FdKind, FieldChecks, Forward, HttpMethod, Isolation, IsolationUsed,
    Leftovers, Mode, Ready, Refresh, RestartBudget, Rewrite, RotateAction, Source, ValueFormat,
    Verify, VerifyHow, format_duration,
};

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

/// How a value's fields are found.
pub const fn fields(source: &Source) -> &'static str {
    match &source.request {
        Some(_) => "fields",
        None => format(source.format),
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
pub const fn ready(ready: Ready) -> &'static str {
    match ready {
        Ready::Program => "program",
        Ready::Started => "started",
    }
}

/// As the manifest writes it.
pub const fn forward_to(forward: &Forward) -> &'static str {
    if forward.to_group { "group" } else { "program" }
}

/// A signal, `rotate` or `none`.
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
                self::argv(argv),
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

/// A command as a shell would take it.
pub fn argv(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

/// As it stands in a request.
pub const fn http_method(method: HttpMethod) -> &'static str {
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
        VerifyHow::Command(argv) => format!("command {}, within {within}", self::argv(argv)),
        VerifyHow::Alive => format!("alive for {within}"),
    }
}

/// As `5 in 10m`.
pub fn restarts(budget: RestartBudget) -> String {
    format!("{} in {}", budget.max, format_duration(budget.per))
}

/// `all`, `none`, or the names.
pub fn env_inherit(inherit: &EnvInherit) -> String {
    match inherit {
        EnvInherit::All => "all".to_owned(),
        EnvInherit::None => "none".to_owned(),
        EnvInherit::AllAnd(names) => format!("all and {}", names.join(", ")),
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

/// As in `isolation:`.
pub const fn isolation_used(used: IsolationUsed) -> &'static str {
    match used {
        IsolationUsed::Private => "private",
        IsolationUsed::Shared => "shared",
    }
}

/// Words, or `none`.
pub fn list(words: &[String]) -> String {
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// A word as a shell would take it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
