//! A reader of Rust sources, as far as the rules need one: words without comments and text.

/// A file of the repository, cut into words.
pub struct Source {
    /// Its path below the root of the repository.
    pub name: String,
    lines: Vec<String>,
    words: Vec<Word>,
}

/// A name or a mark, and its 1-based line.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    line: usize,
}

/// A name below the crate's root that a file reaches for.
#[derive(Debug)]
pub struct Import {
    /// The first name below the root; `*` for all, `self` for the root itself.
    pub name: String,
    /// Where.
    pub line: usize,
}

/// A struct or an enum, and what it derives.
pub struct Type {
    /// Its name.
    pub name: String,
    /// Names of the derived traits.
    pub derives: Vec<String>,
}

impl Source {
    /// Cuts a text into words.
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            words: words(&stripped(text)),
        }
    }

    /// The room it lies in; `None` for main.rs and lib.rs.
    pub fn room(&self) -> Option<&str> {
        let below = self.name.strip_prefix("src/")?;
        below.split_once('/').map(|(room, _)| room)
    }

    /// How many modules lie between the crate's root and this file's own.
    fn depth(&self) -> usize {
        let parts = self.name.split('/').count() - 1;
        let is_root = matches!(self.name.as_str(), "src/main.rs" | "src/lib.rs");
        match (is_root, self.name.ends_with("/mod.rs")) {
            (true, _) => 0,
            (false, true) => parts - 1,
            (false, false) => parts,
        }
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.words.get(at).is_some_and(|word| word.text == text)
    }

    /// Its words.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(|word| word.text.as_str())
    }

    /// Lines on which this sequence of words starts.
    pub fn lines_with(&self, sequence: &[&str]) -> Vec<usize> {
        (0..self.words.len())
            .filter(|at| sequence.iter().enumerate().all(|(i, t)| self.is(at + i, t)))
            .map(|at| self.words[at].line)
            .collect()
    }

    /// Lines on which four words start that are looked for.
    pub fn lines_where(&self, wanted: impl Fn(&[&str; 4]) -> bool) -> Vec<usize> {
        let word = |at: usize| self.words.get(at).map_or("", |word| word.text.as_str());
        (0..self.words.len())
            .filter(|at| wanted(&[word(*at), word(at + 1), word(at + 2), word(at + 3)]))
            .map(|at| self.words[at].line)
            .collect()
    }

    /// Names of its tests.
    pub fn tests(&self) -> Vec<&str> {
        let starts = [&["test", "]", "fn"][..], &["test", "]", "async", "fn"]];
        let names = (0..self.words.len()).filter_map(|at| {
            let here = |start: &&&[&str]| start.iter().enumerate().all(|(i, t)| self.is(at + i, t));
            let start = starts.iter().find(here)?;
            self.words
                .get(at + start.len())
                .map(|word| word.text.as_str())
        });
        names.collect()
    }

    /// The file up to its unit tests, which end it.
    pub fn without_tests(&self) -> Self {
        let is_test_file = self.name.ends_with("/tests.rs") || self.name.contains("/tests/");
        let marks = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
        let tests = (0..self.words.len()).find(|at| {
            let mut here = marks.iter().enumerate();
            is_test_file || here.all(|(i, mark)| self.is(at + i, mark))
        });
        Self {
            name: self.name.clone(),
            lines: self.lines.clone(),
            words: self.words[..tests.unwrap_or(self.words.len())].to_vec(),
        }
    }

    /// Whether the braces that open on a line hold a word.
    pub fn group_has(&self, line: usize, text: &str) -> bool {
        let on_line = self.words.iter().skip_while(|word| word.line < line);
        let mut group = on_line.skip_while(|word| word.text != "{");
        group
            .by_ref()
            .take_while(|word| word.text != "}")
            .any(|word| word.text == text)
    }

    /// Whether the comment over a statement (at most four lines of it above) has this mark.
    pub fn is_explained(&self, line: usize, mark: &str) -> bool {
        let above = self.lines[..line].iter().rev();
        let mut code = 0;
        for text in above {
            let comment = text.trim_start();
            if comment.contains(mark) {
                return true;
            }
            if !comment.starts_with("//") && !comment.starts_with("#[") {
                code += 1;
            }
            let ends = comment.ends_with(';') || comment.ends_with('}') || comment.is_empty();
            if code > 5 || (code > 1 && ends) {
                return false;
            }
        }
        false
    }

    /// Every name below the crate's root that it reaches for.
    pub fn imports(&self) -> Vec<Import> {
        let mut found = Vec::new();
        let mut scopes: Vec<bool> = Vec::new();
        for at in 0..self.words.len() {
            match self.words[at].text.as_str() {
                "{" => scopes.push(at >= 2 && self.is(at - 2, "mod")),
                "}" => drop(scopes.pop()),
                "crate" | "hushpipe" if !self.is(at.wrapping_sub(1), "::") => {
                    self.below_root(at + 1, &mut found);
                }
                "super" if !self.is(at.wrapping_sub(1), "::") => {
                    let modules = scopes.iter().filter(|is_module| **is_module).count();
                    self.above(at, self.depth() + modules, &mut found);
                }
                _ => {}
            }
        }
        found
    }

    /// Follows `super::super::…`; what lies below the root counts.
    fn above(&self, mut at: usize, mut depth: usize, found: &mut Vec<Import>) {
        while self.is(at, "super") {
            depth = depth.saturating_sub(1);
            at += if self.is(at + 1, "::") { 2 } else { 1 };
        }
        if depth == 0 && self.is(at - 1, "::") {
            self.below_root(at - 1, found);
        }
    }

    /// Reads what follows `crate` at its `::`: a name, `*`, or a group of them.
    fn below_root(&self, at: usize, found: &mut Vec<Import>) {
        if !self.is(at, "::") {
            return;
        }
        if !self.is(at + 1, "{") {
            found.extend(self.words.get(at + 1).map(Word::import));
            return;
        }
        let mut depth = 0;
        for (index, word) in self.words.iter().enumerate().skip(at + 1) {
            match word.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ if depth == 1 && (self.is(index - 1, "{") || self.is(index - 1, ",")) => {
                    found.push(word.import());
                }
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Structs and enums, with their derives.
    pub fn types(&self) -> Vec<Type> {
        let mut found = Vec::new();
        let mut derives = Vec::new();
        for (at, word) in self.words.iter().enumerate() {
            match word.text.as_str() {
                "derive" if self.is(at + 1, "(") => {
                    let list = self.words[at + 2..].iter();
                    derives.extend(list.take_while(|w| w.text != ")").map(|w| w.text.clone()));
                }
                "struct" | "enum" | "union" => {
                    let name = self.words.get(at + 1).map(|word| word.text.clone());
                    let derives = std::mem::take(&mut derives);
                    found.extend(name.map(|name| Type { name, derives }));
                }
                "fn" | "mod" | "impl" => derives.clear(),
                _ => {}
            }
        }
        found
    }

    /// Each `impl TRAIT for TYPE`, by the last name of both.
    pub fn implementations(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (at, _) in self
            .words
            .iter()
            .enumerate()
            .filter(|(_, w)| w.text == "impl")
        {
            let head: Vec<&str> = self.words[at + 1..]
                .iter()
                .map(|word| word.text.as_str())
                .take_while(|text| !matches!(*text, "{" | ";" | "where"))
                .collect();
            let Some(middle) = head.iter().position(|text| *text == "for") else {
                continue;
            };
            let what = last_name(&head[..middle]);
            found.extend(what.zip(last_name(&head[middle + 1..])));
        }
        found
    }
}

impl Word {
    fn import(&self) -> Import {
        Import {
            name: self.text.clone(),
            line: self.line,
        }
    }
}

/// The last name of a path, without what stands in angle brackets.
fn last_name(path: &[&str]) -> Option<String> {
    let mut depth = 0;
    let mut last = None;
    for text in path {
        match *text {
            "<" => depth += 1,
            ">" => depth -= 1,
            name if depth == 0 && name.starts_with(|c: char| c.is_alphabetic()) => {
                last = Some(name.to_owned());
            }
            _ => {}
        }
    }
    last
}

/// Names, `::`, and single marks.
fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let end = if is_name(first) {
                rest.find(|c| !is_name(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let text = rest[..end].to_owned();
            found.push(Word { text, line });
            rest = rest[end..].trim_start();
        }
    }
    found
}

/// The text with comments, strings and characters blanked, line for line.
fn stripped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let before = out.chars().last();
        let end = blank_end(rest, before);
        if end == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push(' ');
            out.extend(rest[..end].chars().filter(|c| *c == '\n'));
            rest = &rest[end..];
        }
    }
    out
}

/// How many bytes of a comment, a string or a character start here; 0 for none.
fn blank_end(rest: &str, before: Option<char>) -> usize {
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return comment_end(rest);
    }
    if rest.starts_with('"') {
        return string_end(rest);
    }
    if !in_name && (rest.starts_with('r') || rest.starts_with("br")) {
        return raw_end(rest);
    }
    if rest.starts_with('\'') {
        return character_end(rest);
    }
    0
}

fn comment_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    text.len()
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn raw_end(text: &str) -> usize {
    let start = text.find('r').map_or(0, |at| at + 1);
    let hashes = text[start..].bytes().take_while(|b| *b == b'#').count();
    if !text[start + hashes..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = start + hashes + 1;
    text[body..]
        .find(&close)
        .map_or(text.len(), |at| body + at + close.len())
}

/// `'a'` and `'\n'`, not `'a` (a lifetime).
fn character_end(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => text[2..]
            .char_indices()
            .skip(1)
            .find(|(_, c)| *c == '\'')
            .map_or(0, |(at, _)| at + 3),
        Some(_) => match characters.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}
