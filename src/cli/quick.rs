//! The words of a plain `hushpipe run`, read without clap: to build its tree of commands costs a tenth
//! of a launch. What is not plain, help and every fault are clap's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::run::RunArgs;
use super::{Globals, LogFormat};

/// What clap gives for these words (without the first, the name); `None` where clap is to say it.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Option<(Globals, RunArgs)> {
    let mut words = words.into_iter();
    let mut before = Found::default();
    loop {
        let word = words.next()?;
        if word == "run" {
            break;
        }
        before.take(&word, &mut words)?;
    }
    let mut globals = Found::default();
    let mut run = RunArgs::default();
    while let Some(word) = words.next() {
        if word == "--" {
            run.command = words.by_ref().collect();
        } else if is_program(&word) {
            run.command = std::iter::once(word).chain(words.by_ref()).collect();
        } else if !run.take(&word, &mut words)? {
            globals.take(&word, &mut words)?;
        }
    }
    match (before == Found::default(), globals == Found::default()) {
        (_, true) => before.settle(),
        (true, false) => globals.settle(),
        // clap has its rules for what comes in both places.
        (false, false) => None,
    }
    .map(|globals| (globals, run))
}

/// Whether a word is the program: what follows are its arguments.
fn is_program(word: &OsString) -> bool {
    !matches!(word.as_bytes(), [] | [b'-', ..])
}

/// Global options so far.
#[derive(Default, PartialEq)]
struct Found {
    quiet: bool,
    verbose: u8,
    log_format: Option<LogFormat>,
}

impl Found {
    fn take(&mut self, word: &OsString, rest: &mut impl Iterator<Item = OsString>) -> Option<()> {
        let format = |text: &[u8]| match text {
            b"text" => Some(LogFormat::Text),
            b"json" => Some(LogFormat::Json),
            _ => None,
        };
        match word.as_bytes() {
            b"-q" | b"--quiet" => once(&mut self.quiet),
            b"-v" | b"--verbose" => more(&mut self.verbose, 1),
            b"-vv" => more(&mut self.verbose, 2),
            b"--log-format" => first(&mut self.log_format, format(rest.next()?.as_bytes())?),
            other => first(
                &mut self.log_format,
                format(other.strip_prefix(b"--log-format=")?)?,
            ),
        }
    }

    fn settle(self) -> Option<Globals> {
        let conflict = self.quiet && self.verbose > 0;
        (!conflict).then(|| Globals {
            quiet: self.quiet,
            verbose: self.verbose,
            log_format: self.log_format.unwrap_or(LogFormat::Text),
        })
    }
}

impl RunArgs {
    /// Whether the word is an option of `run` alone; `None` where clap is to say it.
    fn take(&mut self, word: &OsString, rest: &mut impl Iterator<Item = OsString>) -> Option<bool> {
        let flag = match word.as_bytes() {
            b"--exec" => &mut self.exec,
            b"--forking" => &mut self.forking,
            b"--end-by-signal" => &mut self.end_by_signal,
            b"--accept-store" => &mut self.accept_store,
            b"-m" | b"--manifest" => {
                let file = rest.next()?;
                let plain = file == "-" || !matches!(file.as_bytes(), [] | [b'-', ..]);
                return plain
                    .then(|| first(&mut self.manifest, file.into()))?
                    .map(|()| true);
            }
            _ => return Some(false),
        };
        once(flag).map(|()| true)
    }
}

/// Twice is a fault.
fn once(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

fn first<T>(option: &mut Option<T>, value: T) -> Option<()> {
    option.replace(value).is_none().then_some(())
}

fn more(count: &mut u8, by: u8) -> Option<()> {
    *count = count.checked_add(by)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Command, CommandLine, parse_as};
    use super::*;

    /// What clap gives, where it is a launch.
    fn clap(words: &[OsString]) -> Option<(Globals, RunArgs)> {
        let words = std::iter::once("hushpipe".into()).chain(words.iter().cloned());
        let line: CommandLine = parse_as(words).ok()?;
        match line.command {
            Command::Run(run) => Some((line.globals, run)),
            _ => None,
        }
    }

    const WORDS: [&str; 40] = [
        "run",
        "run",
        "run",
        "run",
        "-q",
        "--quiet",
        "-v",
        "-vv",
        "-vvv",
        "--verbose",
        "-qv",
        "-m",
        "-m",
        "--manifest",
        "--manifest=f",
        "-mf",
        "f",
        "-",
        "",
        "--exec",
        "--exec",
        "--exec=true",
        "--forking",
        "--pid-file",
        "--end-by-signal",
        "--accept-store",
        "--log-format",
        "text",
        "json",
        "JSON",
        "--log-format=json",
        "--log-format=x",
        "--log-format=",
        "--",
        "--",
        "--argv0",
        "--ready",
        "check",
        "--help",
        "-V",
    ];

    fn word() -> impl Strategy<Value = OsString> {
        prop::sample::select(&WORDS[..]).prop_map(OsString::from)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_without_clap_is_what_clap_reads(
            before in prop::collection::vec(word(), 0..3),
            after in prop::collection::vec(word(), 0..6),
        ) {
            let words = [before, vec!["run".into()], after].concat();
            if let Some(quick) = parse(words.iter().cloned()) {
                prop_assert_eq!(Some(quick), clap(&words));
            }
        }
    }

    #[test]
    fn plain_launches_need_no_clap() {
        for words in [
            "run",
            "-q run --exec -m f",
            "-v run -- true --exec",
            "run -vv --log-format json --manifest - --accept-store -- a b",
            "--log-format=json run --forking --end-by-signal",
            "run f",
            "run -v npm run dev --port 3 -q -- --exec",
            "run --exec -m f psql -c x",
        ] {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            let quick = parse(words.iter().cloned());
            assert!(quick.is_some(), "{words:?}");
            assert_eq!(quick, clap(&words));
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_clap() {
        for words in [
            "",
            "check",
            "run --exec --exec",
            "run --no-such f",
            "-q run -v",
            "run -q -v",
            "run -m",
        ] {
            let words = words.split(' ').map(OsString::from);
            assert_eq!(parse(words), None);
        }
    }
}
