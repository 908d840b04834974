//! Patterns of OpenSSH's: PATTERNS in ssh_config(5).

/// Whether a text matches a pattern with `*` (any number of characters) and `?` (one). As match.c: by
/// bytes, and in time that is bounded by the product of both lengths.
pub fn matches(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut t, mut p) = (0, 0);
    // Where the last `*` is, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (t, p) = (t + 1, p + 1),
            Some(&byte) if byte == text[t] => (t, p) = (t + 1, p + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (t, p) = (taken + 1, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// A list of patterns, each perhaps negated by `!`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternList(String);

impl PatternList {
    /// Parts at commas.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether a pattern of it matches, and none that is negated.
    pub fn matches(&self, text: &str) -> bool {
        let mut found = false;
        for pattern in self.0.split(',') {
            match pattern.strip_prefix('!') {
                Some(negated) if matches(text, negated) => return false,
                Some(_) => {}
                None => found |= matches(text, pattern),
            }
        }
        found
    }

    /// The names that it lists and matches, where all of its patterns are names.
    pub fn names(&self) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        for pattern in self.0.split(',').filter(|one| !one.is_empty()) {
            let negated = pattern.starts_with('!');
            if !negated && pattern.contains(['*', '?']) {
                return None;
            }
            if !negated && self.matches(pattern) {
                names.push(pattern);
            }
        }
        Some(names).filter(|names| !names.is_empty())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_opensshs_do() {
        for (text, pattern) in [
            ("", ""),
            ("", "*"),
            ("alice", "alice"),
            ("alice", "a*e"),
            ("alice", "a??ce"),
            ("alice@example.com", "*@example.com"),
            ("aXbXc", "a*X*c"),
            ("aab", "*ab"),
        ] {
            assert!(matches(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("alice", ""),
            ("", "?"),
            ("alice", "alic"),
            ("alic", "alice"),
            ("alice@example.com.evil", "*@example.com"),
            ("ALICE", "alice"),
        ] {
            assert!(!matches(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn a_negated_pattern_wins_wherever_it_is() {
        for list in ["*@example.com,!mallory@example.com", "!mallory@*,*"] {
            let list = PatternList::new(list);
            assert!(list.matches("alice@example.com"));
            assert!(!list.matches("mallory@example.com"));
        }
        assert!(!PatternList::new("!alice").matches("bob"));
    }

    #[test]
    fn names_are_those_of_lists_without_wildcards() {
        let names = |list: &'static str| {
            let list = PatternList::new(list);
            list.names()
                .map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(names("a,b"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(names("a,!b"), Some(vec!["a".into()]));
        assert_eq!(names("a,b,!b*"), Some(vec!["a".into()]));
        for none in ["*", "a,b*", "!a", ""] {
            assert_eq!(names(none), None, "{none}");
        }
    }
}
