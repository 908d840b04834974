//! What a `content:` template may use. The manifest checks names against the table, the delivery room
//! implements it, help and hushpipe-templates(7) show it; tests in the delivery room hold the examples.

use std::collections::BTreeSet;

use super::SecretRef;

/// A `content:` template that a manifest's check has read.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    names: BTreeSet<SecretRef>,
}

impl Template {
    /// A template of this text, which can be parsed, and the secrets and fields that it names.
    pub const fn new(text: String, names: BTreeSet<SecretRef>) -> Self {
        Self { text, names }
    }

    /// As the manifest has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The secrets and fields that it names.
    pub const fn names(&self) -> &BTreeSet<SecretRef> {
        &self.names
    }
}

/// A filter of templates.
pub struct Filter {
    /// As a template names it.
    pub name: &'static str,
    /// What it writes, and what it refuses.
    pub about: &'static str,
    /// A template in which `v` is the value; `db` has the fields `user` and `port` (a number).
    pub example: &'static str,
    /// A value for it.
    pub value: &'static str,
    /// What becomes of them.
    pub result: &'static str,
    /// What it does to the text around the value.
    pub kind: FilterKind,
}

/// What a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterKind {
    /// Its reader gets back exactly the value: nothing in it changes the text around it.
    Quotes,
    /// The same, in an alphabet that is safe everywhere.
    Encodes,
    /// The value is changed, and may still have anything in it.
    Changes,
}

/// Every filter, by name. Templates have no functions, no macros and no other filters, so that a
/// missing value cannot be papered over (there is no `default`).
pub const FILTERS: &[Filter] = &[
    Filter {
        name: "b64decode",
        about: "Decodes base64 (RFC 4648, with or without padding). Content that is this one insertion \
                may be any bytes: a keystore, a keytab, DER.",
        example: "{{ v | b64decode }}",
        value: "c2VjcmV0",
        result: "secret",
        kind: FilterKind::Changes,
    },
    Filter {
        name: "b64encode",
        about: "Encodes as base64, bytes too.",
        example: "{{ v | b64encode }}",
        value: "user:pass",
        result: "dXNlcjpwYXNz",
        kind: FilterKind::Encodes,
    },
    Filter {
        name: "dotenv",
        about: "Writes a value of a .env file, quoted as all its readers want it; refuses what they read \
                differently. With expand=true, $NAME is left to the reader.",
        example: "PASSWORD={{ v | dotenv }}",
        value: "p$ss word",
        result: "PASSWORD='p$ss word'",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "hex",
        about: "Encodes as hexadecimal digits, bytes too.",
        example: "{{ v | hex }}",
        value: "key",
        result: "6b6579",
        kind: FilterKind::Encodes,
    },
    Filter {
        name: "indent",
        about: "Moves each line but the first right by so many spaces, for a block in YAML; with a second \
                argument, true, the first as well.",
        example: "key: |\n  {{ v | indent(2) }}",
        value: "line 1\nline 2",
        result: "key: |\n  line 1\n  line 2",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "ini",
        about: "Writes a double-quoted value as Git and MySQL option files read it; other readers of INI \
                files may not know quotes.",
        example: "password = {{ v | ini }}",
        value: "a\"b;c",
        result: "password = \"a\\\"b;c\"",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "json",
        about: "Writes JSON: text in quotes; numbers, booleans, lists and objects with their types, numbers \
                as the store has them; a secret with fields as an object. Also right for YAML and TOML.",
        example: "{{ db | json }}",
        value: "",
        result: "{\"port\":5432,\"user\":\"app\"}",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "lower",
        about: "Writes lower case letters.",
        example: "{{ v | lower }}",
        value: "ABC",
        result: "abc",
        kind: FilterKind::Changes,
    },
    Filter {
        name: "pg",
        about: "Writes a value of a libpq connection string.",
        example: "host=db password={{ v | pg }}",
        value: "it's",
        result: "host=db password='it\\'s'",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "pgpass",
        about: "Writes a field of .pgpass; refuses line breaks.",
        example: "db:5432:*:app:{{ v | pgpass }}",
        value: "a:b",
        result: "db:5432:*:app:a\\:b",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "properties",
        about: "Writes a value or a key's part in a Java .properties file. What is not ASCII is written as \
                \\uXXXX. Spring still replaces ${...} in what it reads.",
        example: "password={{ v | properties }}",
        value: "a\\b:c",
        result: "password=a\\\\b\\:c",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "raw",
        about: "Writes the value as it is, on purpose: `check` does not warn of it.",
        example: "password={{ v | raw }}",
        value: "as it is",
        result: "password=as it is",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "replace",
        about: "Writes the second text in place of the first.",
        example: "{{ v | replace('-', '_') }}",
        value: "a-b",
        result: "a_b",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "shell",
        about: "Writes one word of a POSIX shell.",
        example: "export PASSWORD={{ v | shell }}",
        value: "it's $5",
        result: "export PASSWORD='it'\\''s $5'",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "sql",
        about: "Writes a string of standard SQL; refuses backslashes, which MySQL and PostgreSQL read \
                differently.",
        example: "ALTER ROLE app PASSWORD {{ v | sql }};",
        value: "it's",
        result: "ALTER ROLE app PASSWORD 'it''s';",
        kind: FilterKind::Quotes,
    },
    Filter {
        name: "trim",
        about: "Removes white space and line ends at both ends. `trim: true` on a secret removes line ends \
                at the end alone, for every use.",
        example: "DSN=app;PWD={{ v | trim }};",
        value: "secret\n",
        result: "DSN=app;PWD=secret;",
        kind: FilterKind::Changes,
    },
    Filter {
        name: "upper",
        about: "Writes upper case letters.",
        example: "{{ v | upper }}",
        value: "abc",
        result: "ABC",
        kind: FilterKind::Changes,
    },
    Filter {
        name: "urlencode",
        about: "Writes part of a URL: everything but letters, digits and -._~ as %XX.",
        example: "postgres://app:{{ v | urlencode }}@db/app",
        value: "p@ss/w",
        result: "postgres://app:p%40ss%2Fw@db/app",
        kind: FilterKind::Encodes,
    },
    Filter {
        name: "xml",
        about: "Writes text or an attribute's value in XML; refuses characters that XML 1.0 cannot carry. \
                Not for comments and CDATA sections.",
        example: "<user password=\"{{ v | xml }}\"/>",
        value: "a<b&\"",
        result: "<user password=\"a&lt;b&amp;&quot;\"/>",
        kind: FilterKind::Quotes,
    },
];

/// The filter of this name.
pub fn filter(name: &str) -> Option<&'static Filter> {
    FILTERS.iter().find(|filter| filter.name == name)
}

/// Their names, in order.
pub fn filter_names() -> impl Iterator<Item = &'static str> + Clone {
    FILTERS.iter().map(|filter| filter.name)
}
