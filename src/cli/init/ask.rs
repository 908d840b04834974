//! Questions about .env files, and their answers. No value is ever shown.

use std::io::{self, BufRead, IsTerminal, Write};

use super::super::Failure;
use super::report::shown;
use crate::app::envfile::{Advice, EnvFile, Variable};
use crate::model::Exit;

/// Whether there is somebody to be asked.
pub fn is_somebody_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Which variables of a file are sealed, in their order; `None`: the file stays as it is.
pub fn which(file: &EnvFile) -> Result<Option<Vec<bool>>, Failure> {
    let variables = file.variables();
    say(&listing(file, &variables))?;
    loop {
        let answer =
            ask("Move them into a sealed store? [Y]es, as listed; [a]ll; [c]hoose; [n]o: ")?;
        return match &*answer {
            "" | "y" | "yes" => Ok(Some(variables.iter().map(advised).collect())),
            "a" | "all" => Ok(Some(vec![true; variables.len()])),
            "c" | "choose" => one_by_one(&variables).map(Some),
            "n" | "no" => Ok(None),
            _ => continue,
        };
    }
}

/// Whether a variable is sealed where nobody says otherwise.
pub fn advised(variable: &Variable<'_>) -> bool {
    variable.advice == Advice::Seal
}

fn one_by_one(variables: &[Variable<'_>]) -> Result<Vec<bool>, Failure> {
    let each = variables.iter().map(|variable| {
        let question = format!("  {}: to the store?", variable.name);
        yes(&question, advised(variable))
    });
    each.collect()
}

/// Asks until the answer is yes or no; an empty one is `default`.
pub fn yes(question: &str, default: bool) -> Result<bool, Failure> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        match &*ask(&format!("{question} {choice} "))? {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

fn listing(file: &EnvFile, variables: &[Variable<'_>]) -> String {
    let width = variables.iter().map(|variable| variable.name.len()).max();
    let width = width.unwrap_or_default();
    let plural = if variables.len() == 1 { "" } else { "s" };
    let (path, count) = (shown(file.path()), variables.len());
    let line = |variable: &Variable<'_>| {
        let what = match &variable.advice {
            Advice::Seal => "to the store".to_owned(),
            Advice::Common => "stays readable: a word or a number that anybody would guess".into(),
            Advice::Everywhere(name) => format!("stays readable: its value is in {name} as well"),
        };
        format!("  {:width$}  {what}\n", variable.name)
    };
    let lines: String = variables.iter().map(line).collect();
    format!("{path} has {count} variable{plural}:\n\n{lines}\n")
}

fn ask(question: &str) -> Result<String, Failure> {
    say(question)?;
    let mut answer = String::new();
    let length = io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| os(&error))?;
    if length == 0 {
        say("\n")?;
        return Err(Failure::text(Exit::No, "no answer: nothing more is done"));
    }
    Ok(answer.trim().to_ascii_lowercase())
}

fn say(text: &str) -> Result<(), Failure> {
    io::stderr()
        .write_all(text.as_bytes())
        .map_err(|error| os(&error))
}

fn os(error: &io::Error) -> Failure {
    Failure::new(Exit::Os, error)
}
