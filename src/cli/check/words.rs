//! The plan's values, as the manifest writes them or in a few words.

use crate::model::printable::shell_word;
use crate::model::{RestartBudget, RotateAction, Verify, VerifyHow, format_duration};

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
        } => format!("{method} {url}, within {}", format_duration(*timeout)),
    }
}

/// A command as a shell would take it.
pub fn argv(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
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

/// Words, or `none`.
pub fn list(words: &[String]) -> String {
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}
