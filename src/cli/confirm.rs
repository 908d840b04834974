//! A question before something that cannot be undone.

use std::io::{self, IsTerminal as _, Write as _};

use super::Failure;
use crate::model::Exit;

/// Asks; anything but yes is no. Without a terminal that is an error of usage: `unasked` says what to do.
pub fn confirmed(question: &str, unasked: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::text(Exit::Usage, unasked));
    }
    let os = |error: io::Error| Failure::new(Exit::Os, &error);
    let question = format!("{question} [y/N] ");
    io::stderr().write_all(question.as_bytes()).map_err(os)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(os)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
