//! A request in words, for whoever is to approve it.

use std::fmt::Write as _;

use crate::approval::Request;
use crate::model::format_duration;
use crate::model::printable::{printable as plain, shell_word};

type Row = (&'static str, String);

/// All that a request says; rows that say nothing are left out. `owner` is the user whose file it is.
pub fn words(request: &Request, owner: Option<&str>) -> String {
    let mut rows = vec![
        ("service", plain(&request.service)),
        ("host", plain(&request.host)),
        ("environment", plain(&request.environment)),
        ("requested by", plain(&request.by)),
        ("reason", plain(&request.reason)),
    ];
    if request.break_glass {
        rows.push(("emergency", "it breaks the glass".to_owned()));
    }
    rows.extend(program(request));
    rows.extend(manifest(request));
    rows.extend(secrets(request));
    rows.push(("created", request.created.to_string()));
    rows.push(("expires", request.expires.to_string()));
    rows.push(("launches", request.uses.to_string()));
    rows.extend(owner.map(|owner| ("file of", plain(owner))));
    let mut text = format!("Request {}\n", request.id);
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "  {name:<11} {value}").expect("a String takes it");
    }
    text
}

fn program(request: &Request) -> Vec<Row> {
    let program = &request.program;
    let mut rows = vec![
        ("program", plain(&program.path)),
        ("  sha256", plain(&program.sha256)),
        ("  argv[0]", plain(&program.argv0)),
        ("interpreter", plain(&program.interpreter)),
        ("  sha256", plain(&program.interpreter_sha256)),
        ("as uid", request.uid.to_string()),
    ];
    let arguments = request.arguments.iter();
    rows.extend(arguments.map(|argument| ("argument", plain(&shell_word(argument)))));
    rows.extend([
        (
            "arguments",
            format!("sha256 {}", plain(&request.arguments_sha256)),
        ),
        ("directory", plain(&request.directory)),
        ("mode", plain(&request.mode)),
        ("isolation", plain(&request.isolation)),
    ]);
    rows
}

fn manifest(request: &Request) -> Vec<Row> {
    let manifest = &request.manifest;
    let names = request.variables.names.iter().map(|name| plain(name));
    vec![
        ("manifest", plain(&manifest.path)),
        ("  sha256", plain(&manifest.sha256)),
        ("  signed by", plain(&manifest.signed_by)),
        ("variables", names.collect::<Vec<_>>().join(", ")),
        ("  sha256", plain(&request.variables.sha256)),
    ]
}

fn secrets(request: &Request) -> Vec<Row> {
    let secrets = request.secrets.iter().map(|secret| {
        let how: Vec<String> = secret.deliveries.iter().map(|kind| plain(kind)).collect();
        let (asked, store) = (plain(&secret.asked), plain(&secret.store));
        let text = format!("{asked} of store {store}, as {}", how.join(" and "));
        ("secret", text)
    });
    let wanted = request.policies.wanted.iter().map(|wanted| {
        let (policy, group) = (plain(&wanted.policy), plain(&wanted.group));
        let (needed, within) = (wanted.needed, format_duration(wanted.within));
        (
            "needs",
            format!("{needed} of {group} within {within}, for policy {policy}"),
        )
    });
    secrets.chain(wanted).collect()
}
