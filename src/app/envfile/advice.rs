//! Which variables of a .env file are worth to be sealed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::app::exposed::SHORTEST;
use crate::stores::format::Entry;

/// What may be known of a variable.
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether to seal it.
    pub advice: Advice,
    /// Variables of hushpipe's own environment that have its value too. No program starts while they
    /// do: they have to be taken out.
    pub exported: Vec<String>,
}

/// Whether to seal a variable, where nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It may be a secret.
    Seal,
    /// Its value is a word or a number that anybody would guess, such as `development` or `3000`.
    Common,
    /// Its value stands in this variable, which every program has, such as PWD: no program would
    /// start with it sealed, and it is no secret.
    Everywhere(String),
}

/// What everybody writes: to know one of them is to know nothing.
const COMMON: [&str; 33] = [
    "",
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "none",
    "null",
    "auto",
    "default",
    "development",
    "dev",
    "production",
    "prod",
    "test",
    "testing",
    "staging",
    "local",
    "debug",
    "info",
    "notice",
    "warn",
    "warning",
    "error",
    "trace",
    "verbose",
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "utc",
    "en_us.utf-8",
];

/// Variables that every program has, or nearly.
const EVERYWHERE: [&str; 17] = [
    "PWD",
    "OLDPWD",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "HOSTNAME",
    "LANG",
    "TERM",
    "MAIL",
    "TMPDIR",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "EDITOR",
    "_",
];

pub(super) fn of(
    entry: &Entry,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Variable<'_> {
    let value = entry.value.expose();
    let is_long = value.len() >= SHORTEST;
    let standing = environment
        .filter(|(_, held)| is_long && memchr::memmem::find(held.as_bytes(), value).is_some())
        .map(|(name, _)| name.to_string_lossy().into_owned());
    let (everywhere, exported): (Vec<_>, Vec<_>) = standing.partition(|name| is_everywhere(name));
    let advice = match everywhere.into_iter().next() {
        Some(name) => Advice::Everywhere(name),
        None if is_common(value) => Advice::Common,
        None => Advice::Seal,
    };
    Variable {
        name: &entry.name,
        advice,
        exported,
    }
}

fn is_everywhere(name: &str) -> bool {
    EVERYWHERE.contains(&name)
        || ["XDG_", "LC_", "SSH_"]
            .iter()
            .any(|start| name.starts_with(start))
}

fn is_common(value: &[u8]) -> bool {
    let number = value.len() <= 5 && value.iter().all(u8::is_ascii_digit);
    number
        || COMMON
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretBytes;
    use crate::stores::format::dotenv_entries;

    fn advice(line: &str, environment: &[(&str, &str)]) -> (Advice, Vec<String>) {
        let bytes = SecretBytes::new(line.as_bytes().to_vec());
        let entries = dotenv_entries(&bytes).ok().unwrap();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let variable = of(&entries[0], environment);
        (variable.advice, variable.exported)
    }

    #[test]
    fn what_anybody_would_guess_is_no_secret_and_all_else_may_be() {
        for line in [
            "A=",
            "A=3000",
            "A=Development",
            "PASSWORD=false",
            "A='localhost'",
        ] {
            assert_eq!(advice(line, &[]).0, Advice::Common, "{line}");
        }
        for line in [
            "A=x",
            "PIN=123456",
            "DEBUG=yess",
            "A=hunter2",
            "A=localhost:5432",
        ] {
            assert_eq!(advice(line, &[]).0, Advice::Seal, "{line}");
        }
    }

    #[test]
    fn a_value_of_the_environment_is_told() {
        let environment = [
            ("PWD", "/home/a/project"),
            ("KEY", "sk-0123456789"),
            ("X", "short"),
        ];
        let everywhere = (Advice::Everywhere("PWD".to_owned()), Vec::new());
        assert_eq!(advice("DIR=/home/a/project", &environment), everywhere);
        let exported = (Advice::Seal, vec!["KEY".to_owned()]);
        assert_eq!(advice("KEY=sk-0123456789", &environment), exported);
        assert_eq!(advice("A=short", &environment), (Advice::Seal, Vec::new()));
    }
}
