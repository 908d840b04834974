//! `hushpipe help [COMMAND...]`, and `hushpipe help TOPIC`.

use std::fmt::Write as _;

use clap::Args;

#[cfg(feature = "man")]
use super::man::templates;
use super::output::print;
use super::{Failure, Outcome, topics};
use crate::model::Exit;

/// Arguments of `help`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  hushpipe help run
  hushpipe help secret set
  hushpipe help getenv             what programs read, and what to write for it
  hushpipe help stores
  hushpipe help rotation
  hushpipe help security
  hushpipe help units              of systemd
  hushpipe help containers
  hushpipe help templates
  hushpipe help exit-codes")]
pub struct HelpArgs {
    /// A command, or a topic
    topic: Vec<String>,
}

/// Prints help on a topic.
pub fn run(arguments: &HelpArgs, mut root: clap::Command) -> Outcome {
    let text = match arguments.topic.as_slice() {
        [topic] if topic == "exit-codes" => exit_codes(),
        #[cfg(feature = "man")]
        [topic] if topic == "templates" => templates::help(),
        [topic] if topics::find(topic).is_some() => topics::find(topic)
            .map(topics::Topic::help)
            .unwrap_or_default(),
        topics => {
            root.build();
            let mut command = &mut root;
            for topic in topics {
                command = command.find_subcommand_mut(topic).ok_or_else(|| {
                    let names: Vec<_> = topics::TOPICS.iter().map(|topic| topic.name).collect();
                    let text = format!(
                        "no help on {topic:?}\n  help: `hushpipe help` lists commands; topics are {}, \
                         templates, exit-codes",
                        names.join(", ")
                    );
                    Failure::text(Exit::Usage, text)
                })?;
            }
            command.render_long_help().to_string()
        }
    };
    print(&text)
}

fn exit_codes() -> String {
    let mut text = String::from(
        "hushpipe gives the program's own exit code, or 128+N when signal N killed it.\n\
         Its own faults have these codes (sysexits(3)):\n\n",
    );
    for exit in Exit::ALL {
        writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning())
            .expect("writing to a String does not fail");
    }
    text
}
