//! A page for each topic, section 7, from the text that `hushpipe help` prints.

use roff::{Roff, roman};

use super::page::Page;
use super::text::{NO_DATE, ascii, see_also, unjustified, verbatim};
use crate::cli::topics::{TOPICS, Topic};

/// All of them.
pub fn pages() -> impl Iterator<Item = Page> {
    TOPICS.iter().map(page)
}

fn page(topic: &Topic) -> Page {
    let name = format!("hushpipe-{}", topic.name);
    let mut roff = Roff::new();
    let source = concat!("hushpipe ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [&*name, "7", NO_DATE, source, "hushpipe"]);
    unjustified(&mut roff);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", topic.about))]);
    if !topic.text.starts_with("# ") {
        roff.control("SH", ["DESCRIPTION"]);
    }
    for block in topic.text.split("\n\n") {
        write(&mut roff, block);
    }
    let mut pages = vec![("hushpipe", 1), ("hushpipe.yaml", 5)];
    let others = TOPICS.iter().filter(|other| other.name != topic.name);
    let others: Vec<String> = others
        .map(|other| format!("hushpipe-{}", other.name))
        .collect();
    pages.extend(others.iter().map(|name| (&**name, 7)));
    pages.push(("hushpipe-templates", 7));
    see_also(&mut roff, &pages);
    Page {
        name,
        section: 7,
        roff: ascii(&roff.to_roff()),
    }
}

fn write(roff: &mut Roff, block: &str) {
    let lines: Vec<&str> = block.lines().collect();
    match lines.first() {
        None => {}
        Some(first) if first.starts_with("# ") => {
            roff.control("SH", [&first[2..]]);
            write(roff, &lines[1..].join("\n"));
        }
        Some(first) if first.starts_with("- ") => {
            let mut item = Vec::new();
            for line in lines {
                if line.starts_with("- ") && !item.is_empty() {
                    list_item(roff, &item);
                    item.clear();
                }
                item.push(line.trim_start_matches("- ").trim());
            }
            list_item(roff, &item);
        }
        Some(first) if first.starts_with("  ") => {
            let lines = lines.iter();
            verbatim(
                roff,
                lines.map(|line| line.strip_prefix("  ").unwrap_or(line)),
            );
        }
        Some(_) => {
            roff.control("PP", []);
            roff.text([roman(lines.join(" "))]);
        }
    }
}

fn list_item(roff: &mut Roff, lines: &[&str]) {
    roff.control("IP", ["-", "2"]);
    roff.text([roman(lines.join(" "))]);
}
