//! Help texts as roff: paragraphs, and lines that stay as they are.

use roff::{Roff, bold, roman};

/// The same build gives the same pages on every day. Not empty: that would be no argument.
pub const NO_DATE: &str = " ";

/// Words are not parted, and no spaces put between them to make lines equally long: names, paths and
/// options are read as they are typed.
pub fn unjustified(roff: &mut Roff) {
    roff.control("nh", []);
    roff.control("ad", ["l"]);
}

/// With roff's own words for what is not ASCII: not every reader of pages takes UTF-8.
pub fn ascii(roff: &str) -> String {
    let write = |c: char| {
        if c.is_ascii() {
            c.to_string()
        } else {
            format!("\\[u{:04X}]", u32::from(c))
        }
    };
    roff.chars().map(write).collect()
}

/// A part of a help text, between empty lines.
struct Block<'t> {
    /// Before indented lines: `Examples:`.
    heading: Option<&'t str>,
    lines: Vec<&'t str>,
    /// The lines stay as they are.
    verbatim: bool,
}

/// What a help text has besides its examples.
pub fn prose(roff: &mut Roff, text: &str) {
    for block in blocks(text).iter().filter(|block| !is_examples(block)) {
        roff.control("PP", []);
        if let Some(heading) = block.heading {
            roff.text([roman(heading)]);
        }
        write(roff, block);
    }
}

/// Its examples, as a section.
pub fn examples(roff: &mut Roff, text: &str) {
    let all = blocks(text);
    let examples: Vec<_> = all.iter().filter(|block| is_examples(block)).collect();
    if examples.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    for block in examples {
        write(roff, block);
    }
}

/// Lines that stay as they are.
pub fn verbatim<'t>(roff: &mut Roff, lines: impl IntoIterator<Item = &'t str>) {
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}

/// Paragraphs of running text.
pub fn paragraphs(roff: &mut Roff, all: &[&str]) {
    for paragraph in all {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
}

/// A name, and what it means.
pub fn item(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(meaning)]);
}

/// `hushpipe-run(1), hushpipe.yaml(5)`
pub fn see_also(roff: &mut Roff, pages: &[(&str, u8)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for (index, (name, section)) in pages.iter().enumerate() {
        if index > 0 {
            words.push(roman(", "));
        }
        words.push(bold(*name));
        words.push(roman(format!("({section})")));
    }
    roff.text(words);
}

fn is_examples(block: &Block<'_>) -> bool {
    block.heading == Some("Examples:")
}

fn write(roff: &mut Roff, block: &Block<'_>) {
    if block.verbatim {
        let lines = block.lines.iter();
        verbatim(
            roff,
            lines.map(|line| line.strip_prefix("  ").unwrap_or(line)),
        );
    } else {
        roff.text([roman(block.lines.join(" "))]);
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    text.split("\n\n").map(block).collect()
}

fn block(text: &str) -> Block<'_> {
    let mut lines: Vec<_> = text.lines().collect();
    let is_indented = |line: &&str| line.starts_with("  ");
    let verbatim = lines.last().is_some_and(is_indented);
    let heading = (verbatim && !lines.first().is_some_and(is_indented)).then(|| lines.remove(0));
    Block {
        heading,
        lines,
        verbatim,
    }
}
