//! Finds secrets that are not under hushpipe's care: in directory trees and files. Bytes go in, findings
//! come out; a finding has the place of a value and never the value.
//!
//! One automaton finds the keywords of all rules in one pass ([`engine`]); rules are tried only where
//! one of theirs is. Files of known programs are read by their formats ([`readers`]). [`filter`] tells
//! secrets from placeholders, references and names.

mod assign;
mod checksum;
mod commands;
mod engine;
mod expression;
mod filter;
mod finding;
pub mod foreign;
mod image;
mod keys;
mod kind;
mod known;
mod manifests;
mod misconfig;
mod pattern;
#[cfg(test)]
mod planted_tests;
pub mod processes;
mod readers;
mod rule;
mod rules;
mod scanner;
mod sql;
mod tally;
mod tokens;
mod tree;
mod urls;

pub use finding::{Finding, Place, Within};
pub use known::Known;
pub use rule::{Rule, Severity};
pub use scanner::{Scanner, Seen, Worker};
pub use tally::{Skipped, Tally};
pub use tree::{TreeOptions, scan};
