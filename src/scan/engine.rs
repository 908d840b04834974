//! Looks through a text for all rules at once: one automaton finds keywords, and only where one is, its
//! rules are tried.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::kind::Kind;
use super::rule::{Look, Matcher, Required, Rule, Span};

/// How far before its keyword a match may start, at most.
pub const BACK: usize = 256;

/// How far behind the start of its keyword a match may end, at most.
pub const AHEAD: usize = 20 << 10;

/// No more findings of one text are kept: a file of a million keys is one thing to look at.
pub const MOST: usize = 10_000;

/// Rules, and the automaton of their keywords.
pub struct Engine {
    rules: Vec<Rule>,
    automaton: AhoCorasick,
    /// For each keyword, the rules that it is of.
    of_keyword: Vec<Vec<u16>>,
}

/// What a rule found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The number of the rule.
    pub rule: usize,
    /// The value.
    pub span: Span,
}

/// A text, or a part of one.
pub struct Part<'a> {
    /// Its bytes.
    pub text: &'a [u8],
    /// Keywords that start here and later are looked at.
    pub from: usize,
    /// And before here.
    pub to: usize,
    /// What kind of file it is.
    pub kind: Kind,
    /// Whether its path speaks of tests or examples.
    pub is_test: bool,
    /// Its path, for rules that go by it.
    pub path: &'a str,
}

/// Ranges around the keywords of a rule, in their order.
type Windows = std::collections::BTreeMap<usize, Vec<(usize, usize)>>;

impl Engine {
    /// For these rules. The error is that of an automaton that would be too large.
    pub fn new(rules: Vec<Rule>) -> Result<Self, aho_corasick::BuildError> {
        let mut keywords: Vec<&str> = Vec::new();
        let mut of_keyword: Vec<Vec<u16>> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            for keyword in &rule.keywords {
                let number = *known.entry(&**keyword).or_insert_with(|| {
                    keywords.push(keyword);
                    of_keyword.push(Vec::new());
                    keywords.len() - 1
                });
                of_keyword[number].push(index as u16);
            }
        }
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&keywords)?;
        Ok(Self {
            rules,
            automaton,
            of_keyword,
        })
    }

    /// A rule by its number.
    pub fn rule(&self, number: usize) -> &Rule {
        &self.rules[number]
    }

    /// All values of a part, in their order; of those that overlap, the one of the higher rank.
    pub fn find(&self, part: &Part<'_>) -> Vec<Match> {
        let mut found = Vec::new();
        let mut windows = self.everywhere(part);
        // Where the last search of each rule began: a rule with two keywords looks at a place once.
        let mut looked = vec![usize::MAX; self.rules.len()];
        for hit in self.automaton.find_overlapping_iter(part.text) {
            if hit.start() < part.from || hit.start() >= part.to {
                continue;
            }
            for number in &self.of_keyword[hit.pattern().as_usize()] {
                let number = usize::from(*number);
                if looked[number] == hit.start() {
                    continue;
                }
                looked[number] = hit.start();
                if let Matcher::Foreign(finder) = &self.rules[number].matcher {
                    let ranges = windows.entry(number).or_default();
                    widen(
                        ranges,
                        hit.start(),
                        hit.end(),
                        finder.reach(),
                        part.text.len(),
                    );
                    continue;
                }
                let look = Look {
                    text: part.text,
                    at: hit.start(),
                    after: hit.end(),
                    kind: part.kind,
                    is_test: part.is_test,
                };
                found.extend(self.attempt(number, &look));
            }
            if found.len() >= MOST {
                break;
            }
        }
        found.extend(self.foreign(part, &windows));
        self.settle(found)
    }

    /// Rules without keywords look at all of a part.
    fn everywhere(&self, part: &Part<'_>) -> Windows {
        let numbers = 0..self.rules.len();
        let all = numbers.filter(|number| {
            let rule = &self.rules[*number];
            rule.keywords.is_empty() && matches!(rule.matcher, Matcher::Foreign(_))
        });
        all.map(|number| (number, vec![(part.from, part.text.len())]))
            .collect()
    }

    /// What rules of somebody else's file find in their ranges.
    fn foreign(&self, part: &Part<'_>, windows: &Windows) -> Vec<Match> {
        let mut found = Vec::new();
        for (number, ranges) in windows {
            let rule = &self.rules[*number];
            let Matcher::Foreign(finder) = &rule.matcher else {
                continue;
            };
            if !finder.fits(part.path) {
                continue;
            }
            for (start, end) in ranges {
                let spans = finder.find(&rule.id, part.path, part.text, *start..*end);
                found.extend(spans.into_iter().map(|span| Match {
                    rule: *number,
                    span,
                }));
                if found.len() >= MOST {
                    break;
                }
            }
        }
        let all = found.clone();
        found.retain(|one| self.is_complete(part.text, one, &all));
        found
    }

    /// Whether all that a rule requires was found beside it, and it is no part itself.
    fn is_complete(&self, text: &[u8], one: &Match, all: &[Match]) -> bool {
        let Matcher::Foreign(finder) = &self.rules[one.rule].matcher else {
            return true;
        };
        let has = |required: &Required| {
            let mut others = all
                .iter()
                .filter(|other| self.rules[other.rule].id == required.id);
            others.any(|other| {
                let (first, last) = (
                    one.span.start.min(other.span.start),
                    one.span.start.max(other.span.start),
                );
                let lines = || memchr::memchr_iter(b'\n', &text[first..last]).count() as u64;
                required.within_lines.is_none_or(|most| lines() <= most)
            })
        };
        !finder.is_part() && finder.required().iter().all(has)
    }

    /// Rules by which a file of this path is a finding, whatever is in it.
    pub fn of_path(&self, path: &str) -> Vec<&Rule> {
        let is_of = |rule: &&Rule| matches!(&rule.matcher, Matcher::Foreign(finder) if finder.is_of_path(path));
        self.rules.iter().filter(is_of).collect()
    }

    fn attempt(&self, number: usize, look: &Look<'_>) -> Option<Match> {
        let rule = &self.rules[number];
        let span = match &rule.matcher {
            Matcher::Pattern(pattern) => {
                let span = pattern.find(look)?;
                is_whole(look.text, span).then_some(span)?
            }
            Matcher::Code(find) => find(look)?,
            Matcher::Foreign(_) => return None,
        };
        let is_one = (rule.check)(&look.text[span.start..span.end]);
        is_one.then_some(Match { rule: number, span })
    }

    /// Of matches that overlap, the one of the highest rank, and of those the longest.
    pub fn settle(&self, mut found: Vec<Match>) -> Vec<Match> {
        let rank = |one: &Match| self.rules[one.rule].rank;
        found.sort_by_key(|one| {
            (
                std::cmp::Reverse(rank(one)),
                std::cmp::Reverse(one.span.end - one.span.start),
                one.span.start,
            )
        });
        let mut taken = std::collections::BTreeMap::new();
        for one in found {
            let before = taken.range(..one.span.end).next_back();
            if before.is_none_or(|(_, other): (&usize, &Match)| other.span.end <= one.span.start) {
                taken.insert(one.span.start, one);
            }
        }
        taken.into_values().collect()
    }
}

/// Adds the range around a keyword; one that touches the last is added to it.
fn widen(ranges: &mut Vec<(usize, usize)>, start: usize, end: usize, reach: usize, length: usize) {
    let from = start.saturating_sub(reach.min(BACK));
    let to = length.min(end + reach);
    match ranges.last_mut() {
        Some((_, last)) if *last >= from => *last = to.max(*last),
        _ => ranges.push((from, to)),
    }
}

/// Whether a token is no part of a longer word. A letter after a backslash is the end of an escape.
fn is_whole(text: &[u8], span: Span) -> bool {
    let joins = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = text[span.start];
    let before = span.start.checked_sub(1).map(|at| text[at]);
    let is_escape = matches!(before, Some(b'n' | b'r' | b't'))
        && span.start >= 2
        && text[span.start - 2] == b'\\';
    let opens = !joins(first) || is_escape || !before.is_some_and(joins);
    let last = text[span.end - 1];
    let closes = !joins(last) || !text.get(span.end).copied().is_some_and(joins);
    opens && closes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::rules;

    fn ids(text: &str, kind: Kind) -> Vec<(String, String)> {
        let engine = Engine::new(rules::builtin()).unwrap();
        let part = Part {
            text: text.as_bytes(),
            from: 0,
            to: text.len(),
            kind,
            is_test: false,
            path: "",
        };
        let found = engine.find(&part).into_iter();
        found
            .map(|one| {
                (
                    engine.rule(one.rule).id.to_string(),
                    text[one.span.start..one.span.end].to_owned(),
                )
            })
            .collect()
    }

    #[test]
    fn the_rule_that_knows_most_counts() {
        let text = "GITHUB_TOKEN=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\n";
        let found = ids(text, Kind::Config);
        assert_eq!(
            found,
            [(
                "github-token".to_owned(),
                "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".to_owned()
            )]
        );
    }

    #[test]
    fn addresses_and_keys_are_found() {
        let text = "a = \"postgres://app:k3yb0ard-Cat@db.internal/app\"\nb = \"https://x.test/a\"";
        assert_eq!(
            ids(text, Kind::Code),
            [("url-password".to_owned(), "k3yb0ard-Cat".to_owned())]
        );
        let text = "x;Password=k3yb0ard-Cat;y";
        assert_eq!(
            ids(text, Kind::Code),
            [("connection-string".to_owned(), "k3yb0ard-Cat".to_owned())]
        );
        let text = "jdbc:oracle:thin:scott/k3yb0ard-Cat@db:1521/x";
        assert_eq!(
            ids(text, Kind::Code),
            [("jdbc-oracle".to_owned(), "k3yb0ard-Cat".to_owned())]
        );
    }

    #[test]
    fn a_token_within_a_word_is_none() {
        assert_eq!(
            ids("x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", Kind::Code),
            []
        );
        assert_eq!(
            ids("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A", Kind::Code),
            []
        );
        let escaped = r"\n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\n";
        assert_eq!(ids(escaped, Kind::Code).len(), 1);
    }
}
