//! `hushpipe completions SHELL`: what the shell needs to complete hushpipe's arguments.

use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use super::Outcome;
use super::output::print;

/// Arguments of `completions`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  hushpipe completions bash > ~/.local/share/bash-completion/completions/hushpipe
  hushpipe completions zsh > ~/.zfunc/_hushpipe
                                      with fpath+=~/.zfunc before compinit in ~/.zshrc
  hushpipe completions fish > ~/.config/fish/completions/hushpipe.fish")]
pub struct CompletionsArgs {
    /// The shell that completes
    shell: Supported,
}

#[derive(Clone, Copy, ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script for the shell.
pub fn run(arguments: &CompletionsArgs, mut root: clap::Command) -> Outcome {
    let shell = match arguments.shell {
        Supported::Bash => Shell::Bash,
        Supported::Zsh => Shell::Zsh,
        Supported::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut root, "hushpipe", &mut script);
    // zsh completes the program after `run` by itself.
    let names = match arguments.shell {
        Supported::Bash => include_str!("completions.bash"),
        Supported::Fish => include_str!("completions.fish"),
        Supported::Zsh => "",
    };
    print(&format!("{}{names}", String::from_utf8_lossy(&script)))
}
