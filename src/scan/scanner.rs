//! Reads a source block by block and turns matches into findings.

use std::io::{self, Read};

use super::engine::{AHEAD, BACK, Engine, MOST, Match, Part};
use super::finding::{Finding, Place, fingerprint, name_before};
use super::kind::{Kind, is_test};
use super::known::{Known, Sighting};
use super::rule::{Rule, Severity};
use super::{misconfig, readers, rules};
use crate::secret::SecretBytes;

/// How much is looked at at once. Memory does not grow with what is read.
const BLOCK: usize = 1 << 20;

/// How much of a source decides whether it is text.
const HEAD: usize = 8 << 10;

/// A source in UTF-16 is decoded whole, up to this.
const WIDE: u64 = 16 << 20;

/// What all workers share.
pub struct Scanner {
    engine: Engine,
    /// Whether findings keep their values, to be shown on a terminal.
    keeps: bool,
    /// A source is read up to here.
    most: u64,
    /// Values that are looked for wherever they are.
    known: Option<Known>,
}

/// One worker's buffer.
pub struct Worker<'a> {
    scanner: &'a Scanner,
    buffer: Vec<u8>,
}

/// What became of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How much of it was read.
    pub bytes: u64,
    /// It is no text: only readers of whole files looked at it.
    pub is_binary: bool,
    /// It is longer than what is read.
    pub is_cut: bool,
}

impl Scanner {
    /// With hushpipe's own rules, and more.
    ///
    /// # Errors
    ///
    /// More keywords than an automaton can have.
    pub fn new(more: Vec<Rule>, most: u64, keeps: bool) -> io::Result<Self> {
        let mut all = rules::builtin();
        all.extend(more);
        let engine = Engine::new(all).map_err(io::Error::other)?;
        Ok(Self {
            engine,
            keeps,
            most,
            known: None,
        })
    }

    /// With values that are looked for wherever they are, also in what is no text.
    #[must_use]
    pub fn knowing(mut self, known: Known) -> Self {
        self.known = Some(known);
        self
    }

    /// A worker, for one thread.
    pub fn worker(&self) -> Worker<'_> {
        Worker {
            scanner: self,
            buffer: Vec::new(),
        }
    }
}

/// A source that is being read.
struct Source<'a> {
    place: &'a Place,
    kind: Kind,
    is_test: bool,
    /// Lines before the buffer, and code points of its first line before it.
    lines: u64,
    columns: u64,
}

impl Worker<'_> {
    /// Looks through all of a source.
    ///
    /// # Errors
    ///
    /// That of the reader; what was found before stays.
    pub fn read(
        &mut self,
        place: &Place,
        from: &mut dyn Read,
        out: &mut Vec<Finding>,
    ) -> io::Result<Seen> {
        let mut from = from.take(self.scanner.most.saturating_add(1));
        let mut source = Source {
            place,
            kind: Kind::of(place.own()),
            is_test: is_test(place.own()),
            lines: 0,
            columns: 0,
        };
        self.buffer.clear();
        let mut seen = Seen::default();
        let start = out.len();
        let mut is_first = true;
        let mut handled = 0;
        loop {
            let read = self.fill(&mut from)?;
            seen.bytes += read as u64;
            let is_last = self.buffer.len() < BLOCK;
            if is_first && !self.is_text(&mut from, &mut seen)? {
                seen.is_binary = true;
                self.whole(&source, out);
                if self.scanner.known.is_none() {
                    break;
                }
            }
            let to = if is_last {
                self.buffer.len()
            } else {
                self.buffer.len() - AHEAD
            };
            if seen.is_binary {
                self.known(&source, handled..to, out);
            } else {
                self.block(&source, is_first, handled..to, out);
            }
            if is_last || out.len() - start >= MOST {
                break;
            }
            handled = self.advance(to, &mut source);
            is_first = false;
        }
        self.of_path(&source, out);
        once(out, start);
        seen.is_cut = seen.bytes > self.scanner.most;
        hide_in_paths(&mut out[start..], self.scanner.keeps);
        Ok(seen)
    }

    /// Reads until the buffer is full, or there is no more.
    fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        let had = self.buffer.len();
        let room = (BLOCK - had) as u64;
        from.take(room).read_to_end(&mut self.buffer)
    }

    /// Whether the first block is text; UTF-16 is decoded, as Windows' tools write settings in it.
    fn is_text(&mut self, from: &mut impl Read, seen: &mut Seen) -> io::Result<bool> {
        let wide = match self.buffer.get(..2) {
            Some([0xff, 0xfe]) => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
            Some([0xfe, 0xff]) => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
            _ => None,
        };
        if let Some(decode) = wide {
            seen.bytes += from.take(WIDE).read_to_end(&mut self.buffer)? as u64;
            let units = self.buffer[2..]
                .chunks_exact(2)
                .map(|pair| decode([pair[0], pair[1]]));
            let text: String = char::decode_utf16(units)
                .map(|unit| unit.unwrap_or('\u{fffd}'))
                .collect();
            self.buffer = text.into_bytes();
            // It is looked at in one go: what is longer than a block is cut there.
            self.buffer.truncate(BLOCK - 1);
            return Ok(true);
        }
        let head = &self.buffer[..self.buffer.len().min(HEAD)];
        Ok(memchr::memchr(0, head).is_none())
    }

    /// Drops what is done; gives how much of the rest is.
    fn advance(&mut self, done: usize, source: &mut Source<'_>) -> usize {
        let keep = done.saturating_sub(BACK);
        let dropped = &self.buffer[..keep];
        let lines = memchr::memchr_iter(b'\n', dropped).count() as u64;
        let last = memchr::memrchr(b'\n', dropped).map_or(0, |at| at + 1);
        let columns = code_points(&dropped[last..]);
        source.columns = if lines > 0 {
            columns
        } else {
            source.columns + columns
        };
        source.lines += lines;
        self.buffer.drain(..keep);
        done - keep
    }

    /// What readers of whole files say of the first block.
    fn of_readers(&self, source: &Source<'_>) -> Vec<Match> {
        let path = &source.place.path;
        let found = readers::read(path, &self.buffer).into_iter();
        let values = found.map(|(rule, span)| Match { rule, span });
        let settings = misconfig::read(path, &self.buffer).into_iter();
        let settings = settings.map(|(number, span)| Match {
            rule: rules::of_setting(number),
            span,
        });
        values.chain(settings).collect()
    }

    fn whole(&self, source: &Source<'_>, out: &mut Vec<Finding>) {
        let found = self.of_readers(source);
        self.report(source, &found, out);
    }

    fn block(
        &self,
        source: &Source<'_>,
        is_first: bool,
        range: std::ops::Range<usize>,
        out: &mut Vec<Finding>,
    ) {
        let part = Part {
            text: &self.buffer,
            from: range.start,
            to: range.end,
            kind: source.kind,
            is_test: source.is_test,
            path: source.place.own(),
        };
        let mut found = self.scanner.engine.find(&part);
        let sightings = self.sightings(range);
        if is_first {
            let more = self.of_readers(source);
            found.extend(more);
        }
        found.extend(sightings.iter().map(|one| Match {
            rule: rules::KNOWN,
            span: one.span,
        }));
        let found = self.scanner.engine.settle(found);
        let first = out.len();
        self.report(source, &found, out);
        self.name_known(&found, &sightings, &mut out[first..]);
    }

    fn sightings(&self, range: std::ops::Range<usize>) -> Vec<Sighting> {
        let known = self.scanner.known.as_ref();
        known.map_or_else(Vec::new, |known| known.find(&self.buffer, range))
    }

    /// Known values alone, in what is no text.
    fn known(&self, source: &Source<'_>, range: std::ops::Range<usize>, out: &mut Vec<Finding>) {
        let sightings = self.sightings(range);
        let of = |one: &Sighting| Match {
            rule: rules::KNOWN,
            span: one.span,
        };
        let found: Vec<Match> = sightings.iter().map(of).collect();
        let first = out.len();
        self.report(source, &found, out);
        for finding in &mut out[first..] {
            // There are no lines.
            (finding.line, finding.column, finding.name) = (0, 0, None);
        }
        self.name_known(&found, &sightings, &mut out[first..]);
    }

    /// Says which secrets the known values are of.
    fn name_known(&self, found: &[Match], sightings: &[Sighting], out: &mut [Finding]) {
        let Some(known) = &self.scanner.known else {
            return;
        };
        for (one, finding) in found.iter().zip(out) {
            let of_it = sightings
                .iter()
                .filter(|other| one.rule == rules::KNOWN && other.span == one.span);
            let name = |one: &Sighting| match one.encoding {
                "" => known.name(one.value).to_owned(),
                encoding => format!("{} ({encoding})", known.name(one.value)),
            };
            finding.known = of_it.map(name).collect();
        }
    }

    /// Files that are findings by their names.
    fn of_path(&self, source: &Source<'_>, out: &mut Vec<Finding>) {
        for rule in self.scanner.engine.of_path(source.place.own()) {
            out.push(Finding {
                rule: rule.id.to_string(),
                title: rule.title.to_string(),
                severity: rule.severity,
                place: source.place.clone(),
                line: 0,
                column: 0,
                name: None,
                length: 0,
                known: Vec::new(),
                fingerprint: fingerprint(&rule.id, source.place, None, b""),
                value: None,
            });
        }
    }

    fn report(&self, source: &Source<'_>, found: &[Match], out: &mut Vec<Finding>) {
        let text = &self.buffer;
        let (mut at, mut lines, mut columns) = (0, source.lines, source.columns);
        for one in found {
            let start = one.span.start;
            let between = &text[at..start];
            let passed = memchr::memchr_iter(b'\n', between).count() as u64;
            let last = memchr::memrchr(b'\n', between).map_or(0, |at| at + 1);
            columns = if passed > 0 { 0 } else { columns } + code_points(&between[last..]);
            lines += passed;
            at = start;
            let is_taken = |from: usize, to: usize| {
                found
                    .iter()
                    .any(|other| other.span.start < to && from < other.span.end)
            };
            let name = name_before(text, start, is_taken);
            out.push(self.finding(source, one, (lines + 1, columns + 1), name));
        }
    }
}

impl Worker<'_> {
    fn finding(
        &self,
        source: &Source<'_>,
        one: &Match,
        (line, column): (u64, u64),
        name: Option<String>,
    ) -> Finding {
        let rule = self.scanner.engine.rule(one.rule);
        let value = &self.buffer[one.span.start..one.span.end];
        let is_setting = rule.rank == rules::SETTING;
        // Of a setting the text is what is wrong; it is no value.
        let name = if is_setting {
            Some(String::from_utf8_lossy(value).into_owned())
        } else {
            name
        };
        let made = source.is_test && is_often_made(&rule.id);
        Finding {
            rule: rule.id.to_string(),
            title: rule.title.to_string(),
            severity: if made { Severity::Low } else { rule.severity },
            place: source.place.clone(),
            line,
            column,
            length: if is_setting { 0 } else { value.len() },
            known: Vec::new(),
            fingerprint: fingerprint(&rule.id, source.place, name.as_deref(), value),
            name,
            value: (!is_setting).then(|| SecretBytes::new(value.to_vec())),
        }
    }
}

/// What tests make for themselves, so that in their files it protects nothing.
fn is_often_made(rule: &str) -> bool {
    let made = [
        "private-key",
        "putty-key",
        "age-identity",
        "jwt",
        "assigned-secret",
        "url-password",
        "connection-string",
    ];
    made.contains(&rule)
}

/// A match around the end of a block is in both.
fn once(out: &mut Vec<Finding>, start: usize) {
    let mut seen = std::collections::HashSet::new();
    let mut fresh = out.split_off(start);
    fresh.retain(|one| one.line == 0 || seen.insert((one.line, one.column, one.rule.clone())));
    out.append(&mut fresh);
}

/// How many code points of UTF-8 begin in these bytes.
fn code_points(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64
}

/// A path that has a value in it is shown without; then the values go, but where they are asked for. All
/// findings are of one source.
fn hide_in_paths(found: &mut [Finding], keeps: bool) {
    let Some(first) = found.first() else {
        return;
    };
    let mut path = first.place.path.clone();
    for value in found.iter().filter_map(|one| one.value.as_ref()) {
        if let Ok(value) = str::from_utf8(value.expose())
            && value.len() >= 6
        {
            path = path.replace(value, "[value]");
        }
    }
    let is_other = path != first.place.path;
    for one in found {
        if is_other {
            one.place.path.clone_from(&path);
        }
        if !keeps {
            one.value = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "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";

    fn scan(path: &str, bytes: &[u8]) -> (Vec<Finding>, Seen) {
        let scanner = Scanner::new(Vec::new(), 1 << 30, false).unwrap();
        let mut out = Vec::new();
        let mut worker = scanner.worker();
        let seen = worker
            .read(&Place::file(path), &mut &*bytes, &mut out)
            .unwrap();
        (out, seen)
    }

    #[test]
    fn a_finding_has_its_place_and_not_its_value() {
        let text = format!("a = 1\n  TOKEN = \"é{TOKEN}\"\n");
        let (found, seen) = scan("a.env", text.as_bytes());
        assert_eq!(seen.bytes, text.len() as u64);
        assert_eq!((found.len(), found[0].line, found[0].column), (1, 2, 13));
        assert!(found[0].value.is_none());
        let shown = serde_json::to_string(&found).unwrap();
        assert!(
            !shown.contains(TOKEN) && shown.contains("github-token"),
            "{shown}"
        );
    }

    #[test]
    fn a_token_across_blocks_is_found_once_and_at_its_line() {
        for shift in [0, 1, 20, 39, 40, 41, 300] {
            let mut text = vec![b'\n'; BLOCK - AHEAD - shift];
            let lines = text.len() as u64;
            text.extend_from_slice(TOKEN.as_bytes());
            text.extend(std::iter::repeat_n(b'\n', 3 * BLOCK));
            text.extend_from_slice(TOKEN.as_bytes());
            let (found, _) = scan("a.env", &text);
            assert_eq!(found.len(), 2, "{shift}");
            assert_eq!((found[0].line, found[0].column), (lines + 1, 1), "{shift}");
            assert_eq!(found[1].line, lines + 1 + 3 * BLOCK as u64, "{shift}");
        }
    }

    #[test]
    fn binary_files_are_passed_over_and_utf_16_is_read() {
        let mut binary = b"\x7fELF\0".to_vec();
        binary.extend_from_slice(TOKEN.as_bytes());
        let (found, seen) = scan("a.bin", &binary);
        assert!(found.is_empty() && seen.is_binary);
        let wide: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(
                format!("x={TOKEN}\r\n")
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes),
            )
            .collect();
        assert_eq!(scan("a.reg", &wide).0.len(), 1);
    }

    #[test]
    fn a_path_that_has_the_value_is_shown_without() {
        let (found, _) = scan(&format!("dump/{TOKEN}.env"), TOKEN.as_bytes());
        assert_eq!(found[0].place.path, "dump/[value].env");
    }

    #[test]
    fn sources_of_any_bytes_are_read() {
        let mut state = 1_u64;
        for length in [0_usize, 1, 2, 3, 100, 70_000] {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 33) as u8 | 1
                })
                .collect();
            scan("etc/shadow", &bytes);
            scan(".netrc", &bytes);
        }
    }
}
