//! Output as it comes: in pieces, with colours amid it.

use zeroize::Zeroizing;

use crate::patterns::{Hit, Patterns, SHORTEST};

/// An escape sequence that is longer is text.
const LONGEST_ESCAPE: usize = 256;

/// One stream of output. Bytes that may be the start of a value wait for what comes next.
#[derive(Default)]
pub struct Stream {
    /// What waits, after a little of what is written already, in which a value may have begun.
    kept: Zeroizing<Vec<u8>>,
    /// How much of it is written, or left out.
    written: usize,
}

impl Stream {
    /// Takes what was read; `out` gets what may be written, and `hit` writes what stands in place of a value of
    /// this owner.
    pub fn feed(
        &mut self,
        patterns: &Patterns,
        bytes: &[u8],
        out: &mut Vec<u8>,
        mut hit: impl FnMut(usize, &mut Vec<u8>),
    ) {
        self.kept.extend_from_slice(bytes);
        let (hits, undecided) = search(patterns, &self.kept);
        // A value of several lines is known by each of its lines as well.
        let until = match self.kept.last() {
            Some(b'\n') if undecided + SHORTEST > self.kept.len() => self.kept.len(),
            _ => undecided,
        };
        self.write(&hits, until, out, &mut hit);
        self.forget(undecided);
    }

    /// How many bytes wait: none, fewer than [`SHORTEST`], or the start of what may be a value.
    pub fn waiting(&self) -> usize {
        self.kept.len() - self.written
    }

    /// Nothing came for a while, or will come: writes what waits. A value that goes on after it is left
    /// out from there.
    pub fn flush(
        &mut self,
        patterns: &Patterns,
        out: &mut Vec<u8>,
        mut hit: impl FnMut(usize, &mut Vec<u8>),
    ) {
        let (hits, _) = search(patterns, &self.kept);
        self.write(&hits, self.kept.len(), out, &mut hit);
    }

    fn write(
        &mut self,
        hits: &[Hit],
        until: usize,
        out: &mut Vec<u8>,
        hit: &mut impl FnMut(usize, &mut Vec<u8>),
    ) {
        for one in hits.iter().take_while(|one| one.start < until) {
            if one.end <= self.written {
                continue;
            }
            self.plain(one.start, out);
            hit(one.owner, out);
            // All but the sequences in what is left out, and of that what is not written yet.
            escapes(&self.kept[self.written..one.end], out);
            self.written = one.end;
        }
        self.plain(until, out);
    }

    fn plain(&mut self, until: usize, out: &mut Vec<u8>) {
        if let Some(text) = self.kept.get(self.written..until) {
            out.extend_from_slice(text);
            self.written = until;
        }
    }

    /// What lies before a place is not needed any more.
    fn forget(&mut self, before: usize) {
        let before = before.min(self.written);
        self.kept.copy_within(before.., 0);
        let rest = self.kept.len() - before;
        // By memset, as bytes of ordinary output are many; the barrier keeps it.
        self.kept[rest..].fill(0);
        std::hint::black_box(&mut self.kept);
        self.kept.truncate(rest);
        self.written -= before;
    }
}

/// As it is, and without escape sequences.
fn search(patterns: &Patterns, text: &[u8]) -> (Vec<Hit>, usize) {
    let mut hits = Vec::new();
    let mut undecided = patterns.search(text, 0..text.len(), usize::MAX, &mut hits);
    if memchr::memchr(ESCAPE, text).is_none() {
        return (hits, undecided);
    }
    let (plain, places) = without_escapes(text);
    let mut found = Vec::new();
    let at = patterns.search(&plain, 0..plain.len(), usize::MAX, &mut found);
    undecided = undecided.min(places[at]);
    hits.extend(found.iter().map(|hit| Hit {
        start: places[hit.start],
        end: places[hit.end - 1] + 1,
        owner: hit.owner,
    }));
    hits.sort_unstable_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
    hits.dedup();
    (hits, undecided)
}

const ESCAPE: u8 = 0x1b;

/// The text without escape sequences, and where each of its bytes is; then where the text ends, or a
/// sequence begins that does not.
fn without_escapes(text: &[u8]) -> (Zeroizing<Vec<u8>>, Vec<usize>) {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut places = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    while at < text.len() {
        match escape(&text[at..]) {
            Some(length) if at + length > text.len() => break,
            Some(length) => at += length,
            None => {
                plain.push(text[at]);
                places.push(at);
                at += 1;
            }
        }
    }
    places.push(at);
    (plain, places)
}

/// How long the escape sequence is that begins here (ECMA-48, 5.3 to 5.6); more than there is: it is not
/// at its end.
fn escape(text: &[u8]) -> Option<usize> {
    if *text.first()? != ESCAPE {
        return None;
    }
    let open = || (text.len() < LONGEST_ESCAPE).then_some(text.len() + 1);
    let Some(kind) = text.get(1) else {
        return open();
    };
    let rest = &text[2..text.len().min(LONGEST_ESCAPE)];
    match kind {
        b'[' => match rest.iter().position(|byte| !matches!(byte, 0x20..=0x3f)) {
            Some(end) => matches!(rest[end], 0x40..=0x7e).then_some(end + 3),
            None => open(),
        },
        b']' | b'P' | b'X' | b'^' | b'_' => {
            let end = rest.iter().position(|byte| [0x07, ESCAPE].contains(byte));
            match end {
                Some(end) if rest[end] == 0x07 => Some(end + 3),
                Some(end) if end + 1 == rest.len() => open(),
                Some(end) => (rest[end + 1] == b'\\').then_some(end + 4),
                None => open(),
            }
        }
        0x20..=0x2f => match rest.iter().position(|byte| !matches!(byte, 0x20..=0x2f)) {
            Some(end) => Some(end + 3),
            None => open(),
        },
        0x30..=0x7e => Some(2),
        _ => None,
    }
}

/// The escape sequences in a text: colours that are set amid a value stay set.
fn escapes(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(next) = memchr::memchr(ESCAPE, &text[at..]) {
        at += next;
        match escape(&text[at..]) {
            Some(length) if at + length <= text.len() => {
                out.extend_from_slice(&text[at..at + length]);
                at += length;
            }
            _ => at += 1,
        }
    }
}
