//! Command lines of `ExecStart=`, systemd.service(5): prefixes, quotes and separators. What stands
//! between them is kept as it is written: systemd reads it again in the drop-in.

/// One command of an `ExecStart=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// What changes how systemd starts it: any of `-:+!`, as written.
    pub prefixes: String,
    /// With `@`: the program's `argv[0]`, as written.
    pub argv0: Option<String>,
    /// The program, as written.
    pub program: String,
    /// Its arguments, as written.
    pub arguments: String,
}

/// Why a command line cannot be wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no program, or with `@` no `argv[0]`.
    Empty,
    /// A quote is not closed.
    Quotes,
    /// The prefix `|`: a shell would start hushpipe.
    Shell,
}

impl Fault {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Empty => "it has no program",
            Self::Quotes => "a quote in it is not closed",
            Self::Shell => "its prefix | has a shell start it, and hushpipe must not be started so",
        }
    }
}

impl CommandLine {
    /// Reads the value of one assignment: several commands, where they are parted by a `;` that
    /// stands alone.
    pub fn read(value: &str) -> Result<Vec<Self>, Fault> {
        let words = words(value)?;
        words
            .split(|word| *word == ";")
            .filter(|words| !words.is_empty())
            .map(|words| Self::of(value, words))
            .collect()
    }

    fn of(value: &str, words: &[&str]) -> Result<Self, Fault> {
        let (first, rest) = words.split_first().ok_or(Fault::Empty)?;
        let program = first.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let prefixes = &first[..first.len() - program.len()];
        if prefixes.contains('|') {
            return Err(Fault::Shell);
        }
        if matches!(program, "" | ";") {
            return Err(Fault::Empty);
        }
        let (argv0, rest) = match rest.split_first() {
            Some((argv0, rest)) if prefixes.contains('@') => (Some((*argv0).to_owned()), rest),
            None if prefixes.contains('@') => return Err(Fault::Empty),
            _ => (None, rest),
        };
        Ok(Self {
            prefixes: prefixes.replace('@', ""),
            argv0,
            program: program.to_owned(),
            arguments: within(value, rest).to_owned(),
        })
    }

    /// The same program with its arguments, to be put after hushpipe's own. What stands there is
    /// searched for variables, which a program's path is not.
    pub fn as_arguments(&self) -> String {
        let literal = self.prefixes.contains(':');
        let program = if literal {
            self.program.clone()
        } else {
            self.program.replace('$', "$$")
        };
        if self.arguments.is_empty() {
            program
        } else {
            format!("{program} {}", self.arguments)
        }
    }
}

/// From the first word to the last, as it stands in the whole.
fn within<'a>(whole: &'a str, words: &[&'a str]) -> &'a str {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return "";
    };
    let at = |part: &str| part.as_ptr() as usize - whole.as_ptr() as usize;
    &whole[at(first)..at(last) + last.len()]
}

/// Words as written, quotes and backslashes in them. Whitespace within quotes does not part words.
fn words(text: &str) -> Result<Vec<&str>, Fault> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        let parts = character.is_ascii_whitespace() && quote.is_none() && !escaped;
        match start {
            Some(from) if parts => {
                words.push(&text[from..at]);
                start = None;
            }
            None if !parts => start = Some(at),
            _ => {}
        }
        if std::mem::take(&mut escaped) {
            continue;
        }
        match (character, quote) {
            ('\\', _) => escaped = true,
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            _ => {}
        }
    }
    if quote.is_some() {
        return Err(Fault::Quotes);
    }
    words.extend(start.map(|from| &text[from..]));
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(value: &str) -> CommandLine {
        let mut commands = CommandLine::read(value).unwrap();
        assert_eq!(commands.len(), 1, "{commands:?}");
        commands.remove(0)
    }

    #[test]
    fn what_is_written_is_kept() {
        let written = "/usr/bin/x  --name='a b' \"c  %i\" ${OPTS} $A \\x20 %h/\\\"y";
        let line = one(written);
        assert_eq!(line.program, "/usr/bin/x");
        assert_eq!(line.prefixes, "");
        assert_eq!(
            line.as_arguments(),
            "/usr/bin/x --name='a b' \"c  %i\" ${OPTS} $A \\x20 %h/\\\"y"
        );
        assert_eq!(one("/bin/true").as_arguments(), "/bin/true");
    }

    #[test]
    fn prefixes_in_any_order() {
        for (value, prefixes) in [
            ("-/a b", "-"),
            ("+/a b", "+"),
            ("!/a b", "!"),
            ("!!/a b", "!!"),
            (":/a b", ":"),
            ("-:/a b", "-:"),
            ("!-/a b", "!-"),
        ] {
            let line = one(value);
            assert_eq!(line.prefixes, prefixes);
            assert_eq!(line.as_arguments(), "/a b");
        }
        let line = one("-@/bin/a name b c");
        assert_eq!(line.prefixes, "-");
        assert_eq!(line.argv0.as_deref(), Some("name"));
        assert_eq!(line.as_arguments(), "/bin/a b c");
        let line = one("@\"/bin/a b\" '-name x'");
        assert_eq!(line.argv0.as_deref(), Some("'-name x'"));
        assert_eq!(line.as_arguments(), "\"/bin/a b\"");
    }

    #[test]
    fn a_dollar_in_the_programs_path_stays_one() {
        assert_eq!(one("/opt/$x/a $y").as_arguments(), "/opt/$$x/a $y");
        assert_eq!(one(":/opt/$x/a $y").as_arguments(), "/opt/$x/a $y");
    }

    #[test]
    fn a_semicolon_alone_parts_commands() {
        let commands = CommandLine::read("/a 1 ; -/b 2 ; ;").unwrap();
        let texts: Vec<String> = commands.iter().map(CommandLine::as_arguments).collect();
        assert_eq!(texts, ["/a 1", "/b 2"]);
        assert_eq!(commands[1].prefixes, "-");
        for whole in ["/a ';' b", "/a \\; b", "/a b;"] {
            assert_eq!(one(whole).as_arguments(), whole);
        }
    }

    #[test]
    fn what_systemd_would_refuse_is_refused() {
        assert_eq!(CommandLine::read("/a 'b"), Err(Fault::Quotes));
        assert_eq!(CommandLine::read("-"), Err(Fault::Empty));
        assert_eq!(CommandLine::read("@/a"), Err(Fault::Empty));
        assert_eq!(CommandLine::read("+; b"), Err(Fault::Empty));
        assert_eq!(CommandLine::read("|/a"), Err(Fault::Shell));
        assert_eq!(CommandLine::read(""), Ok(Vec::new()));
    }

    proptest! {
        /// Reading what was written gives the same again, and nothing panics.
        #[test]
        fn it_is_stable(value in "[-@:+!]{0,3}(/|a|;|\\\\|'|\"| |\\$|%|\u{e9}|\t){0,40}") {
            for line in CommandLine::read(&value).unwrap_or_default() {
                let again = format!("/usr/bin/hushpipe -- {}", line.as_arguments());
                let read = CommandLine::read(&again).unwrap();
                prop_assert_eq!(read.len(), 1);
                prop_assert_eq!(read[0].as_arguments(), again);
            }
        }
    }
}
