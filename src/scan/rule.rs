//! Rules: what a secret of one kind looks like.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::kind::Kind;
use crate::model::words::words;

words! {
    /// How much harm the finding can do.
    Severity {
        /// Somebody who has it can use it.
        High = "high",
        /// It is likely to be a secret, or protects little.
        Medium = "medium",
        /// For tests, encrypted, or a weakness that needs another one.
        Low = "low",
    }
}

/// A place in a text: a value, and the name that it is assigned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where the value starts.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// Where a keyword was found.
pub struct Look<'a> {
    /// The text around it.
    pub text: &'a [u8],
    /// Where the keyword starts.
    pub at: usize,
    /// Where it ends.
    pub after: usize,
    /// What kind of file it is.
    pub kind: Kind,
    /// Whether the path speaks of tests or examples.
    pub is_test: bool,
}

/// Whether bytes that look like a secret are one.
pub type Check = fn(&[u8]) -> bool;

/// How a rule finds its values.
pub enum Matcher {
    /// By a pattern, from the keyword or from so many bytes before it.
    Pattern(Pattern),
    /// By code: the value at a keyword.
    Code(fn(&Look<'_>) -> Option<Span>),
    /// By a rule of somebody else's file, in ranges around its keywords.
    Foreign(Box<dyn Finder>),
}

/// A rule of somebody else's file.
pub trait Finder: Send + Sync {
    /// Whether a file of this path is looked at.
    fn fits(&self, path: &str) -> bool;
    /// Whether a file of this path is the finding, whatever is in it.
    fn is_of_path(&self, path: &str) -> bool;
    /// How long a match can be.
    fn reach(&self) -> usize;
    /// It is a part of others, and no finding by itself.
    fn is_part(&self) -> bool;
    /// Rules that must match as well.
    fn required(&self) -> &[Required];
    /// All values in a range of a text.
    fn find(&self, id: &str, path: &str, text: &[u8], range: std::ops::Range<usize>) -> Vec<Span>;
}

/// A rule that must match as well.
#[derive(Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Required {
    /// Its id.
    pub id: String,
    /// Within so many lines.
    pub within_lines: Option<u64>,
}

/// A pattern of the regex crate, without Unicode, compiled when it is first wanted.
pub struct Pattern {
    text: Cow<'static, str>,
    /// How many bytes before its keyword a match may start.
    pub back: usize,
    /// How many bytes after the start of its keyword a match may end.
    pub ahead: usize,
    compiled: OnceLock<Option<Regex>>,
}

/// What a secret of one kind looks like.
pub struct Rule {
    /// Its name in reports and baselines.
    pub id: Cow<'static, str>,
    /// What was found, for people.
    pub title: Cow<'static, str>,
    /// How much harm it can do.
    pub severity: Severity,
    /// One of these is in every text that it matches, in any case of letters.
    pub keywords: Vec<Cow<'static, str>>,
    /// How it finds its values.
    pub matcher: Matcher,
    /// Whether a value is one.
    pub check: Check,
    /// Of two rules that find the same bytes the higher one counts.
    pub rank: u8,
}

/// The size of a compiled pattern that is still accepted.
const SIZE: usize = 8 << 20;

/// As Go's regular expressions and PCRE are read without their Unicode mode: bytes, `\w` as in ASCII.
fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// Compiles a pattern.
///
/// # Errors
///
/// The error names the place and the cause; the pattern is of whoever wrote the rule.
pub fn compile(text: &str) -> Result<Regex, String> {
    let config = Regex::config().utf8_empty(false).nfa_size_limit(Some(SIZE));
    let built = Regex::builder()
        .syntax(syntax())
        .configure(config)
        .build(text);
    built.map_err(|error| match error.syntax_error() {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    })
}

impl Pattern {
    /// One that starts where its keyword does.
    pub const fn new(text: &'static str) -> Self {
        Self::around(text, 0, 4096)
    }

    /// One that starts up to so many bytes before its keyword.
    pub const fn around(text: &'static str, back: usize, ahead: usize) -> Self {
        Self {
            text: Cow::Borrowed(text),
            back,
            ahead,
            compiled: OnceLock::new(),
        }
    }

    /// The compiled pattern; `None` for one that does not compile, which a test finds.
    pub fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| compile(&self.text).ok())
            .as_ref()
    }

    /// The first value near a keyword: the first group, else the whole match.
    pub fn find(&self, look: &Look<'_>) -> Option<Span> {
        let regex = self.regex()?;
        let start = look.at.saturating_sub(self.back);
        let end = look.text.len().min(look.at + self.ahead);
        let anchored = if self.back == 0 {
            Anchored::Yes
        } else {
            Anchored::No
        };
        let input = Input::new(look.text).range(start..end).anchored(anchored);
        value_of(regex, &input)
    }
}

/// The first group of a match, else the whole match.
pub fn value_of(regex: &Regex, input: &Input<'_>) -> Option<Span> {
    let mut captures = regex.create_captures();
    regex.search_captures(input, &mut captures);
    let groups = captures.group_len();
    let mut named = (1..groups).filter_map(|group| captures.get_group(group));
    let span = named.find(|span| !span.is_empty());
    let span = span.or_else(|| captures.get_group(0))?;
    Some(Span {
        start: span.start,
        end: span.end,
    })
}
