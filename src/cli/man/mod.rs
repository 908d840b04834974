//! `hushpipe man`: the manual pages, from the same texts that `--help` and `hushpipe schema` show.

mod approvals;
mod audit;
mod commands;
#[cfg(feature = "monitor")]
mod incident;
mod manifest;
#[cfg(feature = "monitor")]
mod monitor;
mod page;
#[cfg(feature = "policy")]
mod policy;
pub mod templates;
mod text;
mod topics;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};

use super::output::print;
use super::{Failure, Outcome};
use crate::model::Exit;
use page::Page;

/// Arguments of `man`.
#[derive(Args)]
#[command(after_help = "\
Without a directory one page goes to standard output.

Examples:
  hushpipe man | man -l -                          hushpipe(1)
  hushpipe man --page hushpipe.yaml | man -l -     the manifest's keys
  hushpipe man --page hushpipe-templates | man -l -     templates and filters
  hushpipe man --page hushpipe-policy.7 | man -l -      a page whose name a command has as well
  hushpipe man ~/.local/share/man                  all of them, for yourself: man hushpipe-run")]
pub struct ManArgs {
    /// Write all pages below this directory, in man1, man5, man7 and man8
    #[arg(value_name = "DIR", conflicts_with = "page")]
    directory: Option<PathBuf>,
    /// Which page: hushpipe, hushpipe-run, ..., hushpipe.yaml, hushpipe-site.yaml,
    /// hushpipe-templates
    #[arg(long, value_name = "NAME", default_value = "hushpipe")]
    page: String,
}

/// Writes them.
pub fn run(arguments: &ManArgs, root: Command) -> Outcome {
    let pages = pages(root)?;
    if let Some(directory) = &arguments.directory {
        let name = directory.to_string_lossy();
        if let Some(page) = pages.iter().find(|page| page.name == name) {
            let text = format!(
                "{name} is a page, and a directory is expected: `hushpipe man --page {name}.{}`, or \
                 ./{name} for a directory of that name",
                page.section
            );
            return Err(Failure::text(Exit::Usage, text));
        }
        return write_all(&pages, directory);
    }
    let page = pages.iter().find(|page| {
        page.name == arguments.page || format!("{}.{}", page.name, page.section) == arguments.page
    });
    page.map_or_else(
        || {
            let names = pages
                .iter()
                .map(|page| format!("{}.{}", page.name, page.section));
            let names: Vec<_> = names.collect();
            let text = format!(
                "no page {:?}; there are: {}",
                arguments.page,
                names.join(", ")
            );
            Err(Failure::text(Exit::Usage, text))
        },
        |page| print(&page.roff),
    )
}

fn pages(root: Command) -> Result<Vec<Page>, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Internal, &error);
    let mut pages = commands::pages(root).map_err(failed)?;
    pages.push(approvals::page());
    pages.push(audit::page());
    pages.push(manifest::page());
    #[cfg(feature = "monitor")]
    pages.extend([incident::page(), monitor::page()]);
    pages.push(manifest::site_page());
    pages.push(templates::page());
    pages.extend(topics::pages());
    #[cfg(feature = "policy")]
    pages.push(policy::page());
    Ok(pages)
}

fn write_all(pages: &[Page], directory: &Path) -> Outcome {
    for page in pages {
        let place = directory.join(format!("man{}", page.section));
        let file = place.join(format!("{}.{}", page.name, page.section));
        let written = fs::create_dir_all(&place).and_then(|()| fs::write(&file, &page.roff));
        written.map_err(|error| {
            let text = format!("cannot write {}\n  cause: {error}", file.display());
            Failure::text(Exit::Os, text)
        })?;
    }
    Ok(Exit::Ok)
}
