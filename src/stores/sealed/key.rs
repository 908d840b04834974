//! Names of secrets in the sealed store.

use std::fmt;
use std::path::{Path, PathBuf};

/// The name of a secret in the store: a relative path such as `stripe/token`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Why a name was refused. The message says what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(&'static str);

const MAX_NAME: usize = 512;
const MAX_COMPONENT: usize = 200;

impl Key {
    /// Checks the name and takes it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError("a name cannot be empty"));
        }
        if text.starts_with('/') {
            return Err(KeyError(
                "a name is relative to the store: it does not start with /",
            ));
        }
        if text.len() > MAX_NAME {
            return Err(KeyError("a name has at most 512 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(KeyError("a name has no control characters"));
        }
        text.split('/').try_for_each(check_component)?;
        Ok(Self(text.to_owned()))
    }

    /// Checks the name of a new secret: what is easily mistaken for something else is refused.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if text.contains('=') {
            return Err(KeyError(
                "a name has no = in it: the value comes from --file, a pipe or a prompt",
            ));
        }
        let has_ends = |part: &str| part != part.trim();
        if text.split('/').any(has_ends) {
            return Err(KeyError(
                "a name has no white space at the ends of its parts",
            ));
        }
        Self::parse(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its directory, relative to the store's `secrets`.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(&self.0)
    }
}

fn check_component(component: &str) -> Result<(), KeyError> {
    match component {
        "" => Err(KeyError("a name has no empty part: a/b, not a//b or a/")),
        "." | ".." => Err(KeyError("a name has no . or .. in it")),
        _ if component.starts_with(['.', '-']) => {
            Err(KeyError("no part of a name starts with . or -"))
        }
        // Such names are those of a secret's own files.
        _ if has_age_extension(component) => Err(KeyError("no part of a name ends with .age")),
        _ if component.len() > MAX_COMPONENT => {
            Err(KeyError("a part of a name has at most 200 bytes"))
        }
        _ => Ok(()),
    }
}

fn has_age_extension(component: &str) -> bool {
    Path::new(component)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("age"))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_that_stay_within_the_store() {
        for good in [
            "token",
            "stripe/token",
            "a.b/c-d_e",
            "Größe",
            "a b",
            "current",
        ] {
            assert!(Key::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "..",
            "a/../b",
            "a/./b",
            ".hidden",
            "a/.b",
            "-x",
            "a/-x",
            "a\nb",
            "a\0b",
            "a/1.age",
            "\u{7f}",
        ] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Key::parse(&"a".repeat(201)).is_err());
        assert!(Key::parse(&"ab/".repeat(200)).is_err());
    }
}
