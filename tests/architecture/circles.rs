//! That no files use each other in a circle.
//!
//! An edge goes from a file to the file that defines an item it names: in a `use`, or in a path by
//! `crate::`, `super::`, `self::`, a child module or an imported module. Declaring and re-exporting
//! a child is no edge: what the other files name is looked up behind the re-export.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Source;
use super::{assert_none, sources};

/// A `use`: the name it brings into the file (`*` for all), and where that lies.
struct Use {
    name: String,
    path: Vec<String>,
    public: bool,
}

/// What a file defines and names. Paths start at the crate's root.
#[derive(Default)]
struct File {
    name: String,
    defines: BTreeSet<String>,
    uses: Vec<Use>,
    paths: BTreeSet<Vec<String>>,
    /// Names that are no part of a path.
    bare: BTreeSet<String>,
}

/// All files of the crate, by the path of their module.
struct Files(BTreeMap<Vec<String>, File>);

/// From a file to those it uses, each by one of the paths that say so.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// The module that a file is: `src/sys/child/mod.rs` is sys, child.
fn module(name: &str) -> Option<Vec<String>> {
    let path = name.strip_prefix("src/")?.strip_suffix(".rs")?;
    let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    Some(match parts.last()?.as_str() {
        "mod" => parts[..parts.len() - 1].to_vec(),
        "lib" if parts.len() == 1 => Vec::new(),
        "main" if parts.len() == 1 => return None,
        _ => parts,
    })
}

/// The files without what is compiled for tests alone.
fn files(all: &[Source]) -> Files {
    let mut read = BTreeMap::new();
    let mut tests: BTreeSet<Vec<String>> = BTreeSet::new();
    for source in all {
        let Some(module) = module(&source.name) else {
            continue;
        };
        let mut reader = Reader::new(source, module.clone());
        reader.read();
        tests.extend(reader.tests);
        read.insert(module, reader.file);
    }
    read.retain(|module, file| {
        let is_test = |depth| tests.contains(&module[..depth]);
        !(file.name.contains("tests") || (0..=module.len()).any(is_test))
    });
    let mut files = Files(read);
    files.name_modules();
    files
}

struct Reader<'a> {
    words: Vec<&'a str>,
    at: usize,
    /// The module that the words lie in: the file's, and those within it.
    module: Vec<String>,
    /// For each open brace, whether a module within the file began there.
    scopes: Vec<bool>,
    file: File,
    /// Modules that are declared for tests alone.
    tests: Vec<Vec<String>>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source, module: Vec<String>) -> Self {
        Self {
            words: source.texts().collect(),
            at: 0,
            module,
            scopes: Vec::new(),
            file: File {
                name: source.name.clone(),
                ..File::default()
            },
            tests: Vec::new(),
        }
    }

    fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_default()
    }

    fn read(&mut self) {
        while self.at < self.words.len() {
            let before = self.word(self.at.wrapping_sub(1));
            let next = self.word(self.at + 1);
            match self.word(self.at) {
                "#" if self.words[self.at..].starts_with(&["#", "[", "cfg", "(", "test", ")"]) => {
                    self.skip_test();
                    continue;
                }
                "{" => self.open(),
                "}" => self.close(),
                "use" if next != "<" => {
                    self.read_use(matches!(before, "pub" | ")"));
                    continue;
                }
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
                | "macro_rules" => self.define(),
                _ if next == "::" && !matches!(before, "::" | "." | "mod") => {
                    self.read_path();
                    continue;
                }
                name if is_name(name) && !matches!(before, "::" | "." | "mod") => {
                    self.file.bare.insert(name.to_owned());
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn open(&mut self) {
        let is_module = self.word(self.at.wrapping_sub(2)) == "mod";
        if is_module {
            self.module.push(self.word(self.at - 1).to_owned());
        }
        self.scopes.push(is_module);
    }

    fn close(&mut self) {
        if self.scopes.pop() == Some(true) {
            self.module.pop();
        }
    }

    /// Skips an item that only tests have.
    fn skip_test(&mut self) {
        let mut depth = 0;
        while self.at < self.words.len() {
            match self.word(self.at) {
                "mod" if depth == 0 => {
                    let name = self.word(self.at + 1).to_owned();
                    self.tests.push([self.module.clone(), vec![name]].concat());
                }
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            let ends = matches!(self.word(self.at), "}" | ";" | ",");
            if ends && depth <= 0 {
                // The brace of what the item is in is left to be read.
                self.at += usize::from(depth == 0);
                return;
            }
            self.at += 1;
        }
    }

    /// An item at the top of the file.
    fn define(&mut self) {
        if self.scopes.iter().all(|is_module| *is_module) {
            let mut names = self.words[self.at + 1..].iter();
            let is_name = |word: &&&str| !matches!(**word, "fn" | "mut" | "!" | "unsafe");
            let name = names.find(is_name).copied().unwrap_or_default();
            self.file.defines.insert(name.to_owned());
        }
    }

    /// Names up to where a path ends; `at` is left behind it.
    fn segments(&mut self) -> Vec<&'a str> {
        let mut path = vec![self.word(self.at)];
        self.at += 1;
        while self.word(self.at) == "::" && is_name(self.word(self.at + 1)) {
            path.push(self.word(self.at + 1));
            self.at += 2;
        }
        path
    }

    fn read_path(&mut self) {
        let path = self.segments();
        if let Some(path) = self.rooted(&path) {
            self.file.paths.insert(path);
        }
    }

    /// A path from the crate's root; `None` where its first name says nothing of this crate yet.
    fn rooted(&self, path: &[&str]) -> Option<Vec<String>> {
        let (mut base, mut rest) = match path[0] {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (self.module.clone(), &path[1..]),
            "super" => (self.module.clone(), path),
            // A child, an imported name, or another crate's.
            name if is_name(name) => (self.module.clone(), path),
            _ => return None,
        };
        while rest.first() == Some(&"super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().map(|&name| name.to_owned()));
        Some(base)
    }

    fn read_use(&mut self, public: bool) {
        self.at += 1;
        self.read_tree(&mut Vec::new(), public);
    }

    /// One branch of a `use`, up to its `;`, `,` or `}`.
    fn read_tree(&mut self, prefix: &mut Vec<&'a str>, public: bool) {
        let start = prefix.len();
        loop {
            match self.word(self.at) {
                "{" => {
                    self.at += 1;
                    while self.word(self.at) != "}" {
                        self.read_tree(prefix, public);
                        self.at += usize::from(self.word(self.at) == ",");
                    }
                    self.at += 1;
                    break;
                }
                "::" => self.at += 1,
                "self" if !prefix.is_empty() => self.at += 1,
                name if is_name(name) || name == "*" => {
                    prefix.push(name);
                    self.at += 1;
                }
                _ => break,
            }
            let ends = matches!(self.word(self.at), ";" | "," | "}" | "");
            if ends || self.word(self.at) == "as" {
                self.add_use(prefix, public);
                break;
            }
        }
        prefix.truncate(start);
    }

    fn add_use(&mut self, path: &[&str], public: bool) {
        let mut name = *path.last().unwrap_or(&"");
        if self.word(self.at) == "as" {
            name = self.word(self.at + 1);
            self.at += 2;
        }
        let Some(path) = self.rooted(path) else {
            return;
        };
        let name = name.to_owned();
        self.file.uses.push(Use { name, path, public });
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

impl Files {
    /// Follows the first name of each path where it is an imported one: `wrap::unit` after
    /// `use super::wrap`.
    fn name_modules(&mut self) {
        for (module, file) in &mut self.0 {
            let paths = std::mem::take(&mut file.paths);
            for path in paths {
                let local = path.strip_prefix(module.as_slice());
                let first = local.and_then(|rest| rest.first());
                let of = |import: &&Use| Some(&import.name) == first && import.path != path;
                let full = file.uses.iter().find(of).map(|import| {
                    let rest = path[module.len() + 1..].to_vec();
                    [import.path.clone(), rest].concat()
                });
                file.paths.insert(full.unwrap_or(path));
            }
        }
    }

    /// The files that define what a path names; none for a module as such.
    fn definers(&self, path: &[String], steps: usize) -> Vec<&File> {
        let depth = (0..=path.len())
            .rev()
            .find(|n| self.0.contains_key(&path[..*n]));
        let (module, rest) = path.split_at(depth.unwrap_or_default());
        let Some(name) = rest.first() else {
            return self.behind(module, steps);
        };
        let file = &self.0[module];
        if file.defines.contains(name) {
            return vec![file];
        }
        match self.import(file, name, steps) {
            Some(import) => {
                let path = [&import.path, &rest[1..]].concat();
                self.definers(&path, steps - 1)
            }
            None => vec![file],
        }
    }

    /// A module's name may be a function's as well, re-exported beside it.
    fn behind(&self, module: &[String], steps: usize) -> Vec<&File> {
        let Some((name, parent)) = module.split_last() else {
            return Vec::new();
        };
        let file = self.0.get(parent);
        let import = file.and_then(|file| self.import(file, name, steps));
        let import = import.filter(|import| import.path != module);
        import.map_or_else(Vec::new, |import| self.definers(&import.path, steps - 1))
    }

    fn import<'a>(&self, file: &'a File, name: &str, steps: usize) -> Option<&'a Use> {
        let is_it = |import: &&Use| {
            let of_this_crate = self
                .0
                .contains_key(&import.path[..1.min(import.path.len())]);
            import.name == name && of_this_crate && steps > 0
        };
        file.uses.iter().find(is_it)
    }

    /// A re-exported name counts where the file uses it itself.
    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (module, file) in &self.0 {
            let is_used = |import: &&Use| !import.public || file.bare.contains(&import.name);
            let imports = file.uses.iter().filter(is_used).map(|import| &import.path);
            let used = imports.chain(&file.paths);
            for path in used {
                let glob = path.last().is_some_and(|name| name == "*");
                let path = &path[..path.len() - usize::from(glob)];
                // Another crate's name, a variant's or a type's of this file.
                let outside = path.starts_with(module) && {
                    let child = &path[..(module.len() + 1).min(path.len())];
                    !self.0.contains_key(child)
                };
                if outside {
                    continue;
                }
                let whole = self.0.get(path).filter(|_| glob);
                for other in self.definers(path, 8).into_iter().chain(whole) {
                    let to = edges.entry(file.name.clone()).or_default();
                    if other.name != file.name {
                        to.insert(other.name.clone(), path.join("::"));
                    }
                }
            }
        }
        edges
    }
}

/// All that can be reached from a file.
fn reached<'a>(edges: &'a Edges, from: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(file) = todo.pop() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next.as_str()) {
                todo.push(next);
            }
        }
    }
    found
}

/// The largest sets of files that all use each other, over others or at once.
fn circles(edges: &Edges) -> BTreeSet<BTreeSet<&str>> {
    let ways: BTreeMap<&str, BTreeSet<&str>> = edges
        .keys()
        .map(|file| (file.as_str(), reached(edges, file)))
        .collect();
    let mut found = BTreeSet::new();
    for (file, to) in ways.iter().filter(|(file, to)| to.contains(*file)) {
        let back = |other: &&str| ways.get(other).is_some_and(|ways| ways.contains(file));
        found.insert(to.iter().copied().filter(back).collect());
    }
    found
}

fn told(edges: &Edges, circle: &BTreeSet<&str>) -> String {
    let mut lines = Vec::new();
    for file in circle {
        for (to, path) in edges[*file]
            .iter()
            .filter(|(to, _)| circle.contains(to.as_str()))
        {
            lines.push(format!("    {file} -> {to}: {path}"));
        }
    }
    format!("a circle of {} files:\n{}", circle.len(), lines.join("\n"))
}

#[test]
fn files_use_each_other_in_no_circle() {
    let all = sources("src");
    let edges = files(all).edges();
    let found = circles(&edges);
    let faults: Vec<String> = found.iter().map(|circle| told(&edges, circle)).collect();
    assert_none("circles between files", &faults);
}

/// The check itself.
mod sees {
    use super::*;

    /// Each file with its text; what the check finds.
    fn found(all: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<Source> = all
            .iter()
            .map(|(name, text)| Source::new(name, text))
            .collect();
        let edges = files(&sources).edges();
        let names = |circle: BTreeSet<&str>| circle.into_iter().map(str::to_owned).collect();
        circles(&edges).into_iter().map(names).collect()
    }

    #[test]
    fn two_that_use_each_other_by_whatever_path() {
        for (use_b, use_a) in [
            ("use super::b::B;", "use super::a::A;"),
            (
                "use crate::x::{b::{self, C}, d};\nfn f(_: b::B) {}",
                "fn g(_: crate::x::a::A) {}",
            ),
            ("use super::B as C;", "fn g(_: super::a::A) {}"),
        ] {
            let all = [
                (
                    "src/x/mod.rs",
                    "mod a; mod b; pub use a::A; pub use b::{B};",
                ),
                ("src/x/a.rs", &format!("{use_b} pub struct A;")),
                ("src/x/b.rs", &format!("{use_a} pub struct B;")),
            ];
            assert_eq!(found(&all), [["src/x/a.rs", "src/x/b.rs"]], "{use_b}");
        }
    }

    #[test]
    fn a_parent_that_uses_the_child_that_uses_it() {
        let child = ("src/x/a.rs", "use super::B; pub struct A(B);");
        let uses = (
            "src/x/mod.rs",
            "mod a; pub use a::A; pub struct B; fn f() -> A {}",
        );
        assert_eq!(found(&[uses, child]).len(), 1);
        let hands_on = ("src/x/mod.rs", "mod a; pub use a::A; pub struct B;");
        assert!(found(&[hands_on, child]).is_empty());
    }

    #[test]
    fn nothing_in_tests_and_in_one_direction() {
        let all = [
            (
                "src/x/mod.rs",
                "mod a;\n#[cfg(test)]\nmod b; #[cfg(test)] use a::A; pub struct C;",
            ),
            (
                "src/x/a.rs",
                "use super::C; pub struct A; #[cfg(test)] mod tests { use super::super::b::B; }",
            ),
            ("src/x/b.rs", "use super::a::A; pub struct B;"),
        ];
        assert!(found(&all).is_empty());
    }
}
