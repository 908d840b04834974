//! Values as they stand behind `NAME=` in a .env file.
//!
//! There is no standard, only readers: shells (`set -a; . FILE`), Docker Compose, systemd-run's
//! `EnvironmentFile=`, python-dotenv, Ruby's and Node's dotenv. What is written here all of them
//! read as the same value; what at least one of them would read as another is refused.

/// How a value is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Its `$NAME` and `${NAME}` are left to the reader, who may put variables in. Without, they are
    /// what they are to all readers that know quotes.
    pub expand: bool,
    /// Which quotes it has if it can have them; else those that suit it, or none.
    pub quotes: Option<Quotes>,
}

/// Quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// `'`
    Single,
    /// `"`
    Double,
}

/// Writes a value. The error says what cannot be written, and nothing of the value.
///
/// Over several lines, phpdotenv reads double quotes alone. Two readers go their own way: Ruby's dotenv
/// before 2.7 reads one line, and python-dotenv replaces `${NAME}` in single quotes too.
pub fn write(value: &str, style: Style) -> Result<String, &'static str> {
    if value
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err("dotenv: no control characters but newline and tab can be written");
    }
    // In double quotes a backslash means something else to each reader, and ` runs a shell's command.
    let in_double = !value.contains(['"', '\\', '`']) && (style.expand || !value.contains('$'));
    // Some take \\ and \' for escapes within single quotes, and a \ at the end for one of the quote.
    let in_single =
        !value.contains('\'') && !value.contains("\\\\") && !value.ends_with('\\') && !style.expand;
    let single = || Ok(format!("'{value}'"));
    let double = || Ok(format!("\"{value}\""));
    match style.quotes {
        Some(Quotes::Single) if in_single => single(),
        Some(Quotes::Double) if in_double => double(),
        _ if value.chars().all(is_plain) => Ok(value.to_owned()),
        _ if in_double && (value.contains('\n') || !in_single) => double(),
        _ if in_single => single(),
        _ if style.expand => Err("dotenv: with `expand` neither \" nor \\ nor ` can be written"),
        _ => Err(
            "dotenv: readers of .env files differ on how ' goes together with \" \\ ` or $, and on \
             \\\\: for a file that a shell reads, use the filter `shell`",
        ),
    }
}

/// What needs no quotes for any reader; `docker run --env-file` knows none.
const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '_' | '-' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_values_have_no_quotes() {
        for value in ["", "s3cret", "https://a.b:80/c-d_e?", "a+b/c==", "x@y,z%20"] {
            let written = write(value, Style::default()).unwrap();
            assert_eq!(written == value, !value.contains('?'), "{written}");
        }
    }

    #[test]
    fn quotes_are_those_that_all_readers_agree_on() {
        for (value, written) in [
            ("a b", "'a b'"),
            ("p$ss#1", "'p$ss#1'"),
            ("say \"x\"", "'say \"x\"'"),
            ("C:\\dir", "'C:\\dir'"),
            ("it's", "\"it's\""),
            ("two\nlines", "\"two\nlines\""),
            ("{\n\"two\": \"lines\"}", "'{\n\"two\": \"lines\"}'"),
            ("~", "'~'"),
            ("é", "'é'"),
        ] {
            assert_eq!(write(value, Style::default()).unwrap(), written);
        }
    }

    #[test]
    fn quotes_that_are_asked_for_are_those_of_a_value_that_can_have_them() {
        for (value, quotes, written) in [
            ("plain", Quotes::Single, "'plain'"),
            ("plain", Quotes::Double, "\"plain\""),
            ("", Quotes::Double, "\"\""),
            ("it's", Quotes::Single, "\"it's\""),
            ("p$ss", Quotes::Double, "'p$ss'"),
            ("two\nlines", Quotes::Single, "'two\nlines'"),
        ] {
            let style = Style {
                expand: false,
                quotes: Some(quotes),
            };
            assert_eq!(write(value, style).unwrap(), written);
        }
    }

    #[test]
    fn what_readers_differ_on_is_refused() {
        for value in [
            "it's $5", "'\"", "a\\\\b", "end\\", "'\\", "`'", "a\rb", "\0", "\u{1b}",
        ] {
            let why = write(value, Style::default()).unwrap_err();
            assert!(why.starts_with("dotenv: "), "{value:?}");
        }
    }

    #[test]
    fn variables_are_left_to_the_reader_where_that_is_asked_for() {
        let expand = Style {
            expand: true,
            quotes: None,
        };
        assert_eq!(
            write("pg://$U:${P}@h", expand).unwrap(),
            "\"pg://$U:${P}@h\""
        );
        assert_eq!(write("plain", expand).unwrap(), "plain");
        for value in ["$a\"", "$a\\", "$a`id`"] {
            assert!(write(value, expand).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_shell_and_hushpipe_read_back_the_same(value in "[ -~\n\té]{0,20}") {
            let Ok(written) = write(&value, Style::default()) else {
                return Ok(());
            };
            #[allow(clippy::disallowed_methods)]
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("A={written}\nprintf %s \"$A\"")])
                .output()
                .unwrap();
            prop_assert_eq!(output.stdout, value.as_bytes());
        }
    }
}
