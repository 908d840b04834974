//! The patterns of ignore files: gitignore(5).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Matching a name against a pattern takes at most so many steps: `*a*a*a*a…` would take forever.
const STEPS: u32 = 1 << 16;

/// What the last matching line says of a path that is relative to the file's directory.
pub fn verdict(patterns: &[u8], path: &Path, is_directory: bool) -> Option<bool> {
    let lines = patterns.split(|byte| *byte == b'\n');
    let mut lines = lines.rev().filter_map(Pattern::parse);
    let matching = lines.find(|pattern| pattern.matches(path, is_directory))?;
    Some(!matching.is_negated)
}

struct Pattern<'a> {
    glob: &'a [u8],
    is_negated: bool,
    for_directories: bool,
    /// It has a slash, and is for paths; else it is for names at any depth.
    is_path: bool,
}

impl<'a> Pattern<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = without_trailing_spaces(line);
        if line.first() == Some(&b'#') {
            return None;
        }
        let (line, is_negated) = match line.strip_prefix(b"!") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let (line, for_directories) = match line.strip_suffix(b"/") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        let is_path = line.contains(&b'/');
        let glob = line.strip_prefix(b"/").unwrap_or(line);
        (!glob.is_empty()).then_some(Self {
            glob,
            is_negated,
            for_directories,
            is_path,
        })
    }

    fn matches(&self, path: &Path, is_directory: bool) -> bool {
        if self.for_directories && !is_directory {
            return false;
        }
        let text = if self.is_path {
            path.as_os_str()
        } else {
            path.file_name().unwrap_or_default()
        };
        let mut steps = STEPS;
        glob(self.glob, text.as_bytes(), true, &mut steps)
    }
}

/// Trailing spaces do not count, but for one after a backslash.
fn without_trailing_spaces(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_suffix(b" ") {
        let backslashes = rest.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 1 {
            break;
        }
        line = rest;
    }
    line
}

/// Whether a text matches a pattern, as fnmatch(3) with `FNM_PATHNAME` has it, and with `**`.
/// `at_start`: a component of the path starts here.
fn glob(pattern: &[u8], text: &[u8], at_start: bool, steps: &mut u32) -> bool {
    let Some(left) = steps.checked_sub(1) else {
        return false;
    };
    *steps = left;
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] if at_start => {
            glob(rest, text, true, steps)
                || memchr::memchr_iter(b'/', text)
                    .any(|slash| glob(rest, &text[slash + 1..], true, steps))
        }
        [b'*', b'*'] if at_start => true,
        [b'*', rest @ ..] => {
            let reach = memchr::memchr(b'/', text).unwrap_or(text.len());
            (0..=reach).any(|length| glob(rest, &text[length..], false, steps))
        }
        [b'?', rest @ ..] => {
            matches!(text, [byte, more @ ..] if *byte != b'/' && glob(rest, more, false, steps))
        }
        [b'[', rest @ ..] => match (class(rest, text.first().copied()), text) {
            (Some((true, rest)), [byte, more @ ..]) if *byte != b'/' => {
                glob(rest, more, false, steps)
            }
            _ => false,
        },
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            matches!(text, [byte, more @ ..]
                if byte == literal && glob(rest, more, *literal == b'/', steps))
        }
    }
}

/// Whether a byte is one of `[…]`, whose opening bracket is gone, and what follows it; `None` if it
/// does not end.
fn class(mut pattern: &[u8], byte: Option<u8>) -> Option<(bool, &[u8])> {
    let byte = byte.unwrap_or(b'/');
    let is_negated = matches!(pattern.first(), Some(b'!' | b'^'));
    pattern = &pattern[usize::from(is_negated)..];
    let (mut has, mut is_first) = (false, true);
    loop {
        pattern = match pattern {
            [b']', rest @ ..] if !is_first => return Some((has != is_negated, rest)),
            [b'[', b':', rest @ ..] => {
                let end = memchr::memmem::find(rest, b":]")?;
                has |= is_of_class(&rest[..end], byte);
                &rest[end + 2..]
            }
            _ => {
                let (low, rest) = literal(pattern)?;
                match rest {
                    [b'-', after @ ..] if after.first() != Some(&b']') => {
                        let (high, rest) = literal(after)?;
                        has |= (low..=high).contains(&byte);
                        rest
                    }
                    _ => {
                        has |= low == byte;
                        rest
                    }
                }
            }
        };
        is_first = false;
    }
}

fn literal(pattern: &[u8]) -> Option<(u8, &[u8])> {
    match pattern {
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

fn is_of_class(name: &[u8], byte: u8) -> bool {
    match name {
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"alpha" => byte.is_ascii_alphabetic(),
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"cntrl" => byte.is_ascii_control(),
        b"digit" => byte.is_ascii_digit(),
        b"graph" => byte.is_ascii_graphic(),
        b"lower" => byte.is_ascii_lowercase(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"punct" => byte.is_ascii_punctuation(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"upper" => byte.is_ascii_uppercase(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}
