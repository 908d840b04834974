//! Generated output: every form that another writes is found, however it is split and coloured.

use super::*;
use crate::model::rounds;
use crate::patterns::Patterns;

/// xorshift64: the same cases everywhere.
struct Dice(u64);

impl Dice {
    const fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    const fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

fn patterns(values: &[Vec<u8>]) -> Patterns {
    let mut patterns = Patterns::of_test();
    for (owner, value) in values.iter().enumerate() {
        for form in forms(value) {
            patterns.add(&form.text, owner);
        }
    }
    patterns
}

fn name(owner: usize, out: &mut Vec<u8>) {
    out.extend(format!("[{owner}]").bytes());
}

/// What is written of these pieces.
fn written(patterns: &Patterns, pieces: &[&[u8]]) -> String {
    let (mut stream, mut out) = (Stream::default(), Vec::new());
    for piece in pieces {
        stream.feed(patterns, piece, &mut out, name);
    }
    stream.flush(patterns, &mut out, name);
    assert_eq!(stream.waiting(), 0);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn values_are_replaced_and_the_rest_is_as_it_was() {
    let one = patterns(&[
        b"correct horse battery".to_vec(),
        b"horse battery staple".to_vec(),
    ]);
    for (pieces, out) in [
        (&["plain text\n"][..], "plain text\n"),
        (&["<correct horse battery>"], "<[0]>"),
        (&["<correct ho", "", "rse batter", "y>"], "<[0]>"),
        (&["correct horse batter"], "correct horse batter"),
        // The end of one is the start of the other.
        (&["<correct horse battery staple>"], "<[0][1]>"),
        (&["correct horse batterycorrect horse battery"], "[0][0]"),
        (
            &["<corr\u{1b}[1mect horse\u{1b}[0m battery>"],
            "<[0]\u{1b}[1m\u{1b}[0m>",
        ),
        (
            &["<corr\u{1b}", "[1", "mect horse battery>"],
            "<[0]\u{1b}[1m>",
        ),
        (
            &["\u{1b}]0;correct horse battery\u{7}"],
            "\u{1b}]0;[0]\u{7}",
        ),
        (
            &["correct%20horse+battery Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"],
            "correct%20horse+battery [0]",
        ),
        (
            &["correct%20horse%20battery correct+horse+battery"],
            "[0] [0]",
        ),
    ] {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        assert_eq!(written(&one, &pieces), out);
    }
}

#[test]
fn what_is_short_and_what_is_forgotten_stays() {
    assert!(forms(b"1234567").is_empty());
    let mut patterns = patterns(&[b"the old value".to_vec(), b"the new value".to_vec()]);
    patterns.retain(|owner| owner == 1);
    assert_eq!(
        written(&patterns, &[b"the old value, the new value"]),
        "the old value, [1]"
    );
    // One that is there gets its new owner.
    patterns.add(b"the new value", 2);
    assert_eq!(written(&patterns, &[b"the new value"]), "[2]");
    patterns.retain(|_| false);
    assert!(patterns.is_empty());
}

#[test]
fn a_value_that_goes_on_after_a_pause_is_left_out_from_there() {
    let patterns = patterns(&[b"0123456789abcdef".to_vec()]);
    let (mut stream, mut out) = (Stream::default(), Vec::new());
    stream.feed(&patterns, b"say 01234", &mut out, name);
    assert_eq!((&out[..], stream.waiting()), (&b"sa"[..], 7));
    stream.flush(&patterns, &mut out, name);
    stream.feed(&patterns, b"56789abcdef.\n", &mut out, name);
    assert_eq!(out, b"say 01234[0].\n");
    // A line waits for nothing, unless a value has begun in it.
    stream.feed(&patterns, b"a line\n", &mut out, name);
    assert_eq!(stream.waiting(), 0);
    stream.feed(&patterns, b"0123456789\n", &mut out, name);
    assert_eq!(stream.waiting(), 11);
}

#[test]
fn generated_cases_are_all_caught() {
    const COLOURS: [&[u8]; 4] = [b"\x1b[31m", b"\x1b[0m", b"\x1b]0;title\x07", b"\x1b(B"];
    const ALPHABETS: [&[u8]; 3] = [
        b"abcdef0123456789",
        b"aAzZ09 /+=&%\"\\\n<>'~!#",
        "ä€𝄞 x".as_bytes(),
    ];
    let mut dice = Dice(88_172_645_463_325_252);
    for case in 0..rounds(500, 10_000) {
        let mut values: Vec<Vec<u8>> = (0..=dice.below(4))
            .map(|_| {
                let alphabet = dice.of(&ALPHABETS);
                (0..8 + dice.below(60))
                    .map(|_| alphabet[dice.below(alphabet.len())])
                    .collect()
            })
            .collect();
        if let [first, ..] = &values[..]
            && first.len() > 12
        {
            let overlapping = [&first[4..], b"overlapping"].concat();
            values.push(overlapping);
        }
        let patterns = patterns(&values);
        let (mut text, mut hidden) = (Vec::new(), Vec::new());
        for _ in 0..=dice.below(5) {
            text.extend((0..dice.below(40)).map(|_| b"abc def\n0123"[dice.below(12)]));
            let all = forms(&values[dice.below(values.len())]);
            let form = all[dice.below(all.len())].text.to_vec();
            let coloured = dice.below(3) == 0;
            for byte in &form {
                text.push(*byte);
                if coloured && dice.below(4) == 0 {
                    text.extend(dice.of(&COLOURS));
                }
            }
            hidden.push(form);
        }
        let mut pieces = Vec::new();
        let mut rest = &text[..];
        while !rest.is_empty() {
            let most = if dice.below(2) == 0 { 3 } else { 200 };
            let (piece, more) = rest.split_at(1 + dice.below(rest.len().min(most)));
            pieces.push(piece);
            rest = more;
        }
        let mut out = Vec::new();
        let mut stream = Stream::default();
        for piece in pieces {
            stream.feed(&patterns, piece, &mut out, name);
        }
        stream.flush(&patterns, &mut out, name);
        for colour in COLOURS {
            while let Some(at) = memchr::memmem::find(&out, colour) {
                out.drain(at..at + colour.len());
            }
        }
        for form in hidden {
            let found = memchr::memmem::find(&out, &form);
            assert!(
                found.is_none(),
                "case {case}: {:?}",
                String::from_utf8_lossy(&text)
            );
        }
    }
}

#[test]
fn what_does_not_end_is_text() {
    let one = patterns(&[b"0123456789".to_vec()]);
    let open = format!("\u{1b}]{}0123456789", "x".repeat(300));
    let out = written(&one, &[open.as_bytes(), b"\x1b[999"]);
    assert_eq!(out, format!("\u{1b}]{}[0]\u{1b}[999", "x".repeat(300)));
}
