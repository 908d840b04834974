//! The drop-in that puts hushpipe in front of a service's program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command_line::{self, CommandLine};
use super::notes::notes;
use super::search::Unit;
use super::syntax::Settings;
use crate::model::format_duration;
use crate::model::printable::shell_word;

/// systemd's own `DefaultTimeoutStopSec=`.
const TIMEOUT_STOP: Duration = Duration::from_secs(90);
/// As good as `infinity`.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

/// Why a service cannot be wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It starts no program.
    NoProgram,
    /// Its program is hushpipe.
    Wrapped,
    /// A command line is none.
    CommandLine(String, command_line::Fault),
}

/// What is not in the unit.
pub struct Wrapping<'a> {
    /// hushpipe's own path.
    pub hushpipe: &'a Path,
    /// The manifest's path; it may have specifiers.
    pub manifest: &'a str,
    /// The unit's file, as the system sees it.
    pub file: PathBuf,
    /// Where the drop-in goes, as the system sees it.
    pub drop_in: PathBuf,
    /// What would overrule it under its usual name.
    pub after: Option<PathBuf>,
}

/// The manifest's path where none is given: one for each instance of a template.
pub fn manifest_of(unit: &str) -> String {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let instance = if stem.ends_with('@') { "%i" } else { "" };
    format!("/etc/hushpipe/{stem}{instance}.yaml")
}

impl Wrapping<'_> {
    /// The whole text of the drop-in.
    pub fn drop_in(&self, unit: &Unit) -> Result<String, Fault> {
        let settings = &unit.settings;
        let commands = commands(settings)?;
        let mut text = self.head(unit, &commands);
        let order = self.after.as_deref().map(|other| {
            format!(
                "{} sets what is set here as well, and systemd goes by the names of drop-ins: this \
                 one comes last.",
                other.display()
            )
        });
        for note in order.into_iter().chain(notes(unit)) {
            text.push_str(&comment(&format!("- {note}")));
        }
        text.push_str("\n[Service]\n");
        text.push_str(&kind(settings));
        text.push_str(&self.allowances(settings));
        text.push_str("ExecStart=\n");
        for command in &commands {
            writeln!(text, "ExecStart={}", self.exec_start(settings, command))
                .expect("writing to a String does not fail");
        }
        if settings
            .value("Service", "KillMode")
            .is_none_or(|mode| mode == "control-group")
        {
            text.push_str(
                "# SIGTERM goes to hushpipe alone, which passes it on.\nKillMode=mixed\n",
            );
        }
        Ok(text)
    }

    fn head(&self, unit: &Unit, commands: &[CommandLine]) -> String {
        let name = shell_word(&unit.name);
        let program = commands
            .first()
            .map_or(String::new(), CommandLine::as_arguments);
        format!(
            "# {drop_in}\n\
             #\n\
             # hushpipe in front of {unit}, which is {file}.\n\
             # Made by `hushpipe systemd wrap {name}`, which with --install puts it in place:\n\
             #\n\
             #   1. write {manifest}, without run.command: the program stands here\n\
             #   2. hushpipe check --manifest {manifest} -- {program}\n\
             #   3. hushpipe systemd wrap {name} --install\n\
             #   4. systemctl daemon-reload && systemctl restart {name}\n\
             #\n\
             # `hushpipe systemd unwrap {name}` tells how to take it away.\n\
             #\n",
            unit = unit.name,
            drop_in = self.drop_in.display(),
            file = self.file.display(),
            manifest = self.manifest,
        )
    }

    /// What a closed unit must let hushpipe do.
    fn allowances(&self, settings: &Settings) -> String {
        let mut text = String::new();
        if !settings.list("Service", "NoExecPaths").is_empty() {
            let hushpipe = quoted(&self.hushpipe.to_string_lossy());
            writeln!(text, "ExecPaths={hushpipe}").expect("writing to a String does not fail");
        }
        let filtered = !settings.list("Service", "SystemCallFilter").is_empty();
        let answer = settings.value("Service", "SystemCallErrorNumber");
        if filtered && answer.is_none_or(|answer| answer == "kill") {
            text.push_str(
                "# hushpipe tries what would be best here, and does without what is forbidden.\n\
                 SystemCallErrorNumber=EPERM\n",
            );
        }
        text
    }

    /// hushpipe with the program as it was written.
    fn exec_start(&self, settings: &Settings, command: &CommandLine) -> String {
        let mut words = vec![
            format!(
                "{}{}",
                command.prefixes,
                quoted(&self.hushpipe.to_string_lossy())
            ),
            "run".to_owned(),
            format!("--manifest {}", quoted(self.manifest)),
            "--end-by-signal".to_owned(),
            format!("--stop-timeout {}", format_duration(timeout_stop(settings))),
        ];
        if settings.is_forking() {
            words.push("--forking".to_owned());
            let pid_file = settings.value("Service", "PIDFile");
            words.extend(pid_file.map(|path| format!("--pid-file {}", quoted(&below_run(path)))));
        }
        words.extend(command.argv0.iter().map(|name| format!("--argv0 {name}")));
        words.push("--".to_owned());
        words.push(command.as_arguments());
        words.join(" ")
    }
}

/// All commands of the service.
fn commands(settings: &Settings) -> Result<Vec<CommandLine>, Fault> {
    let mut commands = Vec::new();
    for value in settings.list("Service", "ExecStart") {
        let read = CommandLine::read(value);
        commands.extend(read.map_err(|fault| Fault::CommandLine(value.to_owned(), fault))?);
    }
    let is_hushpipe = |command: &CommandLine| {
        let program = command.program.trim_matches(['"', '\'']);
        Path::new(program)
            .file_name()
            .is_some_and(|name| name == "hushpipe")
    };
    if commands.is_empty() {
        return Err(Fault::NoProgram);
    }
    if commands.iter().any(is_hushpipe) {
        return Err(Fault::Wrapped);
    }
    Ok(commands)
}

/// `Type=` and what belongs to it.
fn kind(settings: &Settings) -> String {
    if !settings.is_forking() {
        return String::new();
    }
    let mut text = "# hushpipe stays, follows the daemon, and says when it is there.\n\
                    Type=notify\nNotifyAccess=main\n"
        .to_owned();
    if settings.value("Service", "PIDFile").is_some() {
        text.push_str("PIDFile=\n");
    }
    text
}

/// How long systemd waits before SIGKILL: hushpipe is not to be quicker.
fn timeout_stop(settings: &Settings) -> Duration {
    let both = ["TimeoutSec", "TimeoutStopSec"].map(|name| settings.value("Service", name));
    let [both, stop] = both;
    match stop.or(both) {
        None => TIMEOUT_STOP,
        Some("infinity" | "0") => FOR_EVER,
        Some(text) => time_span(text).unwrap_or(TIMEOUT_STOP).min(FOR_EVER),
    }
}

/// systemd.time(7): seconds where no unit is given.
fn time_span(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let span = humantime::parse_duration(text).ok()?;
    // Of a part of a second, hushpipe takes no notice.
    Some(Duration::from_secs(span.as_secs().max(1)))
}

fn below_run(path: &str) -> String {
    if path.starts_with(['/', '%']) {
        path.to_owned()
    } else {
        format!("/run/{path}")
    }
}

/// As one argument of a command line; specifiers stay what they are.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@%:+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '$' => quoted.push_str("$$"),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// A paragraph as comment lines of up to 100 columns.
fn comment(text: &str) -> String {
    let mut lines = String::from("#");
    let mut width = 1;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width + 1 + length > 100 && width > 3 {
            lines.push_str("\n#  ");
            width = 3;
        }
        lines.push(' ');
        lines.push_str(word);
        width += 1 + length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
#[path = "wrap_tests.rs"]
mod tests;
