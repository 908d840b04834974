//! What somebody should know who puts hushpipe into a unit.

use super::search::Unit;
use super::syntax::Settings;

/// Notes on this unit, each a sentence or two.
pub fn notes(unit: &Unit) -> Vec<String> {
    let settings = &unit.settings;
    let mut notes = vec![
        "hushpipe gives the program no new privileges (setuid programs) and no core dumps: \
         run.no_new_privs and run.core_dumps in the manifest."
            .to_owned(),
    ];
    if unit.is_generated() {
        notes.push(
            "A generator makes this unit at every daemon-reload; the drop-in stays.".to_owned(),
        );
    }
    notes.extend(user(settings));
    notes.extend(isolation(settings));
    notes.extend(others(settings));
    notes.extend(kind(settings));
    notes.extend(surroundings(settings));
    notes
}

fn service<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    settings.value("Service", name)
}

fn user(settings: &Settings) -> Option<String> {
    let dynamic = settings.boolean("Service", "DynamicUser") == Some(true);
    let name = match service(settings, "User") {
        Some("root" | "0") | None if !dynamic => return None,
        Some(name) if !name.is_empty() => name,
        _ => "a dynamic user",
    };
    Some(format!(
        "hushpipe runs as {name}, who must be able to read the manifest and what hushpipe logs in \
         with. LoadCredential= brings a file of root's: ${{CREDENTIALS_DIRECTORY}}/NAME in the \
         manifest."
    ))
}

fn isolation(settings: &Settings) -> Option<String> {
    let forbids = |value: &str| match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => true,
        "0" | "no" | "n" | "false" | "f" | "off" => false,
        kinds => match kinds.strip_prefix('~') {
            Some(denied) => denied.split_whitespace().any(|kind| kind == "mnt"),
            None => !kinds.split_whitespace().any(|kind| kind == "mnt"),
        },
    };
    if !service(settings, "RestrictNamespaces").is_some_and(forbids) {
        return None;
    }
    let place = match settings.list("Service", "RuntimeDirectory").first() {
        Some(name) => {
            let first = name.split_whitespace().next().unwrap_or(name);
            format!("below /run/{first}")
        }
        None => "below a RuntimeDirectory= of the unit".to_owned(),
    };
    Some(format!(
        "RestrictNamespaces= forbids the mount namespace that private files need: deliver files \
         {place}, where `isolation: auto` makes them shared, or deliver by fd."
    ))
}

/// Commands that run beside hushpipe.
fn others(settings: &Settings) -> Option<String> {
    let names = [
        "ExecCondition",
        "ExecStartPre",
        "ExecStartPost",
        "ExecReload",
        "ExecStop",
        "ExecStopPost",
    ];
    // What only signals the main process sees nothing, and reaches the program through hushpipe.
    let looks = |command: &&str| !(command.contains("kill") && command.contains("MAINPID"));
    let kept: Vec<String> = names
        .into_iter()
        .filter(|name| settings.list("Service", name).iter().any(looks))
        .map(|name| format!("{name}="))
        .collect();
    if kept.is_empty() {
        return None;
    }
    Some(format!(
        "{} stay as they are and run without hushpipe: they do not see what it delivers. One that \
         checks the program's configuration fails where that names a delivered file.",
        kept.join(", ")
    ))
}

fn kind(settings: &Settings) -> Option<String> {
    if settings.is_forking() {
        return Some(
            "The program goes into the background (Type=forking). One that can stay in the \
             foreground is simpler: take Type=, PIDFile=, --forking and --pid-file out below, and \
             give it the option for that."
                .to_owned(),
        );
    }
    let leaves = matches!(service(settings, "KillMode"), Some("process" | "none"));
    leaves.then(|| {
        "KillMode= leaves processes running at a stop: so does hushpipe with run.stop.leftovers: \
         leave in the manifest."
            .to_owned()
    })
}

fn surroundings(settings: &Settings) -> Vec<String> {
    let mut notes = Vec::new();
    let is_set = |name: &str| service(settings, name).is_some();
    if [
        "LoadCredential",
        "LoadCredentialEncrypted",
        "SetCredential",
        "SetCredentialEncrypted",
        "ImportCredential",
    ]
    .into_iter()
    .any(is_set)
    {
        notes.push(
            "The unit has credentials, which are hushpipe's now. A program that reads credentials \
             gets its own by `deliver: - credentials: [NAME]`, or the unit's by \
             run.env.set: { CREDENTIALS_DIRECTORY: \"${CREDENTIALS_DIRECTORY}\" }."
                .to_owned(),
        );
    }
    if ["RootDirectory", "RootImage"].into_iter().any(is_set) {
        notes.push(
            "The service has a root directory of its own: hushpipe and the manifest must be in it."
                .to_owned(),
        );
    }
    if is_set("SystemCallFilter") {
        notes.push(
            "The unit filters system calls. A delivery by getenv needs this line in a drop-in as well: \
             SystemCallFilter=seccomp ptrace process_vm_readv"
                .to_owned(),
        );
    }
    let offline = settings.boolean("Service", "PrivateNetwork") == Some(true)
        || service(settings, "IPAddressDeny").is_some();
    if offline {
        notes.push(
            "The service is kept from the network (PrivateNetwork=, IPAddressDeny=): stores that \
             are reached over it need an exception."
                .to_owned(),
        );
    }
    notes
}
