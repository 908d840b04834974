//! Names of fields in messages. They come from a store, and what looks like a name may be a value: a
//! base64 key with padding is `NAME=` in a .env file. So they are counted and never listed; one is
//! shown only where it nearly is the name that the manifest has.

use std::fmt;

/// What is said of the fields that are there, when the one that was asked for is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    count: usize,
    near: Option<String>,
}

impl Fields {
    /// Without a name that is looked for.
    pub(super) const fn counted(count: usize) -> Self {
        Self { count, near: None }
    }

    /// Looks for a name that was meant by `asked`.
    pub(super) fn near<'n>(asked: &str, names: impl ExactSizeIterator<Item = &'n String>) -> Self {
        let count = names.len();
        let wanted = folded(asked);
        let limit = wanted.chars().count() / 3;
        let distance = |name: &&String| strsim::osa_distance(&folded(name), &wanted);
        let near = names
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
            .filter(|name| name.len().abs_diff(asked.len()) <= limit.min(2))
            .filter(|name| distance(name) <= limit.min(2))
            .min_by_key(distance);
        Self {
            count,
            near: near.cloned(),
        }
    }
}

/// Case, `-` and `_` are what is mixed up most.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, &self.near) {
            (_, Some(near)) => write!(f, "did you mean `{near}`?"),
            (0, None) => f.write_str("it has no fields"),
            (1, None) => f.write_str("it has 1 field, whose name is not shown"),
            (count, None) => write!(f, "it has {count} fields, whose names are not shown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(asked: &str, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Fields::near(asked, names.iter()).to_string()
    }

    #[test]
    fn a_name_is_shown_only_where_the_manifest_nearly_has_it() {
        for (asked, names, near) in [
            ("pasword", &["password", "user"][..], "password"),
            ("PASSWORD", &["password"], "password"),
            ("api_key", &["API-KEY", "apikeys"], "API-KEY"),
        ] {
            assert_eq!(said(asked, names), format!("did you mean `{near}`?"));
        }
        for (asked, names) in [
            ("password", &["kZ3p_Vt0c-Fernet"][..]),
            ("pw", &["pin"]),
            ("password", &["pass\u{1b}word"]),
            ("token", &["hunter2", "t0k3n"]),
        ] {
            let said = said(asked, names);
            assert!(said.ends_with("not shown"), "{said}");
            assert!(!names.iter().any(|name| said.contains(name)), "{said}");
        }
        assert_eq!(said("a", &[]), "it has no fields");
    }
}
