//! What kind of file a text is from: how strictly names and values are read there.

/// How assignments look in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Values are literals in quotes; what has none is an expression.
    Code,
    /// Values may stand without quotes: settings, scripts of a shell, variables of a process.
    Config,
    /// Text for people, and what nothing is known of.
    Prose,
    /// Digests and generated text: tokens alone are looked for.
    Generated,
}

const CODE: &str = " c cc cpp cxx h hh hpp hxx m mm rs go py pyi pyx rb js jsx mjs cjs ts tsx mts cts java \
    kt kts scala groovy swift cs fs vb php phtml php3 php5 inc pl pm tcl lua r jl ex exs erl hrl hs elm clj cljs lisp el \
    dart nim zig v sol vue svelte d pas f90 asm s ml mli coffee gradle vim awk ipynb ";

const CONFIG: &str = " env ini cfg conf cnf config properties props toml yaml yml json json5 jsonc xml plist tf \
    tfvars tfstate hcl sh bash zsh fish ksh service socket mount timer target override container env local sql ldif rc \
    settings credentials netrc reg ps1 bat cmd htaccess dump bak old orig save nix jsonnet cue log history \
    dockerfile pp j2 tpl erb ovpn ";

const GENERATED: &str = " lock sum map snap svg css scss less po pot min srt sha256 md5 asc sig pub crt cer \
    patch hunspell dic aff ttf html htm ";

/// Names of files without a suffix that say nothing of their kind.
const GENERATED_NAMES: [&str; 8] = [
    "package-lock.json",
    "npm-shrinkwrap.json",
    "composer.lock",
    "go.sum",
    ".cargo-checksum.json",
    ".package-lock.json",
    "authorized_keys",
    "known_hosts",
];

/// Words of paths whose files are vectors of cryptographic tests: every other line has a key.
const VECTORS: [&str; 7] = [
    "vectors",
    "vector",
    "testvectors",
    "testkit",
    "kat",
    "acvp",
    "wycheproof",
];

/// Words of paths whose files are for tests, or show how something is done.
const TESTS: [&str; 16] = [
    "test", "tests", "testing", "testdata", "spec", "specs", "fixture", "fixtures", "mock",
    "mocks", "example", "examples", "sample", "samples", "demo", "benches",
];

impl Kind {
    /// By the name of a file.
    pub fn of(path: &str) -> Self {
        // Behind a `!` is a path within an image.
        let name = path.rsplit(['/', '!']).next().unwrap_or(path);
        if GENERATED_NAMES.contains(&name) || name.ends_with(".min.js") || name.contains(".d.ts") {
            return Self::Generated;
        }
        if has_word(path, &VECTORS) {
            return Self::Generated;
        }
        let lower = name.to_ascii_lowercase();
        if lower.starts_with(".env") || lower.starts_with("dockerfile") {
            return Self::Config;
        }
        let Some((stem, suffix)) = lower.rsplit_once('.') else {
            return Self::Config;
        };
        if stem.is_empty() {
            return Self::Config;
        }
        let has = |list: &str| {
            let mut words = list.split_ascii_whitespace();
            words.any(|word| word == suffix)
        };
        match () {
            () if has(CODE) => Self::Code,
            () if has(CONFIG) => Self::Config,
            () if has(GENERATED) => Self::Generated,
            () => Self::Prose,
        }
    }
}

/// Whether a path speaks of tests or examples.
pub fn is_test(path: &str) -> bool {
    has_word(path, &TESTS) || has_word(path, &VECTORS)
}

fn has_word(path: &str, list: &[&str]) -> bool {
    let mut words = path.split(['/', '.', '_', '-']);
    words.any(|word| list.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        for (path, kind) in [
            ("a/b.rs", Kind::Code),
            ("a/.env.local", Kind::Config),
            ("a/.npmrc", Kind::Config),
            ("Dockerfile.prod", Kind::Config),
            ("a/notes.md", Kind::Prose),
            ("Cargo.lock", Kind::Generated),
            ("a/jquery.min.js", Kind::Generated),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
        assert!(is_test("src/tests/a.py") && is_test("a_test.go") && !is_test("src/latest.py"));
    }
}
