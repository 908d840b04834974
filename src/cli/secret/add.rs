//! `hushpipe add`: a secret into the store, the manifest and what the program gets, in one step. The
//! manifest keeps its comments and its order: lines are put into it.

use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::Args;

use super::common::{failure, new_key, say, stored};
use super::place::PlaceArgs;
use crate::app::files;
use crate::app::sealed::{self, Input, SetOptions};
use crate::cli::variable::checked_variable;
use crate::cli::{Failure, Globals, Outcome, load};
use crate::manifest::{self, Overrides};
use crate::model::printable::shell_word;
use crate::model::query::Action;
use crate::model::{Exit, Plan};
use crate::stores::sealed::Key;

/// Arguments of `add`.
#[derive(Args)]
#[command(after_help = "\
The value comes from standard input or a prompt, as for `hushpipe secret set`. A secret that the \
store has already keeps its value. The program gets a file, unless --getenv names a variable.

Examples:
  hushpipe add stripe/token                     {{ files }}/stripe_token
  hushpipe add db/password --file pgpass
  hushpipe add DATABASE_URL --getenv DATABASE_URL
  hushpipe add API_KEY --no-deliver             for a template that you write")]
pub struct AddArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The secret's name in the store, such as stripe/token
    #[arg(value_name = "NAME")]
    name: String,
    /// Deliver it as this file [default: its name]
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// Deliver it as a variable that getenv(3) finds
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    getenv: Option<String>,
    /// Declare it, and deliver it nowhere
    #[arg(long, conflicts_with_all = ["file", "getenv"])]
    no_deliver: bool,
    /// Drop line ends from the end of the value
    #[arg(long)]
    trim: bool,
}

/// Adds a secret.
pub fn run(arguments: &AddArgs, globals: Globals) -> Outcome {
    let key = new_key(&arguments.name)?;
    if let Some(variable) = &arguments.getenv {
        checked_variable("--getenv", variable)?;
    }
    let (store_name, store) = arguments.place.of_a_manifest(globals)?;
    let path = arguments.place.manifest_path()?;
    let _held = files::held(&path).map_err(|error| Failure::new(Exit::Os, &error))?;
    let read = files::read(&path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| std::io::Error::other(error.utf8_error()))
    });
    let shown = path.display();
    let text = read.map_err(|error| {
        Failure::text(
            Exit::NoManifest,
            format!("cannot read {shown}\n  cause: {error}"),
        )
    })?;
    let before = parsed(&path, &text)?;
    let name = identifier(key.as_str());
    let known = before
        .secrets
        .iter()
        .find(|(known, _)| known.as_str() == name);
    let is_declared = match known {
        None => false,
        Some((_, spec)) if spec.source.key.as_deref() == Some(key.as_str()) => true,
        Some(_) => {
            let text = format!(
                "{shown} already uses the name {name} for another secret\n  \
                 help: choose another name for {key}, or declare it in {shown} by hand"
            );
            return Err(Failure::text(Exit::Usage, text));
        }
    };
    let lines = Lines::of(arguments, &name, &key, store_name.as_str(), is_declared);
    if is_declared && (arguments.file.is_none() && arguments.getenv.is_none()) {
        let text = format!(
            "{shown} has the secret {name} already\n  \
             help: `hushpipe secret set {}` changes its value; --file or --getenv adds a delivery",
            shell_word(key.as_str())
        );
        return Err(Failure::text(Exit::Usage, text));
    }
    let Some(after) = lines.put_into(&text) else {
        return Err(by_hand(&path, &lines));
    };
    // What is wrong with the new lines is said as `check` says it.
    let plan = parsed(&path, &after)?;
    let delivered = usize::from(!arguments.no_deliver);
    if plan.secrets.len() != before.secrets.len() + usize::from(!is_declared)
        || plan.deliveries.len() != before.deliveries.len() + delivered
    {
        return Err(by_hand(&path, &lines));
    }
    let stores = arguments
        .place
        .open_to(Action::Change, &[key.as_str()], globals)?;
    if stored(store.list())?.iter().any(|listed| listed.key == key) {
        say(
            globals,
            &format!("{key}: the store has it already, with its value"),
        )?;
    } else {
        let input = if std::io::stdin().is_terminal() {
            Input::Prompt
        } else {
            Input::Stdin
        };
        let options = SetOptions {
            trim: arguments.trim,
            allow_empty: false,
        };
        let set = sealed::set(&stores, &[(key.clone(), input)], options);
        set.map_err(|error| failure(&error))?;
        say(globals, &format!("{key}: version 1 is current"))?;
    }
    let mode = std::fs::metadata(&path).map_or(0o644, |found| found.mode() & 0o777);
    files::replace(&path, &after, mode).map_err(|error| {
        Failure::text(Exit::Os, format!("cannot write {shown}\n  cause: {error}"))
    })?;
    say(globals, &format!("{shown}: {}", lines.told()))
}

/// The manifest has a form that lines cannot be put into.
fn by_hand(path: &Path, lines: &Lines) -> Failure {
    let text = format!(
        "hushpipe cannot edit {}, which has `secrets` or `deliver` in braces: add by hand\n{}",
        path.display(),
        lines.by_hand()
    );
    Failure::text(Exit::Manifest, text)
}

fn parsed(path: &Path, text: &str) -> Result<Plan, Failure> {
    let overrides = Overrides {
        command: vec!["true".into()],
        no_launch: true,
        ..Overrides::default()
    };
    let environment = |name: &str| std::env::var(name).ok();
    manifest::parse(path, text, &overrides, &environment).map_err(|error| load::failure(&error))
}

/// As a manifest and its templates can name it.
fn identifier(key: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = key.chars().map(fits).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name
    } else {
        format!("x{name}")
    }
}

/// What is put into the manifest.
struct Lines {
    /// `None`: it is declared already.
    secret: Option<String>,
    delivery: Option<String>,
}

impl Lines {
    fn of(arguments: &AddArgs, name: &str, key: &Key, store: &str, declared: bool) -> Self {
        let key = scalar(key.as_str());
        let delivery = match (&arguments.getenv, &arguments.file) {
            _ if arguments.no_deliver => None,
            (Some(variable), _) => Some(format!(
                "{{ getenv: {}, secret: {name} }}",
                scalar(variable)
            )),
            (None, Some(file)) => Some(format!("{{ file: {}, secret: {name} }}", scalar(file))),
            (None, None) => Some(format!("{{ file: {name}, secret: {name} }}")),
        };
        Self {
            secret: (!declared).then(|| format!("{name}: {{ store: {store}, key: {key} }}")),
            delivery,
        }
    }

    fn put_into(&self, text: &str) -> Option<String> {
        let text = match &self.secret {
            Some(secret) => inserted(text, "secrets", secret, "  ")?,
            None => text.to_owned(),
        };
        match &self.delivery {
            Some(delivery) => inserted(&text, "deliver", &format!("- {delivery}"), "  "),
            None => Some(text),
        }
    }

    fn by_hand(&self) -> String {
        let secret = self.secret.iter();
        let secret = secret.map(|one| format!("  secrets:\n    {one}"));
        let delivery = self.delivery.iter();
        let delivery = delivery.map(|one| format!("  deliver:\n    - {one}"));
        secret.chain(delivery).collect::<Vec<_>>().join("\n")
    }

    /// What was added.
    fn told(&self) -> String {
        let delivery = self.delivery.iter().map(|one| format!("- {one}"));
        let all: Vec<String> = self.secret.iter().cloned().chain(delivery).collect();
        all.join(" and ")
    }
}

/// A text as a YAML scalar, without variables in it.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
    if text.chars().all(is_plain) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
    {
        return text.to_owned();
    }
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

/// The text with a line at the end of the block of a key at the top; a key that is not there comes last.
/// `None`: the key has a value on its own line.
fn inserted(text: &str, key: &str, line: &str, indent: &str) -> Option<String> {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<&str> = text.lines().collect();
    let is_key = |line: &&str| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with(':'))
    };
    let Some(at) = lines.iter().position(is_key) else {
        let last = text.trim_end();
        return Some(format!("{last}{end}{end}{key}:{end}{indent}{line}{end}"));
    };
    let value = lines[at][key.len() + 1..]
        .split(" #")
        .next()
        .unwrap_or_default()
        .trim();
    let heading = format!("{key}:");
    match value {
        "" => {}
        "{}" | "[]" | "null" | "~" => lines[at] = &heading,
        _ => return None,
    }
    let belongs = |line: &str| {
        line.trim().is_empty() || line.starts_with([' ', '\t', '#']) || line.starts_with("- ")
    };
    let block = lines[at + 1..]
        .iter()
        .take_while(|line| belongs(line))
        .count();
    let is_entry = |line: &&&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let entries = &lines[at + 1..=at + block];
    // Comments after the last entry are about what follows them.
    let last = entries
        .iter()
        .rposition(|line| is_entry(&line))
        .map_or(at, |index| at + 1 + index);
    let indent = entries.iter().find(is_entry).map_or(indent, |first| {
        &first[..first.len() - first.trim_start().len()]
    });
    let new = format!("{indent}{line}");
    lines.insert(last + 1, &new);
    Some(lines.join(end) + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_put_where_its_block_ends() {
        for (text, expected) in [
            (
                "a: 1\nsecrets:\n  x: { key: y } # mine\n\n# next\nb: 2\n",
                "a: 1\nsecrets:\n  x: { key: y } # mine\n  NEW\n\n# next\nb: 2\n",
            ),
            ("secrets: {}\nb: 2\n", "secrets:\n  NEW\nb: 2\n"),
            (
                "secrets:\n    x:\n        key: y\n",
                "secrets:\n    x:\n        key: y\n    NEW\n",
            ),
            (
                "a: 1\r\nsecrets:\r\n  x: 1\r\n",
                "a: 1\r\nsecrets:\r\n  x: 1\r\n  NEW\r\n",
            ),
            ("a: 1", "a: 1\n\nsecrets:\n  NEW\n"),
            ("secrets:   # which\n", "secrets:   # which\n  NEW\n"),
        ] {
            assert_eq!(
                inserted(text, "secrets", "NEW", "  ").as_deref(),
                Some(expected),
                "{text:?}"
            );
        }
        assert_eq!(
            inserted("secrets: { a: 1 }\n", "secrets", "NEW", "  "),
            None
        );
        let list = "deliver:\n- { fd: 3 }\nrun: {}\n";
        let expected = "deliver:\n- { fd: 3 }\n- NEW\nrun: {}\n";
        assert_eq!(
            inserted(list, "deliver", "- NEW", "  ").as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn names_and_scalars_are_what_a_manifest_takes() {
        assert_eq!(identifier("stripe/token"), "stripe_token");
        assert_eq!(identifier("2fa"), "x2fa");
        assert_eq!(scalar("a/b-c.pem"), "a/b-c.pem");
        assert_eq!(scalar("a b"), "\"a b\"");
        assert_eq!(scalar("${X}"), "\"$${X}\"");
    }
}
