//! Faults of the arguments in hushpipe's own form: the cause, then the cure, each a line. clap's message
//! has up to ten lines, and its usage before its advice.

use clap::error::ErrorKind;

use crate::model::nearest::nearest;

/// clap's message, as it renders it, in one line, and what to do in another. `None`: it is no fault but a
/// help text.
pub(super) fn text(error: &clap::Error, rendered: &str, root: &clap::Command) -> Option<String> {
    let rendered = rendered.strip_prefix("error: ")?;
    let cause: Vec<&str> = rendered
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    let cause = cause.join(" ");
    Some(format!(
        "{cause}\n  help: {}",
        cure(error, rendered, &cause, root)
    ))
}

fn cure(error: &clap::Error, rendered: &str, cause: &str, root: &clap::Command) -> String {
    let usage = rendered
        .lines()
        .find_map(|line| line.strip_prefix("Usage: "))
        .unwrap_or("hushpipe [OPTIONS] <COMMAND>");
    let tip = rendered
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("tip: "));
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(cause, usage, root),
        // An option of a command stands before it.
        ErrorKind::UnknownArgument if usage == "hushpipe [OPTIONS] <COMMAND>" => {
            "options of a command follow it, as in `hushpipe check -m FILE`".to_owned()
        }
        _ => tip.map_or_else(|| format!("usage: {usage}"), str::to_owned),
    }
}

/// What other tools call a command, after which words, and what it is here.
const OTHER_WORDS: [(&str, &str, &str); 26] = [
    ("set", "hushpipe", "hushpipe secret set"),
    ("get", "hushpipe", "hushpipe secret get"),
    ("list", "hushpipe", "hushpipe secret list"),
    ("rm", "hushpipe", "hushpipe secret rm"),
    ("delete", "hushpipe", "hushpipe secret rm"),
    ("remove", "hushpipe", "hushpipe secret rm"),
    ("edit", "hushpipe", "hushpipe secret edit"),
    ("import", "hushpipe", "hushpipe secret import"),
    ("export", "hushpipe", "hushpipe secret export"),
    ("generate", "hushpipe", "hushpipe secret generate"),
    ("rekey", "hushpipe", "hushpipe secret rekey"),
    ("recipients", "hushpipe", "hushpipe identity recipients"),
    ("keygen", "hushpipe", "hushpipe identity new"),
    ("env", "hushpipe", "hushpipe run env"),
    ("validate", "hushpipe", "hushpipe check"),
    ("lint", "hushpipe", "hushpipe check"),
    ("start", "hushpipe", "hushpipe run"),
    ("reload", "hushpipe", "hushpipe rotate"),
    ("stop", "hushpipe", "kill PID, with the PID of hushpipe ps"),
    ("delete", "hushpipe secret", "hushpipe secret rm"),
    ("remove", "hushpipe secret", "hushpipe secret rm"),
    ("put", "hushpipe secret", "hushpipe secret set"),
    ("add", "hushpipe secret", "hushpipe add"),
    ("create", "hushpipe secret", "hushpipe secret set"),
    ("read", "hushpipe secret", "hushpipe secret get"),
    ("rename", "hushpipe secret", "hushpipe secret mv"),
];

/// A word that is no command: a typo, or the program that was to run.
fn unknown_command(cause: &str, usage: &str, root: &clap::Command) -> String {
    let word = cause.split('\'').nth(1).unwrap_or_default();
    // The command whose subcommand it would be.
    let path = usage
        .split(' ')
        .take_while(|word| !word.starts_with(['[', '<']));
    let command = path
        .clone()
        .skip(1)
        .try_fold(root, |command, word| command.find_subcommand(word));
    let names = command
        .into_iter()
        .flat_map(clap::Command::get_subcommands)
        .flat_map(|known| std::iter::once(known.get_name()).chain(known.get_all_aliases()));
    let path = path.collect::<Vec<_>>().join(" ");
    let known = OTHER_WORDS
        .iter()
        .find(|(other, within, _)| *other == word && *within == path);
    if let Some((.., meant)) = known {
        return format!("that is `{meant}`");
    }
    match nearest(word, names) {
        Some(near) => format!("did you mean `{path} {near}`?"),
        None if path == "hushpipe" => {
            format!("to run a program: `hushpipe run {word}`; `hushpipe help` lists the commands")
        }
        None => format!("`{path} --help` lists its commands"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::{CommandLine, parse_as};

    fn shown(words: &str) -> String {
        let words = std::iter::once("hushpipe").chain(words.split(' '));
        let Err(error) = parse_as(words.map(Into::into)) else {
            panic!("these words are good");
        };
        let rendered = error.render().to_string();
        super::text(&error, &rendered, &CommandLine::command()).unwrap()
    }

    #[test]
    fn a_cause_and_a_cure() {
        for (words, cause, cure) in [
            (
                "rnu",
                "unrecognized subcommand 'rnu'",
                "did you mean `hushpipe run`?",
            ),
            (
                "npm start",
                "unrecognized subcommand 'npm'",
                "`hushpipe run npm`",
            ),
            (
                "secret st x",
                "unrecognized subcommand 'st'",
                "did you mean `hushpipe secret set`?",
            ),
            (
                "secret delete x",
                "unrecognized subcommand 'delete'",
                "that is `hushpipe secret rm`",
            ),
            (
                "set x",
                "unrecognized subcommand 'set'",
                "`hushpipe secret set`",
            ),
            (
                "secret frobnicate",
                "unrecognized subcommand",
                "`hushpipe secret --help` lists",
            ),
            (
                "run --manfest x",
                "unexpected argument '--manfest' found",
                "'--manifest'",
            ),
            (
                "-m x check",
                "unexpected argument '-m' found",
                "`hushpipe check -m FILE`",
            ),
            (
                "--manifest x check",
                "unexpected argument '--manifest'",
                "`hushpipe check -m FILE`",
            ),
            (
                "add",
                "were not provided: <NAME>",
                "usage: hushpipe add <NAME>",
            ),
            (
                "run --exec --exec",
                "'--exec' cannot be used multiple times",
                "usage: hushpipe run",
            ),
            (
                "--log-format xml check",
                "[possible values: text, json]",
                "usage: hushpipe",
            ),
        ] {
            let shown = shown(words);
            let lines: Vec<&str> = shown.lines().collect();
            assert_eq!(lines.len(), 2, "{shown}");
            assert!(lines[0].contains(cause), "{words}: {shown}");
            assert!(lines[1].contains(cure), "{words}: {shown}");
            for line in lines {
                assert!(
                    "hushpipe: error: ".len() + line.chars().count() <= 100,
                    "{shown}"
                );
            }
        }
    }
}
