//! What an input is, and how it is read: by its name, else by its first bytes.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::notes::Notes;
use crate::formats::tar::Archive;
use crate::manifest::{self, Overrides};
use crate::report::{Collector, Graph, Moment, Origin};
use crate::sys::beneath;

/// How much is read at once.
const BLOCK: usize = 256 << 10;

/// A record has no more bytes than this.
const RECORD: u64 = 4 << 20;

/// A scan's output of more bytes is not read, nor a larger manifest or site.
const SCAN: u64 = 256 << 20;
const MANIFEST: u64 = 1 << 20;

/// How many bytes tell what something is: a header of tar(5).
const HEADER: usize = 512;

/// What is so, and what was so at the beginning of the period, if one was given.
#[derive(Debug)]
pub struct Inventory {
    /// At its end.
    pub graph: Graph,
    /// At its beginning.
    pub before: Option<Graph>,
    /// What could not be read.
    pub notes: Notes,
}

/// What collects, and what could not be read.
#[derive(Debug)]
pub struct Feed {
    /// Of all inputs; and the same up to the beginning of the period.
    collector: Collector,
    before: Option<Collector>,
    /// What was skipped.
    pub notes: Notes,
    /// The number of the path that is read.
    pub root: u32,
    /// In an archive: one in it is not opened.
    is_within: bool,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Lines,
    Scan,
    Yaml,
    Tar,
    Gzip,
}

fn by_name(name: &str) -> Option<Format> {
    let has = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    match () {
        () if has(&[".jsonl", ".ndjson"]) => Some(Format::Lines),
        () if has(&[".json"]) => Some(Format::Scan),
        () if has(&[".yaml", ".yml"]) => Some(Format::Yaml),
        () if has(&[".tar"]) => Some(Format::Tar),
        () if has(&[".tgz", ".gz"]) => Some(Format::Gzip),
        () => None,
    }
}

fn by_bytes(head: &[u8]) -> Format {
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match () {
        () if head.starts_with(&[0x1f, 0x8b]) => Format::Gzip,
        () if head.get(257..262) == Some(b"ustar") => Format::Tar,
        // Records are one line each, and a scan's output is indented.
        () if line.trim_ascii() == b"{" => Format::Scan,
        () if first == Some(&b'{') || first.is_none() => Format::Lines,
        () => Format::Yaml,
    }
}

impl Feed {
    /// Of a period, if one is given.
    pub fn new(since: Option<Moment>, until: Option<Moment>) -> Self {
        Self {
            collector: Collector::of_period(since, until),
            before: since.map(|_| Collector::of_period(None, since)),
            notes: Notes::default(),
            root: 0,
            is_within: false,
        }
    }

    /// What all of it says.
    pub fn finish(self, since: Option<Moment>, until: Option<Moment>) -> Inventory {
        let mut notes = self.notes;
        let graph = self.collector.finish(until);
        if graph.damaged > 0 {
            let text = format!("{} lines are no records, and were skipped", graph.damaged);
            notes.texts.push(text);
        }
        Inventory {
            graph,
            before: self.before.map(|before| before.finish(since)),
            notes,
        }
    }

    /// Gives something to what collects.
    pub fn take<T>(&mut self, part: &str, give: impl Fn(&mut Collector, Origin) -> T) -> T {
        if let Some(before) = &mut self.before {
            let origin = before.origin(self.root, part);
            give(before, origin);
        }
        let origin = self.collector.origin(self.root, part);
        give(&mut self.collector, origin)
    }

    /// Whether a file of this name, found in a directory or an archive, is read.
    pub fn wants(name: &str) -> bool {
        by_name(name).is_some()
    }

    /// Takes a file. `part` is the path of its directory from what was named. An error is one of reading it.
    pub fn file(&mut self, path: &str, part: &str, from: &mut dyn Read) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some(format) = by_name(name) {
            return self.format(format, path, part, from);
        }
        let mut head = Vec::with_capacity(HEADER);
        from.take(HEADER as u64).read_to_end(&mut head)?;
        let format = by_bytes(&head);
        self.format(format, path, part, &mut Cursor::new(head).chain(from))
    }

    fn format(
        &mut self,
        format: Format,
        path: &str,
        part: &str,
        from: &mut dyn Read,
    ) -> io::Result<()> {
        match format {
            Format::Lines => self.lines(part, &mut BufReader::with_capacity(BLOCK, from)),
            Format::Scan => self.scan(part, path, from),
            Format::Yaml => self.yaml(part, path, from),
            Format::Tar if self.is_within => Ok(()),
            Format::Tar => self.archive(path, part, from),
            Format::Gzip => {
                let name = path.strip_suffix(".gz").map(str::to_owned);
                let name = name.or_else(|| Some(path.strip_suffix(".tgz")?.to_owned() + ".tar"));
                // Without a name that says what it is, the first bytes do.
                let name = name.unwrap_or_default();
                self.file(&name, part, &mut MultiGzDecoder::new(from))
            }
        }
    }

    /// Records, one a line.
    pub fn lines(&mut self, part: &str, from: &mut dyn BufRead) -> io::Result<()> {
        let origin = self.collector.origin(self.root, part);
        let of_before = match &mut self.before {
            Some(before) => before.origin(self.root, part),
            None => origin,
        };
        let mut line = Vec::new();
        while let Some(is_whole) = next_line(from, RECORD, &mut line)? {
            if !is_whole {
                self.collector.cut();
                continue;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            // What is no record is counted there.
            let is_record = self.collector.line(origin, &line).is_ok();
            if is_record && let Some(before) = &mut self.before {
                before.line(of_before, &line).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    fn scan(&mut self, part: &str, path: &str, from: &mut dyn Read) -> io::Result<()> {
        let bytes = beneath::read_whole(from, SCAN)?;
        let is_scan = self.take(part, |collector, origin| collector.scan(origin, &bytes));
        if !is_scan && !self.is_within {
            self.notes
                .add(path, &"it is not what `hushpipe scan --json` prints");
        }
        Ok(())
    }

    /// A site by its name, and manifests; other files of YAML are passed over. What is wrong with one is not
    /// repeated here: messages show lines of it.
    fn yaml(&mut self, part: &str, path: &str, from: &mut dyn Read) -> io::Result<()> {
        let bytes = beneath::read_whole(from, MANIFEST)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        if matches!(name, "site.yaml" | "site.yml") {
            match manifest::parse_site(Path::new(path), bytes) {
                Ok(site) => self.take(part, |collector, origin| collector.site(origin, &site)),
                Err(_) => self.notes.add(path, &"it is no valid site"),
            }
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes);
        let has = |key: &str| text.lines().any(|line| line.starts_with(key));
        if !(has("secrets:") && has("stores:")) {
            return Ok(());
        }
        let overrides = Overrides {
            no_launch: true,
            ..Overrides::default()
        };
        // Variables of another host are not known: what the manifest has without them, else their names.
        let parse = |variable: &dyn Fn(&str) -> Option<String>| {
            manifest::parse(Path::new(path), &text, &overrides, variable)
        };
        match parse(&|_| None).or_else(|_| parse(&|name| Some(name.to_owned()))) {
            Ok(plan) => self.take(part, |collector, origin| collector.manifest(origin, &plan)),
            Err(_) => self.notes.add(
                path,
                &"it is no valid manifest; `hushpipe check -m FILE` on its host says why",
            ),
        }
        Ok(())
    }

    fn archive(&mut self, path: &str, part: &str, from: &mut dyn Read) -> io::Result<()> {
        self.is_within = true;
        let read = self.entries(path, part, from);
        self.is_within = false;
        read
    }

    fn entries(&mut self, path: &str, part: &str, from: &mut dyn Read) -> io::Result<()> {
        let mut archive = Archive::new(BufReader::with_capacity(BLOCK, from));
        while let Some(entry) = archive.entry()? {
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            let name = name.trim_start_matches("./").trim_start_matches('/');
            if !entry.is_file || !Self::wants(name) {
                continue;
            }
            let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
            let part = below(part, directory);
            let shown = format!("{path}!{name}");
            if let Err(error) = self.file(&shown, &part, &mut archive) {
                self.notes.add(&shown, &error);
            }
        }
        Ok(())
    }
}

/// A path below another one.
pub fn below(part: &str, name: &str) -> String {
    let slash = if part.is_empty() || name.is_empty() {
        ""
    } else {
        "/"
    };
    format!("{part}{slash}{name}")
}

/// The next line, without its end, of no more bytes than that; `None` at the end. False: it was longer, and
/// was passed over.
fn next_line(
    mut from: &mut dyn BufRead,
    most: u64,
    line: &mut Vec<u8>,
) -> io::Result<Option<bool>> {
    line.clear();
    let read = (&mut from).take(most + 1).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(true));
    }
    if read as u64 <= most {
        return Ok(Some(true));
    }
    from.skip_until(b'\n')?;
    Ok(Some(false))
}
