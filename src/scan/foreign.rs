//! Rules of gitleaks and Betterleaks: their TOML files (gitleaks.io, "Configuration"), with allowlists,
//! stopwords, entropy and Betterleaks' filters. What cannot be loaded is named with its cause; nothing of a
//! rule is ever sent anywhere, so that `validate` has no meaning here.

use std::borrow::Cow;
use std::sync::Arc;

use regex_automata::Input;
use regex_automata::meta::Regex;
use serde::Deserialize;

use super::expression::{Expression, Facts};
use super::filter::entropy;
use super::pattern::{longest, translated};
use super::rule::{Finder, Matcher, Required, Rule, Severity, Span, compile};

/// A file of rules.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rules: Vec<Raw>,
    allowlist: Option<RawAllow>,
    #[serde(default)]
    allowlists: Vec<RawAllow>,
    prefilter: Option<String>,
    filter: Option<String>,
    extend: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    id: String,
    #[serde(default)]
    description: String,
    regex: Option<String>,
    path: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    entropy: Option<f64>,
    secret_group: Option<usize>,
    allowlist: Option<RawAllow>,
    #[serde(default)]
    allowlists: Vec<RawAllow>,
    filter: Option<String>,
    #[serde(default)]
    skip_report: bool,
    #[serde(default)]
    required: Vec<Required>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawAllow {
    condition: Option<String>,
    paths: Vec<String>,
    regexes: Vec<String>,
    regex_target: Option<String>,
    stopwords: Vec<String>,
    target_rules: Vec<String>,
}

/// What is allowed: it is no finding.
struct Allow {
    needs_all: bool,
    paths: Vec<Regex>,
    regexes: Vec<Regex>,
    target: Target,
    stopwords: Vec<String>,
    rules: Vec<String>,
}

#[derive(Clone, Copy)]
enum Target {
    Secret,
    Match,
    Line,
}

/// What all rules of a file share.
#[derive(Default)]
struct Shared {
    allows: Vec<Allow>,
    filters: Vec<Expression>,
}

/// A rule of such a file.
struct Foreign {
    regex: Option<Regex>,
    path: Option<Regex>,
    entropy: Option<f64>,
    group: Option<usize>,
    allows: Vec<Allow>,
    filter: Option<Expression>,
    shared: Arc<Shared>,
    reach: usize,
    is_part: bool,
    required: Vec<Required>,
}

/// The rules of a file, and those that could not be loaded, each with its cause.
pub struct Loaded {
    /// The rules.
    pub rules: Vec<Rule>,
    /// The others.
    pub refused: Vec<(String, String)>,
}

/// The farthest that a match without a longest one is looked for.
const REACH: usize = 8 << 10;

/// Reads a file of rules.
///
/// # Errors
///
/// It is no TOML, or has no rules.
pub fn load(text: &str) -> Result<Loaded, String> {
    let file: File = basic_toml::from_str(text).map_err(|error| error.to_string())?;
    if file.extend.is_some() {
        return Err(
            "it extends another file, which hushpipe does not read: name both by --rules"
                .to_owned(),
        );
    }
    if file.rules.is_empty() {
        return Err("it has no [[rules]]".to_owned());
    }
    let mut shared = Shared::default();
    for raw in file.allowlist.into_iter().chain(file.allowlists) {
        shared.allows.push(allow(raw)?);
    }
    for text in file.prefilter.into_iter().chain(file.filter) {
        shared.filters.push(Expression::parse(&text)?);
    }
    let shared = Arc::new(shared);
    let mut loaded = Loaded {
        rules: Vec::new(),
        refused: Vec::new(),
    };
    for raw in file.rules {
        let id = raw.id.clone();
        match rule(raw, &shared) {
            Ok(rule) => loaded.rules.push(rule),
            Err(cause) => loaded.refused.push((id, cause)),
        }
    }
    Ok(loaded)
}

fn regex(text: &str) -> Result<Regex, String> {
    compile(&translated(text))
}

fn regexes(texts: &[String]) -> Result<Vec<Regex>, String> {
    texts.iter().map(|text| regex(text)).collect()
}

fn allow(raw: RawAllow) -> Result<Allow, String> {
    Ok(Allow {
        needs_all: raw
            .condition
            .is_some_and(|word| word.eq_ignore_ascii_case("and")),
        paths: regexes(&raw.paths)?,
        regexes: regexes(&raw.regexes)?,
        target: match raw.regex_target.as_deref() {
            Some("match") => Target::Match,
            Some("line") => Target::Line,
            _ => Target::Secret,
        },
        stopwords: raw
            .stopwords
            .iter()
            .map(|word| word.to_lowercase())
            .collect(),
        rules: raw.target_rules,
    })
}

fn rule(raw: Raw, shared: &Arc<Shared>) -> Result<Rule, String> {
    if raw.regex.is_none() && raw.path.is_none() {
        return Err("it has neither a regex nor a path".to_owned());
    }
    let reach = raw
        .regex
        .as_deref()
        .map(translated)
        .and_then(|text| longest(&text));
    let foreign = Foreign {
        regex: raw.regex.as_deref().map(regex).transpose()?,
        path: raw.path.as_deref().map(regex).transpose()?,
        entropy: raw.entropy,
        group: raw.secret_group,
        allows: raw
            .allowlist
            .into_iter()
            .chain(raw.allowlists)
            .map(allow)
            .collect::<Result<_, _>>()?,
        filter: raw.filter.as_deref().map(Expression::parse).transpose()?,
        shared: Arc::clone(shared),
        reach: reach.unwrap_or(REACH).min(REACH),
        is_part: raw.skip_report,
        required: raw.required,
    };
    Ok(Rule {
        title: Cow::Owned(if raw.description.is_empty() {
            raw.id.clone()
        } else {
            raw.description
        }),
        id: Cow::Owned(raw.id),
        severity: Severity::High,
        keywords: raw
            .keywords
            .into_iter()
            .map(|word| Cow::Owned(word.to_ascii_lowercase()))
            .collect(),
        matcher: Matcher::Foreign(Box::new(foreign)),
        check: |_| true,
        rank: 2,
    })
}

impl Finder for Foreign {
    fn fits(&self, path: &str) -> bool {
        self.path
            .as_ref()
            .is_none_or(|regex| regex.is_match(path.as_bytes()))
    }

    fn is_of_path(&self, path: &str) -> bool {
        self.regex.is_none() && self.fits(path) && !self.shared_allows("", path, b"", b"", b"")
    }

    fn reach(&self) -> usize {
        self.reach
    }

    fn is_part(&self) -> bool {
        self.is_part
    }

    fn required(&self) -> &[Required] {
        &self.required
    }

    fn find(&self, id: &str, path: &str, text: &[u8], range: std::ops::Range<usize>) -> Vec<Span> {
        let Some(regex) = &self.regex else {
            return Vec::new();
        };
        let mut captures = regex.create_captures();
        let mut found = Vec::new();
        let mut at = range.start;
        while at <= range.end {
            let input = Input::new(text).range(at..range.end);
            regex.search_captures(&input, &mut captures);
            let Some(whole) = captures.get_match() else {
                break;
            };
            at = whole.end().max(at + 1);
            let groups = captures.group_len();
            let mut filled = (1..groups)
                .filter_map(|group| captures.get_group(group))
                .filter(|span| !span.is_empty());
            let group = match self.group {
                Some(group) if group > 0 => captures.get_group(group),
                _ => filled.next(),
            };
            let span = group.unwrap_or(whole.span());
            let span = Span {
                start: span.start,
                end: span.end,
            };
            if span.end > span.start && self.is_finding(id, path, text, span, whole.range()) {
                found.push(span);
            }
        }
        found
    }
}

impl Foreign {
    fn is_finding(
        &self,
        id: &str,
        path: &str,
        text: &[u8],
        span: Span,
        whole: std::ops::Range<usize>,
    ) -> bool {
        let secret = &text[span.start..span.end];
        if self.entropy.is_some_and(|least| entropy(secret) <= least) {
            return false;
        }
        let start = memchr::memrchr(b'\n', &text[..whole.start]).map_or(0, |at| at + 1);
        let end = memchr::memchr(b'\n', &text[whole.end..]).map_or(text.len(), |at| whole.end + at);
        let (matched, line) = (&text[whole], &text[start..end]);
        let facts = Facts {
            secret,
            matched,
            line,
            path,
        };
        let mut filters = self.shared.filters.iter().chain(&self.filter);
        let own = self
            .allows
            .iter()
            .any(|allow| allow.has(path, secret, matched, line));
        !(own
            || filters.any(|filter| filter.is_true(&facts))
            || self.shared_allows(id, path, secret, matched, line))
    }

    fn shared_allows(
        &self,
        id: &str,
        path: &str,
        secret: &[u8],
        matched: &[u8],
        line: &[u8],
    ) -> bool {
        let mut allows = self.shared.allows.iter();
        allows.any(|allow| {
            (allow.rules.is_empty() || allow.rules.iter().any(|rule| rule == id))
                && allow.has(path, secret, matched, line)
        })
    }
}

impl Allow {
    fn has(&self, path: &str, secret: &[u8], matched: &[u8], line: &[u8]) -> bool {
        let target = match self.target {
            Target::Secret => secret,
            Target::Match => matched,
            Target::Line => line,
        };
        let checks = [
            (!self.paths.is_empty()).then(|| {
                self.paths
                    .iter()
                    .any(|regex| regex.is_match(path.as_bytes()))
            }),
            (!self.regexes.is_empty())
                .then(|| self.regexes.iter().any(|regex| regex.is_match(target))),
            (!self.stopwords.is_empty()).then(|| {
                let lower = secret.to_ascii_lowercase();
                self.stopwords
                    .iter()
                    .any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some())
            }),
        ];
        let mut given = checks.into_iter().flatten().peekable();
        if given.peek().is_none() {
            return false;
        }
        if self.needs_all {
            given.all(|is| is)
        } else {
            given.any(|is| is)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITLEAKS: &str = include_str!("../../tests/vectors/rules/gitleaks-8.30.0.toml");

    #[test]
    fn all_rules_of_gitleaks_load() {
        let loaded = load(GITLEAKS).unwrap();
        assert_eq!(loaded.refused, []);
        assert_eq!(loaded.rules.len(), 222);
    }

    #[test]
    fn of_betterleaks_at_least_95_of_100_load_and_the_rest_are_named() {
        let text = include_str!("../../tests/vectors/rules/betterleaks-1.7.0.toml");
        let loaded = load(text).unwrap();
        let all = loaded.rules.len() + loaded.refused.len();
        assert_eq!(all, 412);
        assert!(loaded.rules.len() * 100 >= all * 95, "{:?}", loaded.refused);
        for (id, cause) in &loaded.refused {
            assert!(!id.is_empty() && !cause.is_empty());
        }
    }

    fn find(rules: &str, path: &str, text: &str) -> Vec<String> {
        use crate::scan::{Place, Scanner};
        let scanner = Scanner::new(load(rules).unwrap().rules, 1 << 30, false).unwrap();
        let mut out = Vec::new();
        scanner
            .worker()
            .read(&Place::file(path), &mut text.as_bytes(), &mut out)
            .unwrap();
        out.into_iter()
            .map(|one| format!("{}:{}", one.rule, one.line))
            .collect()
    }

    #[test]
    fn allowlists_entropy_paths_and_parts_decide_as_the_files_say() {
        let rules = "[[rules]]\nid = \"x\"\nregex = '''x-([a-z0-9]{8})'''\nkeywords = [\"x-\"]\nentropy = 2.0\n\
            [[rules.allowlists]]\nstopwords = [\"stop\"]\n[[rules]]\nid = \"p\"\npath = '''\\.p12$'''\n\
            [[rules]]\nid = \"part\"\nregex = '''part-[0-9]{4}'''\nkeywords = [\"part-\"]\nskipReport = true\n\
            [[rules]]\nid = \"both\"\nregex = '''both-[0-9]{4}'''\nkeywords = [\"both-\"]\n[[rules.required]]\nid = \"part\"\nwithinLines = 2\n\
            [[rules]]\nid = \"f\"\nregex = '''f-[a-z0-9]{8}'''\nkeywords = [\"f-\"]\nfilter = 'entropy(finding[\"secret\"]) < 2.5 || matchesAny(finding[\"secret\"], [`q$`])'\n";
        assert_eq!(
            find(rules, "a.txt", "x-ab3de6gh\nx-aaaaaaaa\nx-stop1234\n"),
            ["x:1"]
        );
        assert_eq!(find(rules, "a.p12", "text"), ["p:0"]);
        assert_eq!(find(rules, "a.txt", "both-1234\n\npart-9876\n"), ["both:1"]);
        assert_eq!(
            find(rules, "a.txt", "both-1234\n\n\n\npart-9876\n"),
            [""; 0]
        );
        assert_eq!(
            find(rules, "a.txt", "f-ab3de6gh\nf-aaaaaaab\nf-ab3de6gq\n"),
            ["f:1"]
        );
    }

    #[test]
    fn what_is_no_file_of_rules_is_an_error() {
        for text in [
            "",
            "[[rules]",
            "title = 'x'",
            "[extend]\nuseDefault = true\n",
        ] {
            assert!(load(text).is_err(), "{text}");
        }
        let loaded = load("[[rules]]\nid = 'a'\nregex = '('\n[[rules]]\nid = 'b'\n[[rules]]\nid = 'c'\nregex = 'c'\nfilter = 'let a = 1; a'\n").unwrap();
        let ids: Vec<&str> = loaded.refused.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
    }
}
