//! Filters of Betterleaks: an expression that is true of what is no finding. Read are comparisons of
//! `entropy(…)` and `len(…)`, `matchesAny`, `containsAny`, `!`, `&&`, `||` and parentheses; a rule with more
//! than that is not loaded.

use regex_automata::meta::Regex;

use super::filter::entropy;
use super::pattern::translated;
use super::rule::compile;

/// An expression.
#[derive(Debug)]
pub enum Expression {
    /// `a || b`
    Any(Vec<Self>),
    /// `a && b`
    All(Vec<Self>),
    /// `!a`
    Not(Box<Self>),
    /// `entropy(x) <= n`, `len(x) > n`
    Compare(Measure, Text, Order, f64),
    /// `matchesAny(x, […])`
    Matches(Text, Vec<Regex>),
    /// `containsAny(x, […])`: in any case of letters.
    Contains(Text, Vec<String>),
}

/// What a number is of.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Bits a byte.
    Entropy,
    /// Bytes.
    Length,
}

/// How numbers compare.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `==`
    Same,
}

/// What of a finding is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// The value.
    Secret,
    /// All that the pattern matched.
    Match,
    /// Its line.
    Line,
    /// The path of its file.
    Path,
}

/// A finding, as expressions see it.
pub struct Facts<'a> {
    /// The value.
    pub secret: &'a [u8],
    /// All that the pattern matched.
    pub matched: &'a [u8],
    /// Its line.
    pub line: &'a [u8],
    /// The path of its file.
    pub path: &'a str,
}

/// Parentheses and `!` within each other, at most.
const DEEPEST: u32 = 64;

impl Expression {
    /// Reads one. The error says what is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            words: words(text)?,
            at: 0,
            depth: 0,
        };
        let expression = parser.any()?;
        match parser.words.get(parser.at) {
            None => Ok(expression),
            Some(word) => Err(format!(
                "its filter has {word:?}, which hushpipe does not read"
            )),
        }
    }

    /// Whether it is true of a finding.
    pub fn is_true(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Any(all) => all.iter().any(|one| one.is_true(facts)),
            Self::All(all) => all.iter().all(|one| one.is_true(facts)),
            Self::Not(one) => !one.is_true(facts),
            Self::Compare(measure, text, order, number) => {
                let bytes = text.of(facts);
                let value = match measure {
                    Measure::Entropy => entropy(bytes),
                    Measure::Length => f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
                };
                order.holds(value, *number)
            }
            Self::Matches(text, regexes) => {
                regexes.iter().any(|regex| regex.is_match(text.of(facts)))
            }
            Self::Contains(text, parts) => {
                let lower = text.of(facts).to_ascii_lowercase();
                parts
                    .iter()
                    .any(|part| memchr::memmem::find(&lower, part.as_bytes()).is_some())
            }
        }
    }
}

impl Text {
    const fn of<'a>(self, facts: &Facts<'a>) -> &'a [u8] {
        match self {
            Self::Secret => facts.secret,
            Self::Match => facts.matched,
            Self::Line => facts.line,
            Self::Path => facts.path.as_bytes(),
        }
    }
}

impl Order {
    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less => a < b,
            Self::AtMost => a <= b,
            Self::More => a > b,
            Self::AtLeast => a >= b,
            Self::Same => (a - b).abs() < f64::EPSILON,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Name(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [
    "||", "&&", "<=", ">=", "==", "??", "!", "<", ">", "(", ")", "[", "]", ",", ".", ";",
];

/// Names, texts, numbers and signs; `//` starts a comment.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest
                .split_once('\n')
                .map_or("", |(_, rest)| rest)
                .trim_start();
            continue;
        }
        let length = match first {
            '`' | '"' | '\'' => {
                let (text, length) =
                    quoted(rest, first).ok_or("a text in its filter does not end")?;
                words.push(Word::Text(text));
                length
            }
            c if c.is_ascii_digit() => {
                let length = rest
                    .bytes()
                    .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
                    .count();
                words.push(Word::Number(
                    rest[..length]
                        .parse()
                        .map_err(|_| "a number in its filter is none")?,
                ));
                length
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let length = rest
                    .bytes()
                    .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                    .count();
                words.push(Word::Name(rest[..length].to_owned()));
                length
            }
            _ => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| {
                    format!("its filter has {first:?}, which hushpipe does not read")
                })?;
                words.push(Word::Sign(sign));
                sign.len()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// A text in quotes, and how long it is with them. Backticks have no escapes.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((text, at + 1)),
            '\\' if quote != '`' => match chars.next()?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                other => text.push(other),
            },
            c => text.push(c),
        }
    }
    None
}

struct Parser {
    words: Vec<Word>,
    at: usize,
    depth: u32,
}

impl Parser {
    fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is = matches!(self.words.get(self.at), Some(Word::Sign(other)) if *other == sign);
        self.at += usize::from(is);
        is
    }

    fn wants(&mut self, sign: &str) -> Result<(), String> {
        if self.takes(sign) {
            Ok(())
        } else {
            Err(self.unknown())
        }
    }

    fn unknown(&self) -> String {
        match self.words.get(self.at) {
            Some(Word::Name(name)) => {
                format!("its filter has `{name}`, which hushpipe does not read")
            }
            Some(word) => format!("its filter has {word:?}, which hushpipe does not read"),
            None => "its filter ends too early".to_owned(),
        }
    }

    fn any(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.all()?];
        while self.takes("||") {
            all.push(self.all()?);
        }
        Ok(one_or(all, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, String> {
        let mut all = vec![self.one()?];
        while self.takes("&&") {
            all.push(self.one()?);
        }
        Ok(one_or(all, Expression::All))
    }

    fn one(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("its filter is nested too deeply".to_owned());
        }
        let one = if self.takes("!") {
            self.one().map(|one| Expression::Not(Box::new(one)))
        } else if self.takes("(") {
            self.any().and_then(|one| self.wants(")").map(|()| one))
        } else {
            self.call()
        };
        self.depth -= 1;
        one
    }

    fn call(&mut self) -> Result<Expression, String> {
        let unknown = self.unknown();
        let Some(Word::Name(mut name)) = self.next() else {
            return Err(unknown);
        };
        if name == "filter" && self.takes(".") {
            let Some(Word::Name(inner)) = self.next() else {
                return Err(unknown);
            };
            name = inner;
        }
        if !matches!(
            name.as_str(),
            "entropy" | "len" | "matchesAny" | "containsAny"
        ) {
            return Err(unknown);
        }
        self.wants("(")?;
        let text = self.text()?;
        if matches!(name.as_str(), "entropy" | "len") {
            self.wants(")")?;
            let order = self.order()?;
            let unknown = self.unknown();
            let Some(Word::Number(number)) = self.next() else {
                return Err(unknown);
            };
            let measure = if name == "len" {
                Measure::Length
            } else {
                Measure::Entropy
            };
            return Ok(Expression::Compare(measure, text, order, number));
        }
        self.wants(",")?;
        let texts = self.list()?;
        self.wants(")")?;
        if name == "containsAny" {
            let lower = texts.iter().map(|text| text.to_ascii_lowercase());
            return Ok(Expression::Contains(text, lower.collect()));
        }
        let regexes = texts.iter().map(|text| compile(&translated(text)));
        Ok(Expression::Matches(
            text,
            regexes.collect::<Result<_, _>>()?,
        ))
    }

    fn order(&mut self) -> Result<Order, String> {
        let orders = [
            ("<=", Order::AtMost),
            (">=", Order::AtLeast),
            ("==", Order::Same),
            ("<", Order::Less),
            (">", Order::More),
        ];
        let found = orders.into_iter().find(|(sign, _)| self.takes(sign));
        found.map(|(_, order)| order).ok_or_else(|| self.unknown())
    }

    /// `finding["secret"]`, `attributes["path"]`, `(attributes["path"] ?? "")`, `get(attributes, "path", "")`
    fn text(&mut self) -> Result<Text, String> {
        let unknown = self.unknown();
        if self.takes("(") {
            let text = self.text()?;
            if self.takes("??") {
                self.next();
            }
            return self.wants(")").map(|()| text);
        }
        let Some(Word::Name(mut name)) = self.next() else {
            return Err(unknown);
        };
        let is_get = name == "get";
        if is_get {
            self.wants("(")?;
            let Some(Word::Name(inner)) = self.next() else {
                return Err(unknown);
            };
            name = inner;
            self.wants(",")?;
        } else {
            self.wants("[")?;
        }
        let Some(Word::Text(key)) = self.next() else {
            return Err(unknown);
        };
        if is_get {
            self.wants(",")?;
            self.next();
            self.wants(")")?;
        } else {
            self.wants("]")?;
        }
        match (name.as_str(), key.as_str()) {
            ("finding", "secret") => Ok(Text::Secret),
            ("finding", "match") => Ok(Text::Match),
            ("finding", "line") => Ok(Text::Line),
            ("attributes", "path") => Ok(Text::Path),
            _ => Err(format!(
                "its filter reads {name}[{key:?}], which hushpipe does not have"
            )),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        self.wants("[")?;
        let mut all = Vec::new();
        while !self.takes("]") {
            let unknown = self.unknown();
            match self.next() {
                Some(Word::Text(text)) => all.push(text),
                _ => return Err(unknown),
            }
            self.takes(",");
        }
        Ok(all)
    }
}

fn one_or(mut all: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    if all.len() > 1 {
        return many(all);
    }
    all.pop().unwrap_or(Expression::Any(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_true_of_what_they_say() {
        let facts = Facts {
            secret: b"aab1",
            matched: b"x=aab1",
            line: b"x=aab1;",
            path: "a/b.md",
        };
        for (text, wanted) in [
            (r#"entropy(finding["secret"]) <= 2.0"#, true),
            (
                r#"filter.entropy(finding["secret"]) < 1.0 || len(finding["secret"]) == 4"#,
                true,
            ),
            (r#"!matchesAny(finding["secret"], [`^a+b\d$`])"#, false),
            (
                "// why\nmatchesAny((attributes[\"path\"] ?? \"\"), [`\\.md$`])",
                true,
            ),
            (
                r#"(containsAny(finding["match"], ["X="]) && len(finding["line"]) > 20)"#,
                false,
            ),
        ] {
            assert_eq!(
                Expression::parse(text).unwrap().is_true(&facts),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for text in [
            "",
            "let a = 1; a",
            "entropy(",
            "unknown(finding[\"secret\"])",
            "entropy(finding[\"x\"]) < 1",
            "\"",
            "((((",
            "€",
            "len(finding[\"secret\"]) < 2 )",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
        let deep = "!".repeat(100_000);
        assert!(Expression::parse(&deep).is_err());
    }
}
