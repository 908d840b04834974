//! `hushpipe systemd`: hushpipe in units that are installed already.

mod command_line;
mod notes;
mod search;
mod syntax;
mod wrap;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Failure, Outcome, output};
use crate::app::files;
use crate::model::Exit;
use crate::model::printable::shell_word;
use search::{Root, Unit};
use wrap::Wrapping;

const EXAMPLES: &str = "\
Examples:
  hushpipe systemd wrap redis-server                what would be in front of redis?
  hushpipe systemd wrap redis-server --install      put it there
  hushpipe systemd unwrap redis-server              how is it taken away again?

The unit's own files are not changed: all is in one drop-in, 50-hushpipe.conf, or zz-hushpipe.conf \
where a drop-in such as the override.conf of `systemctl edit` would overrule that. Unit files are \
read as systemd reads them, drop-ins included; systemd itself is not asked, and nothing is reloaded.";

/// Arguments of `systemd`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SystemdArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the drop-in that puts hushpipe in front of a service's program
    Wrap(WrapArgs),
    /// Tell how to take hushpipe out of a service again
    Unwrap(UnwrapArgs),
}

/// Arguments of `systemd wrap`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct WrapArgs {
    /// The service, such as nginx or postgresql@15-main
    unit: String,
    /// The manifest [default: /etc/hushpipe/UNIT.yaml]; specifiers such as %i are systemd's
    #[arg(short, long, value_name = "FILE")]
    manifest: Option<String>,
    /// Write the drop-in; one with another content is not overwritten
    #[arg(long)]
    install: bool,
    /// hushpipe's path in the drop-in [default: its own; with --root /usr/bin/hushpipe]
    #[arg(long, value_name = "FILE")]
    hushpipe: Option<PathBuf>,
    /// Take this directory for /, as for an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Arguments of `systemd unwrap`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  hushpipe systemd unwrap redis-server
  hushpipe systemd unwrap redis-server --root /srv/image")]
struct UnwrapArgs {
    /// The service
    unit: String,
    /// Take this directory for /, as for an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Wraps, or tells how to unwrap.
pub fn run(arguments: SystemdArgs) -> Outcome {
    match arguments.command {
        Command::Wrap(arguments) => wrap(&arguments),
        Command::Unwrap(arguments) => unwrap(&arguments),
    }
}

fn wrap(arguments: &WrapArgs) -> Outcome {
    let root = Root::new(&arguments.root);
    let unit = root
        .find(&arguments.unit)
        .map_err(|fault| not_found(&root, fault))?;
    let hushpipe = match &arguments.hushpipe {
        Some(path) => path.clone(),
        None if arguments.root != Path::new("/") => PathBuf::from("/usr/bin/hushpipe"),
        None => std::env::current_exe().map_err(|error| Failure::new(Exit::Os, &error))?,
    };
    if !hushpipe.is_absolute() {
        let text = "--hushpipe: systemd needs the absolute path";
        return Err(Failure::text(Exit::Usage, text));
    }
    let default = wrap::manifest_of(&unit.name);
    let manifest = arguments.manifest.as_deref().unwrap_or(&default);
    if !manifest.starts_with(['/', '%']) {
        let text = "--manifest: systemd starts services elsewhere, so the path must be absolute";
        return Err(Failure::text(Exit::Usage, text));
    }
    let (path, text) = drop_in(&root, &unit, &hushpipe, manifest)?;
    if !arguments.install {
        return output::print(&text);
    }
    install(&root, &unit, &path, &text)?;
    // Specifiers are systemd's to fill in.
    if manifest.contains('%') {
        return Ok(Exit::Ok);
    }
    let place = arguments.root.join(manifest.trim_start_matches('/'));
    starting_manifest(&place, manifest, &unit.name)
}

/// Without a manifest the service would not start any more: one that delivers nothing is written, and the
/// service starts as before.
fn starting_manifest(place: &Path, shown: &str, unit: &str) -> Outcome {
    if place.symlink_metadata().is_ok() {
        return Ok(Exit::Ok);
    }
    let service = unit.strip_suffix(".service").unwrap_or(unit);
    let service = serde_json::Value::from(service.replace("${", "$${"));
    let text = format!(
        "# What {unit} gets from hushpipe: nothing yet. `hushpipe help units` has an example.\n\
         version: 1\n\
         service: {service}\n\
         # stores:\n\
         #   local: {{ type: directory, path: /etc/hushpipe/secrets }}\n\
         # secrets:\n\
         #   token: {{ store: local, key: token }}\n\
         # deliver:\n\
         #   - {{ file: token, secret: token }}\n"
    );
    write_new(place, &text)
        .map_err(|error| Failure::text(Exit::Os, format!("cannot write {shown}: {error}")))?;
    output::print(&format!(
        "wrote {shown}, which delivers nothing yet: the service starts as before\n"
    ))
}

/// The drop-in under the first of its names under which it holds.
fn drop_in(
    root: &Root,
    unit: &Unit,
    hushpipe: &Path,
    manifest: &str,
) -> Result<(PathBuf, String), Failure> {
    let mut after = None;
    for name in search::DROP_INS {
        let path = root.drop_in(&unit.name, name);
        let wrapping = Wrapping {
            hushpipe,
            manifest,
            file: root.within(&unit.file),
            drop_in: root.within(&path),
            after: after.clone(),
        };
        let text = wrapping
            .drop_in(unit)
            .map_err(|fault| cannot_wrap(root, unit, &fault))?;
        match unit.overruling(name, &text) {
            None => return Ok((path, text)),
            Some(other) => after = Some(root.within(other)),
        }
    }
    let text = format!(
        "{}: {} comes after any drop-in of hushpipe's and sets the same, so hushpipe would not be \
         started: give it a name that sorts before {}",
        unit.name,
        after.unwrap_or_default().display(),
        search::DROP_INS[0]
    );
    Err(Failure::text(Exit::Usage, text))
}

fn not_found(root: &Root, fault: search::Fault) -> Failure {
    use search::Fault;
    let (exit, text) = match fault {
        Fault::Name(name) => (
            Exit::Usage,
            format!("{name:?} is not the name of a service, such as nginx or nginx.service"),
        ),
        Fault::Missing { name, near } => {
            let near = near.map_or_else(
                || "`systemctl list-unit-files` shows what there is".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            (Exit::Usage, format!("there is no unit {name}; {near}"))
        }
        Fault::Masked { name, by } => (
            Exit::Usage,
            format!(
                "{name} is masked by {}, so it never starts: `systemctl unmask {name}` first",
                root.within(&by).display()
            ),
        ),
        Fault::Transient(name) => (
            Exit::Usage,
            format!(
                "{name} was made by systemd-run, and is gone when it stops: start `hushpipe \
                     run` by systemd-run instead"
            ),
        ),
        Fault::Unreadable(path, error) => (
            Exit::Os,
            format!("cannot read {}: {error}", root.within(&path).display()),
        ),
    };
    Failure::text(exit, text)
}

fn cannot_wrap(root: &Root, unit: &Unit, fault: &wrap::Fault) -> Failure {
    use wrap::Fault;
    let name = &unit.name;
    let text = match fault {
        Fault::NoProgram => format!("{name} has no ExecStart=: there is no program to wrap"),
        Fault::Wrapped => {
            let others: Vec<String> = unit
                .drop_ins
                .iter()
                .map(|drop_in| &drop_in.path)
                .chain([&unit.file])
                .map(|path| root.within(path).display().to_string())
                .collect();
            format!(
                "{name} has hushpipe in front of its program already; it is in one of {}",
                others.join(", ")
            )
        }
        Fault::CommandLine(line, fault) => {
            format!("{name}: ExecStart={line}: {}", fault.text())
        }
    };
    Failure::text(Exit::Usage, text)
}

/// Writes the drop-in by a rename, so that systemd never reads half of it.
fn install(root: &Root, unit: &Unit, path: &Path, text: &str) -> Outcome {
    let shown = root.within(path);
    let shown = shown.display();
    let name = shell_word(&unit.name);
    let refused =
        |error: io::Error| Failure::text(Exit::Os, format!("cannot write {shown}: {error}"));
    if let Some(other) = root.own(&unit.name).iter().find(|other| *other != path) {
        let text = format!(
            "{} is there already, and systemd would apply both: take it away first (`hushpipe \
             systemd unwrap {name}`), {shown} takes its place",
            root.within(other).display()
        );
        return Err(Failure::text(Exit::Usage, text));
    }
    match fs::read_to_string(path) {
        Ok(there) if there == text => {
            return output::print(&format!(
                "{shown} is there already, with the same content\n"
            ));
        }
        Ok(_) => {
            let text = format!(
                "{shown} is there already, with another content: take it away first (`hushpipe \
                 systemd unwrap {name}`), or edit it"
            );
            return Err(Failure::text(Exit::Usage, text));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
    }
    write_new(path, text).map_err(refused)?;
    output::print(&format!(
        "wrote {shown}; now: systemctl daemon-reload && systemctl restart {name}\n"
    ))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)?;
    }
    files::replace(path, text, 0o644)
}

/// Goes by the drop-ins that are there: the unit may be masked, or its package removed.
fn unwrap(arguments: &UnwrapArgs) -> Outcome {
    let root = Root::new(&arguments.root);
    let unit = root.find(&arguments.unit);
    let name = match &unit {
        Ok(unit) => unit.name.clone(),
        Err(_) => search::full_name(&arguments.unit).map_err(|fault| not_found(&root, fault))?,
    };
    let own = root.own(&name);
    if own.is_empty() {
        let name = unit.map_err(|fault| not_found(&root, fault))?.name;
        let path = root.drop_in(&name, search::DROP_INS[0]);
        let text = format!(
            "{name} is not wrapped: there is no {}",
            root.within(&path).display()
        );
        return Err(Failure::text(Exit::No, text));
    }
    let shell = |path: &Path| shell_word(&root.within(path).to_string_lossy());
    let mut commands: Vec<String> = own
        .iter()
        .map(|path| format!("rm {}", shell(path)))
        .collect();
    let directory = own[0].parent().map(shell).unwrap_or_default();
    commands.push(format!("rmdir --ignore-fail-on-non-empty {directory}"));
    commands.push("systemctl daemon-reload".to_owned());
    // One that is masked or gone cannot be started.
    if unit.is_ok() {
        commands.push(format!("systemctl restart {}", shell_word(&name)));
    }
    output::print(&(commands.join("\n") + "\n"))
}
