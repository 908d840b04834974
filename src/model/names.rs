//! Names of stores and secrets, references to them, and places in a manifest.

use std::fmt;

use serde::Serialize;

/// A position in a manifest: 1-based line and column (in characters), for messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("a name cannot be empty")]
    Empty,
    /// It is longer than 64 bytes.
    #[error("a name has at most 64 characters")]
    TooLong,
    /// It starts with something else than a letter, or has something else than letters, digits
    /// and `_`; store names may also have `-`.
    #[error("invalid character {0:?}: use letters, digits and `_`, a letter first")]
    Character(char),
    /// It is a word of templates, which mean something else by it.
    #[error("templates reserve this word: choose another name; the `key` in the store can stay")]
    Word,
}

/// What a template reads as something else than a variable.
const TEMPLATE_WORDS: [&str; 18] = [
    "true", "True", "false", "False", "none", "None", "null", "self", "super", "loop", "not",
    "and", "or", "in", "is", "if", "else", "for",
];

fn check_name(text: &str, also: &[char], words: &[&str]) -> Result<(), NameError> {
    if words.contains(&text) {
        return Err(NameError::Word);
    }
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if text.len() > 64 {
        return Err(NameError::TooLong);
    }
    if !first.is_ascii_alphabetic() {
        return Err(NameError::Character(first));
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || also.contains(c)))
    {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $also:expr, $words:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text, &$also, &$words).map(|()| Self(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a store in a manifest.
    StoreName,
    ['-'],
    []
);
name!(
    /// The name of a secret in a manifest: also an identifier in templates, so no `-`.
    SecretName,
    [],
    TEMPLATE_WORDS
);

/// `db` or `db.password`: a whole secret, or one field of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// Which secret.
    pub secret: SecretName,
    /// Which field of it; `None` is the whole value.
    pub field: Option<String>,
}

impl SecretRef {
    /// Parses `name` or `name.field`. A field may hold anything but control characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (name, field) = match text.split_once('.') {
            Some((name, field)) => (name, Some(field)),
            None => (text, None),
        };
        if let Some(field) = field {
            if field.is_empty() {
                return Err(NameError::Empty);
            }
            if let Some(c) = field.chars().find(|c| c.is_control()) {
                return Err(NameError::Character(c));
            }
        }
        Ok(Self {
            secret: SecretName::new(name)?,
            field: field.map(str::to_owned),
        })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}.{field}", self.secret),
            None => write!(f, "{}", self.secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_start_with_a_letter() {
        assert!(SecretName::new("db_1").is_ok());
        assert_eq!(SecretName::new("1db"), Err(NameError::Character('1')));
        assert_eq!(SecretName::new("a-b"), Err(NameError::Character('-')));
        assert!(StoreName::new("a-b").is_ok());
        assert_eq!(SecretName::new(""), Err(NameError::Empty));
        for word in TEMPLATE_WORDS {
            assert_eq!(SecretName::new(word), Err(NameError::Word), "{word}");
            assert!(StoreName::new(word).is_ok());
        }
        assert!(SecretName::new("nonesuch").is_ok());
    }

    #[test]
    fn a_reference_names_a_secret_and_perhaps_a_field() {
        let whole = SecretRef::parse("db").unwrap();
        assert_eq!(whole.field, None);
        let field = SecretRef::parse("db.tls.key").unwrap();
        assert_eq!(field.field.as_deref(), Some("tls.key"));
        assert!(SecretRef::parse("db.").is_err());
    }
}
