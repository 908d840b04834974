//! hushpipe's own rules.

use std::borrow::Cow;

use super::readers::READERS;
use super::rule::{Matcher, Rule};
use super::{assign, keys, sql, tokens, urls};

/// All of them: those of readers first, in their order.
pub fn builtin() -> Vec<Rule> {
    let mut rules: Vec<Rule> = READERS
        .iter()
        .map(|reader| Rule {
            id: Cow::Borrowed(reader.id),
            title: Cow::Borrowed(reader.title),
            severity: reader.severity,
            // A reader reads whole files.
            keywords: Vec::new(),
            matcher: Matcher::Code(|_| None),
            check: |_| true,
            rank: 2,
        })
        .collect();
    rules.extend(tokens::rules());
    rules.extend(keys::rules());
    rules.extend(urls::rules());
    rules.extend(sql::rules());
    rules.extend(assign::rules());
    rules
}
