//! What a person says for a launch or a command, where policy may ask for it.

use clap::Args;

use crate::model::query::Justification;

/// `--reason` and `--break-glass`
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct SaidArgs {
    /// Why, for a policy that wants a reason; it goes on record
    #[arg(long, value_name = "TEXT", value_parser = said, global = true)]
    reason: Option<String>,
    /// Why, in an emergency: where a policy allows break-glass, it lifts a denial; always raises an alert
    #[arg(long, value_name = "TEXT", value_parser = said, conflicts_with = "reason", global = true)]
    break_glass: Option<String>,
}

impl From<SaidArgs> for Justification {
    fn from(said: SaidArgs) -> Self {
        Self {
            reason: said.reason,
            break_glass: said.break_glass,
        }
    }
}

/// So that it fits a line of the log and a request on the control socket.
const LONGEST: usize = 1_000;

fn said(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a reason has words".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("a reason has at most {LONGEST} bytes"));
    }
    Ok(text.to_owned())
}
