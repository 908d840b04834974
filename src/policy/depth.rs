//! How deeply a policy is nested, before Cedar parses it: Cedar's parser, validator and evaluator recurse,
//! and a tree that is too deep for the stack would end hushpipe, and the program with it.
//!
//! It is looked at by the words of the grammar alone
//! (<https://docs.cedarpolicy.com/policies/syntax-grammar.html>): brackets, and chains of operators, which
//! are trees as deep as they are long. Text that is no policy gets some depth as well, and Cedar refuses it.

use super::statements::{end_of_comment, end_of_string};

/// Deeper policies are refused. A level takes up to 5 KiB of stack, so that all of it takes less than the
/// 1 MiB that a unit may be limited to.
pub const DEEPEST: usize = 160;

/// Brackets take so many levels of the stack.
const BRACKET: usize = 4;

/// From the loosest: `if`, `||`, `&&`, comparisons, `+` and `-`, `*`, and `.` or brackets after an operand.
const CLASSES: usize = 7;

/// What is between two brackets, from the last comma on.
#[derive(Default)]
struct Level {
    /// Operators of each class in the chain that is being read.
    count: [usize; CLASSES],
    /// The deepest operand of each chain so far.
    operand: [usize; CLASSES],
    /// The deepest brackets of the operand that is being read.
    inner: usize,
    /// Of what came before a comma.
    before: usize,
}

impl Level {
    /// Ends all chains that bind closer than `class`; they are an operand of that one's.
    fn fold(&mut self, class: usize) {
        let mut depth = std::mem::take(&mut self.inner);
        for closer in (class + 1..CLASSES).rev() {
            let operand = std::mem::take(&mut self.operand[closer]);
            depth = depth.max(operand) + std::mem::take(&mut self.count[closer]);
        }
        self.operand[class] = self.operand[class].max(depth);
    }

    fn operator(&mut self, class: usize) {
        self.fold(class);
        self.count[class] += 1;
    }

    fn comma(&mut self) {
        self.fold(0);
        let depth = std::mem::take(&mut self.operand[0]) + std::mem::take(&mut self.count[0]);
        self.before = self.before.max(depth);
    }

    fn end(mut self) -> usize {
        self.comma();
        self.before
    }
}

/// The depth of a policy's text.
pub fn depth(text: &str) -> usize {
    let mut levels = vec![Level::default()];
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let length = match first {
            b'"' => end_of_string(rest, 0),
            b'/' if after.first() == Some(&b'/') => end_of_comment(rest, 0),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => word(rest),
            b'|' | b'&' | b'=' | b'!' | b'<' | b'>' | b':' => {
                1 + usize::from(is_second(*first, after))
            }
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        take(token, &mut levels);
    }
    let closed = |below: usize, level: Level| {
        let level = Level {
            inner: level.inner.max(below),
            ..level
        };
        level.end() + BRACKET
    };
    levels.into_iter().rev().fold(0, closed) - BRACKET
}

fn take(token: &[u8], levels: &mut Vec<Level>) {
    let is_outermost = levels.len() == 1;
    let level = levels.last_mut().expect("the outermost one stays");
    match token {
        b"(" | b"[" | b"{" => levels.push(Level::default()),
        b")" | b"]" | b"}" if !is_outermost => {
            let depth = std::mem::take(level).end() + BRACKET;
            levels.pop();
            let level = levels.last_mut().expect("the outermost one stays");
            level.inner = level.inner.max(depth);
            // As `x["a"]["b"]` has them, in a row.
            level.operator(CLASSES - 1);
        }
        b"," | b";" => level.comma(),
        b"if" => level.operator(0),
        b"then" | b"else" => level.fold(0),
        b"||" => level.operator(1),
        b"&&" => level.operator(2),
        b"==" | b"!=" | b"<" | b"<=" | b">" | b">=" | b"in" | b"has" | b"like" | b"is" => {
            level.operator(3);
        }
        b"+" | b"-" => level.operator(4),
        b"*" => level.operator(5),
        b"." | b"!" => level.operator(6),
        _ => {}
    }
}

/// Whether two bytes are one operator.
fn is_second(first: u8, after: &[u8]) -> bool {
    after.first().is_some_and(|second| match first {
        b'|' | b'&' | b':' => *second == first,
        _ => *second == b'=',
    })
}

fn word(rest: &[u8]) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    rest.iter()
        .position(|byte| !is_word(byte))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: &str) -> usize {
        depth(condition)
    }

    #[test]
    fn chains_are_as_deep_as_they_are_long_and_lists_are_flat() {
        assert_eq!(of("a"), 0);
        assert_eq!(of("a || b || c"), 2);
        assert_eq!(of("a == 1 || b == 2 || c == 3"), 3);
        assert_eq!(of("a == 1 && b == 2 || c == 3 && d == 4 && e.f == 5"), 5);
        assert_eq!(of("a.b.c == \"(((\" // (((\n"), 3);
        assert_eq!(of("[1, 2, 3, 4, 5]"), BRACKET + 1);
        assert_eq!(of("((a))"), 2 * BRACKET + 2);
        assert_eq!(of("(a || b) && (c)"), BRACKET + 3);
        assert_eq!(of("if a then b else if c then d else e"), 2);
        assert_eq!(of("a + b - c * d * e"), 4);
        assert_eq!(of("x[\"a\"][\"b\"][\"c\"]"), BRACKET + 3);
        assert_eq!(of("Secret::\"a\" in A::B::\"c\""), 1);
        assert_eq!(of(")))"), 0);
    }

    #[test]
    fn what_does_not_end_is_as_deep() {
        assert_eq!(of(&"(".repeat(1_000)), 1_000 * BRACKET);
        assert!(of(&"if a then b else ".repeat(1_000)) >= 1_000);
        assert!(of(&format!("{}a", "!(".repeat(1_000))) >= 4_000);
        assert!(of(&format!("a{}", ".b".repeat(1_000))) >= 1_000);
        assert!(of(&format!("a{}", "[\"b\"]".repeat(1_000))) >= 1_000);
        assert_eq!(of("\"((("), 0);
        assert_eq!(of(&"é".repeat(100)), 0);
    }
}
