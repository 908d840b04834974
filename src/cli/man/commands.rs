//! One page a command, section 1.

use std::io;

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, examples, item, prose, see_also, unjustified};
use crate::model::Exit;

/// What hushpipe reads of its environment, beside what a manifest names.
const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "HUSHPIPE_MANIFEST",
        "The manifest, where -m does not name one.",
    ),
    (
        "HUSHPIPE_SITE",
        "The site in place of /etc/hushpipe/site.yaml: for root, and on a host that has none.",
    ),
    (
        "XDG_CONFIG_HOME, HOME",
        "Where hushpipe/identity.txt is looked for; ~ in a manifest is HOME.",
    ),
    (
        "XDG_RUNTIME_DIR",
        "Where a launcher that is not root's has its control socket.",
    ),
    (
        "NO_COLOR",
        "Messages have no colours; nor where they do not go to a terminal.",
    ),
    (
        "VAULT_ADDR, VAULT_TOKEN, BAO_ADDR and the like",
        "What a store of the type vault leaves out. The program gets none of them.",
    ),
];

const FILES: [(&str, &str); 4] = [
    (
        "/etc/hushpipe/site.yaml",
        "What this host requires of every launch: hushpipe-site.yaml(5).",
    ),
    (
        "./hushpipe.yaml",
        "The manifest, where nothing else names one.",
    ),
    (
        "~/.config/hushpipe/identity.txt",
        "The identity that opens sealed stores, where nothing else names one.",
    ),
    (
        "/var/lib/hushpipe/sealed, ~/.local/state/hushpipe/sealed",
        "For root and for other users ($XDG_STATE_HOME, $HUSHPIPE_STATE_DIRECTORY): the newest index of \
         each sealed store that this host has seen. An older or another one is refused.",
    ),
];

/// The pages of a command and of all below it.
pub fn pages(mut root: Command) -> io::Result<Vec<Page>> {
    root = root.disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add(&root, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    for below in visible(command) {
        add(below, pages)?;
    }
    let name = name(command);
    let at = pages.len();
    pages.push(Page {
        roff: page(command, &name)?,
        name,
        section: 1,
    });
    // Commands before what is below them.
    let first = at - count(command);
    pages[first..].rotate_right(1);
    Ok(())
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
}

fn count(command: &Command) -> usize {
    visible(command).map(|below| 1 + count(below)).sum()
}

fn name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}

fn page(command: &Command, name: &str) -> io::Result<String> {
    let man = Man::new(command.clone())
        .title(name)
        .section("1")
        .date(NO_DATE)
        .source(concat!("hushpipe ", env!("CARGO_PKG_VERSION")))
        .manual("hushpipe");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    part(&mut page, unjustified)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    part(&mut page, |roff| prose(roff, &help))?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    part(&mut page, |roff| examples(roff, &help))?;
    let is_root = name == "hushpipe";
    if is_root {
        part(&mut page, surroundings)?;
    }
    part(&mut page, |roff| related(roff, command, is_root))?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    Ok(ascii(&page))
}

fn part(page: &mut Vec<u8>, write: impl FnOnce(&mut Roff)) -> io::Result<()> {
    let mut roff = Roff::new();
    write(&mut roff);
    roff.to_writer(page)
}

fn surroundings(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    roff.text([roman(
        "The program's own; 128+N when signal N killed it. hushpipe's own faults:",
    )]);
    for exit in Exit::ALL {
        item(roff, &exit.code().to_string(), exit.meaning());
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in ENVIRONMENT {
        item(roff, name, meaning);
    }
    roff.control("SH", ["FILES"]);
    for (name, meaning) in FILES {
        item(roff, name, meaning);
    }
}

fn related(roff: &mut Roff, command: &Command, is_root: bool) {
    let below: Vec<_> = visible(command).map(name).collect();
    let mut pages: Vec<(&str, u8)> = Vec::new();
    if !is_root {
        pages.push(("hushpipe", 1));
    }
    pages.extend(below.iter().map(|name| (&**name, 1)));
    pages.push(("hushpipe.yaml", 5));
    pages.push(("hushpipe-site.yaml", 5));
    see_also(roff, &pages);
}
