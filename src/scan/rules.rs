//! hushpipe's own rules.

use std::borrow::Cow;

use super::readers::READERS;
use super::rule::{Matcher, Rule, Severity};
use super::{assign, commands, keys, misconfig, sql, tokens, urls};

/// The rank of rules on settings: what they find is no value.
pub const SETTING: u8 = 0;

/// The number of a rule on a setting.
pub const fn of_setting(number: usize) -> usize {
    READERS.len() + number
}

/// The number of the rule on known values.
pub const KNOWN: usize = READERS.len() + misconfig::SETTINGS.len();

/// All of them: those of readers first, then those on settings, in their order, then the one on
/// known values.
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
    rules.extend(misconfig::SETTINGS.iter().map(|setting| Rule {
        id: Cow::Borrowed(setting.id),
        title: Cow::Borrowed(setting.title),
        severity: setting.severity,
        keywords: Vec::new(),
        matcher: Matcher::Code(|_| None),
        check: |_| true,
        rank: SETTING,
    }));
    rules.push(Rule {
        id: Cow::Borrowed("known-secret"),
        title: Cow::Borrowed("value of a known secret"),
        severity: Severity::High,
        keywords: Vec::new(),
        matcher: Matcher::Code(|_| None),
        check: |_| true,
        rank: u8::MAX,
    });
    rules.extend(tokens::rules());
    rules.extend(commands::rules());
    rules.extend(keys::rules());
    rules.extend(urls::rules());
    rules.extend(sql::rules());
    rules.extend(assign::rules());
    rules
}
