//! Values as they stand behind `NAME=` in a .env file.
//!
//! There is no standard, only readers: shells (`set -a; . FILE`), Docker Compose, systemd-run's
//! `EnvironmentFile=`, python-dotenv, Ruby's and Node's dotenv. What is written here all of them
//! read as the same value; what at least one of them would read as another is refused.

/// Writes a value. With `expand` its `$NAME` and `${NAME}` are left to the reader, who may put
/// variables in; without, they are what they are to all readers that know quotes.
///
/// The error says what cannot be written, and nothing of the value.
pub fn write(value: &str, expand: bool) -> Result<String, &'static str> {
    if value
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err("dotenv: no control characters but newline and tab can be written");
    }
    if value.chars().all(is_plain) {
        return Ok(value.to_owned());
    }
    // In double quotes a backslash means something else to each reader, and ` runs a shell's command.
    let in_double = !value.contains(['"', '\\', '`']);
    if expand {
        return if in_double {
            Ok(format!("\"{value}\""))
        } else {
            Err("dotenv: with `expand` neither \" nor \\ nor ` can be written")
        };
    }
    // Some take \\ and \' for escapes within single quotes, and a \ at the end for one of the quote.
    let in_single = !value.contains('\'') && !value.contains("\\\\") && !value.ends_with('\\');
    if in_single {
        Ok(format!("'{value}'"))
    } else if in_double && !value.contains('$') {
        Ok(format!("\"{value}\""))
    } else {
        Err(
            "dotenv: readers of .env files differ on how ' goes together with \" \\ ` or $, and on \
             \\\\: for a file that a shell reads, use the filter `shell`",
        )
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
            let written = write(value, false).unwrap();
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
            ("two\nlines", "'two\nlines'"),
            ("~", "'~'"),
            ("é", "'é'"),
        ] {
            assert_eq!(write(value, false).unwrap(), written);
        }
    }

    #[test]
    fn what_readers_differ_on_is_refused() {
        for value in [
            "it's $5", "'\"", "a\\\\b", "end\\", "'\\", "`'", "a\rb", "\0", "\u{1b}",
        ] {
            let why = write(value, false).unwrap_err();
            assert!(why.starts_with("dotenv: "), "{value:?}");
        }
    }

    #[test]
    fn variables_are_left_to_the_reader_where_that_is_asked_for() {
        assert_eq!(write("pg://$U:${P}@h", true).unwrap(), "\"pg://$U:${P}@h\"");
        assert_eq!(write("plain", true).unwrap(), "plain");
        for value in ["$a\"", "$a\\", "$a`id`"] {
            assert!(write(value, true).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_shell_and_hushpipe_read_back_the_same(value in "[ -~\n\té]{0,20}") {
            let Ok(written) = write(&value, false) else {
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
