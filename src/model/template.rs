//! What a `content:` template may use. The manifest checks names against it, the delivery room
//! implements it; a test there holds the two together.

/// Every filter, by name. Templates have no functions, no macros and no other filters, so that a
/// missing value cannot be papered over (there is no `default`).
pub const FILTERS: &[&str] = &[
    "b64decode",
    "b64encode",
    "dotenv",
    "hex",
    "indent",
    "ini",
    "json",
    "lower",
    "pg",
    "pgpass",
    "replace",
    "shell",
    "trim",
    "upper",
    "urlencode",
];
