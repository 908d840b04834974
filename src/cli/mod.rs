//! Arguments, one file a command, rendering of output and errors.

mod approval;
mod audit;
mod check;
#[cfg(feature = "man")]
mod completions;
mod confirm;
mod control;
mod doctor;
mod failure;
mod globals;
#[cfg(feature = "report")]
mod graph;
mod help;
#[cfg(feature = "monitor")]
mod incident;
#[cfg(feature = "init")]
mod init;
mod load;
#[cfg(feature = "man")]
mod man;
mod misuse;
#[cfg(feature = "monitor")]
mod monitor;
mod output;
#[cfg(feature = "policy")]
mod policy;
mod quick;
#[cfg(feature = "report")]
mod report;
mod run;
mod said;
#[cfg(feature = "scan")]
mod scan;
mod schema;
mod secret;
mod signed;
mod style;
#[cfg(feature = "systemd")]
mod systemd;
mod table;
mod topics;
mod variable;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app;
use crate::model::Exit;

pub use failure::{Failure, Outcome};
pub use globals::{Globals, LogFormat};
pub use load::{Loaded, load};
pub use style::{Palette, Stream};

const EXAMPLES: &str = "\
Examples:
  hushpipe init                       a sealed store, an identity, a manifest; takes .env files over
  hushpipe secret set stripe/token    typed without echo, or from a pipe
  hushpipe check                      what a run would do, without values
  hushpipe run -- psql                the program, with its secrets

`hushpipe help COMMAND` says more. Topics: getenv, stores, rotation, security, units, containers, \
templates, exit-codes.";

/// Starts a program with its secrets handed over in memory.
#[derive(Parser)]
#[command(
    name = "hushpipe",
    version,
    after_help = EXAMPLES,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a program with its secrets, and look after it
    #[command(visible_alias = "exec")]
    Run(run::RunArgs),
    /// List running launchers
    Ps(control::PsArgs),
    /// Show a launcher's state, without values
    Status(control::StatusArgs),
    #[cfg(feature = "monitor")]
    /// Show running launchers in numbers, for Prometheus
    Metrics(control::MetricsArgs),
    /// Check the stores now and deliver any new values
    Rotate(control::RotateArgs),
    /// Roll back to the previous values
    Rollback(control::RollbackArgs),
    /// Revoke a secret's lease and replace it now
    Revoke(control::RevokeArgs),
    /// Check a manifest and show its plan, without values
    Check(check::CheckArgs),
    /// Request approvals, and show who approved
    Approval(approval::ApprovalArgs),
    /// Approve a request: show it, ask, and sign it
    Approve(approval::ApproveArgs),
    /// Show, find, verify and prove records of the audit log
    Audit(audit::AuditArgs),
    #[cfg(feature = "monitor")]
    /// Send the audit log's records to the site's sinks, and have witnesses cosign it
    Monitor(monitor::MonitorArgs),
    #[cfg(feature = "monitor")]
    /// Contain a leaked secret on this host: find it, replace it, refuse the old value
    Incident(incident::IncidentArgs),
    /// Sign a manifest, or check its signature
    Manifest(signed::ManifestArgs),
    /// Print the JSON Schema of the manifest, or of the site
    Schema(schema::SchemaArgs),
    #[cfg(feature = "policy")]
    /// Check, explain, test and replay the policies of a site
    Policy(policy::PolicyArgs),
    #[cfg(feature = "init")]
    /// Make a starting manifest, a sealed store and an identity
    Init(init::InitArgs),
    /// Add a secret to the store, the manifest and what the program gets
    Add(secret::AddArgs),
    /// Store, show and change secrets in a sealed store
    Secret(secret::SecretArgs),
    /// Make and show the identity that opens sealed stores
    Identity(secret::IdentityArgs),
    #[cfg(feature = "systemd")]
    /// Put hushpipe into services of systemd that are installed already
    Systemd(systemd::SystemdArgs),
    #[cfg(feature = "scan")]
    /// Find secrets in files and directories
    Scan(scan::ScanArgs),
    #[cfg(feature = "report")]
    /// Show which program on which host has which secret, of many hosts
    Graph(graph::GraphArgs),
    #[cfg(feature = "report")]
    /// Show who would be hit if a secret leaks
    Blast(graph::BlastArgs),
    #[cfg(feature = "report")]
    /// List secrets that nothing uses any more
    Unused(graph::UnusedArgs),
    #[cfg(feature = "report")]
    /// Report figures and controls over a period, of many hosts
    Report(report::ReportArgs),
    /// Check what this host supports
    Doctor(doctor::DoctorArgs),
    #[cfg(feature = "man")]
    /// Print the script that lets a shell complete hushpipe's arguments
    Completions(completions::CompletionsArgs),
    #[cfg(feature = "man")]
    /// Write the manual pages
    Man(man::ManArgs),
    /// Explain a command or a topic
    Help(help::HelpArgs),
}

/// Parses the command line, runs the command, gives the exit code.
pub fn main() -> u8 {
    let protected = app::protect();
    let line = match parse() {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    let globals = line.globals;
    if let Err(faults) = protected {
        return finish(Err(Failure::found(&faults)), globals);
    }
    let outcome: Outcome = match line.command {
        Command::Run(arguments) => return run_ends(run::run(arguments, globals), globals),
        Command::Ps(arguments) => control::ps(&arguments),
        Command::Status(arguments) => control::status(&arguments, globals),
        #[cfg(feature = "monitor")]
        Command::Metrics(arguments) => control::metrics(&arguments, globals),
        Command::Rotate(arguments) => control::rotate(arguments, globals),
        Command::Rollback(arguments) => control::rollback(arguments, globals),
        Command::Revoke(arguments) => control::revoke(arguments, globals),
        Command::Check(arguments) => check::run(&arguments, globals),
        Command::Approval(arguments) => approval::run(&arguments, globals),
        Command::Audit(arguments) => audit::run(&arguments, globals),
        #[cfg(feature = "monitor")]
        Command::Monitor(arguments) => monitor::run(&arguments, globals),
        #[cfg(feature = "monitor")]
        Command::Incident(arguments) => incident::run(&arguments, globals),
        Command::Approve(arguments) => approval::approve(&arguments, globals),
        Command::Manifest(arguments) => signed::run(&arguments, globals),
        Command::Schema(arguments) => schema::run(&arguments),
        #[cfg(feature = "policy")]
        Command::Policy(arguments) => policy::run(&arguments, globals),
        #[cfg(feature = "init")]
        Command::Init(arguments) => init::run(&arguments, globals),
        Command::Add(arguments) => secret::add(&arguments, globals),
        Command::Secret(arguments) => secret::run(arguments, globals),
        Command::Identity(arguments) => secret::identity(&arguments, globals),
        #[cfg(feature = "systemd")]
        Command::Systemd(arguments) => systemd::run(arguments),
        #[cfg(feature = "scan")]
        Command::Scan(arguments) => scan::run(&arguments, globals),
        #[cfg(feature = "report")]
        Command::Graph(arguments) => graph::graph(&arguments, globals),
        #[cfg(feature = "report")]
        Command::Blast(arguments) => graph::blast(&arguments, globals),
        #[cfg(feature = "report")]
        Command::Unused(arguments) => graph::unused(&arguments, globals),
        #[cfg(feature = "report")]
        Command::Report(arguments) => report::run(&arguments, globals),
        Command::Doctor(arguments) => doctor::run(&arguments),
        #[cfg(feature = "man")]
        Command::Completions(arguments) => completions::run(&arguments, CommandLine::command()),
        #[cfg(feature = "man")]
        Command::Man(arguments) => man::run(&arguments, CommandLine::command()),
        Command::Help(arguments) => help::run(&arguments, CommandLine::command()),
    };
    finish(outcome.map(Exit::code), globals)
}

/// A plain launch is read without clap.
fn parse() -> Result<CommandLine, clap::Error> {
    if let Some((globals, arguments)) = quick::parse(std::env::args_os().skip(1)) {
        let command = Command::Run(arguments);
        return Ok(CommandLine { globals, command });
    }
    parse_as(as_commands(std::env::args_os()))
}

/// Words that other tools have for some commands.
fn as_commands(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    words.enumerate().flat_map(|(index, word)| {
        let known: &[&str] = match word.to_str() {
            Some("ls") if index == 1 => &["secret", "list"],
            Some("show") if index == 1 => &["secret", "get"],
            Some("version") if index == 1 => &["--version"],
            _ => return vec![word],
        };
        known.iter().map(OsString::from).collect()
    })
}

/// As `try_parse`, but for the tree of commands: it is left where it is. To take it apart, block by
/// block, and wipe each, takes longer than many a command.
fn parse_as(words: impl IntoIterator<Item = OsString>) -> Result<CommandLine, clap::Error> {
    let mut tree = std::mem::ManuallyDrop::new(CommandLine::command());
    let matches = tree.try_get_matches_from_mut(words)?;
    CommandLine::from_arg_matches(&matches)
}

/// As [`finish`], without waiting for whoever reads stderr: a launcher always ends.
fn run_ends(outcome: Result<u8, Failure>, globals: Globals) -> u8 {
    outcome.unwrap_or_else(|failure| {
        app::last_message(&failure.render(globals));
        failure.exit().code()
    })
}

fn finish(outcome: Result<u8, Failure>, globals: Globals) -> u8 {
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            failure.report(globals);
            failure.exit().code()
        }
    }
}

/// Faults of the arguments, as all others are shown; `--help` and `--version` are no faults.
fn usage(error: &clap::Error) -> u8 {
    let text = error.render();
    let globals = Globals {
        quiet: false,
        verbose: 0,
        log_format: LogFormat::Text,
    };
    if !error.use_stderr() {
        let styled = if Palette::of(Stream::Stdout).is_colour() {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        let printed = output::print(&styled);
        return finish(printed.map(Exit::code), globals);
    }
    let plain = text.to_string();
    if let Some(fault) = misuse::text(error, &plain, &CommandLine::command()) {
        return finish(Err(Failure::text(Exit::Usage, fault)), globals);
    }
    // A help text, in place of a command that is missing.
    match std::io::stderr().write_all(plain.as_bytes()) {
        Ok(()) => Exit::Usage.code(),
        Err(_) => Exit::Os.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command) {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        assert!(help.contains("Examples:\n  "), "{name} has no examples");
        // Paragraphs are wrapped to the terminal.
        for line in help.lines().filter(|line| line.starts_with(' ')) {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
        assert!(command.get_about().is_some(), "{name}");
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
        {
            assert!(argument.get_help().is_some(), "{name}: {argument}");
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn every_command_is_explained_and_has_examples() {
        let mut root = CommandLine::command();
        root.build();
        check(&root);
    }

    #[test]
    fn the_commands_are_well_formed() {
        CommandLine::command().debug_assert();
    }
}
