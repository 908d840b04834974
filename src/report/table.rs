//! Names on their way in: made printable, cut, and kept once.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::model::printable::{acts, printable};

/// A name is cut to so many characters: a path is no longer, and no one line fills a page.
const LONGEST: usize = 4096;

/// Text of others, as it may be shown.
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_plain = text.len() <= LONGEST
        && (text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || !text.chars().any(acts));
    if is_plain {
        return Cow::Borrowed(text);
    }
    let mut shown = printable(text);
    if let Some((cut, _)) = shown.char_indices().nth(LONGEST) {
        shown.truncate(cut);
        shown.push('…');
    }
    Cow::Owned(shown)
}

/// Rows by their key.
#[derive(Debug)]
pub struct Table<T> {
    /// In the order in which they came.
    pub rows: Vec<T>,
    known: HashMap<Box<str>, u32>,
    key: String,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            known: HashMap::new(),
            key: String::new(),
        }
    }
}

impl<T> Table<T> {
    /// The number of the row with these names, which is made if it is not there.
    pub fn row(&mut self, names: &[&str], make: impl FnOnce() -> T) -> u32 {
        self.key.clear();
        for name in names {
            // NUL is never in what is clean.
            self.key.push_str(&clean(name));
            self.key.push('\0');
        }
        if let Some(found) = self.known.get(self.key.as_str()) {
            return *found;
        }
        let at = self.rows.len() as u32;
        self.known.insert(self.key.as_str().into(), at);
        self.rows.push(make());
        at
    }

    /// A row.
    pub fn get(&mut self, at: u32) -> &mut T {
        &mut self.rows[at as usize]
    }
}

/// Where each row is after sorting, and the rows in that order.
pub fn sorted<T, K: Ord>(rows: Vec<T>, key: impl Fn(&T) -> K) -> (Vec<u32>, Vec<T>) {
    let mut numbered: Vec<(u32, T)> = (0..).zip(rows).collect();
    numbered.sort_by_cached_key(|(_, row)| key(row));
    let mut places = vec![0; numbered.len()];
    for (at, (before, _)) in (0..).zip(&numbered) {
        places[*before as usize] = at;
    }
    let rows = numbered.into_iter().map(|(_, row)| row).collect();
    (places, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_cut() {
        assert_eq!(clean("plain"), "plain");
        assert_eq!(clean("größe"), "größe");
        assert_eq!(clean("a\u{202e}b\0"), "a\\u{202e}b\\u{0}");
        let long = "é".repeat(LONGEST + 9);
        assert_eq!(clean(&long).chars().count(), LONGEST + 1);
    }

    #[test]
    fn rows_are_kept_once_and_sorted() {
        let mut table = Table::default();
        assert_eq!(table.row(&["b", ""], || "b"), 0);
        assert_eq!(table.row(&["", "b"], || "other"), 1);
        assert_eq!(table.row(&["b", ""], || "b"), 0);
        assert_eq!(table.row(&["a"], || "a"), 2);
        let (places, rows) = sorted(table.rows, |row| *row);
        assert_eq!(rows, ["a", "b", "other"]);
        assert_eq!(places, [1, 2, 0]);
    }
}
