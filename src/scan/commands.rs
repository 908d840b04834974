//! Passwords in command lines, as shell histories, scripts, Dockerfiles and processes have them.

use std::borrow::Cow;

use super::filter;
use super::kind::Kind;
use super::rule::{Look, Matcher, Rule, Severity, Span};

/// A program, and how it takes a password.
struct Program {
    name: &'static str,
    takes: Takes,
}

enum Takes {
    /// After one of these options: in the same word or in the next one.
    Option(&'static [&'static str]),
    /// After one of these options, behind a separator: `user:password`.
    Pair(&'static [&'static str], u8),
    /// The word of this number behind one of these words.
    Word(&'static str, usize),
}

/// How long a command line may be.
const LINE: usize = 2048;

/// By the manual of each.
const PROGRAMS: [Program; 17] = [
    program("sshpass", Takes::Option(&["-p"])),
    program("mysql", Takes::Option(&["-p"])),
    program("mysqldump", Takes::Option(&["-p"])),
    program("mysqladmin", Takes::Option(&["-p"])),
    program("mariadb", Takes::Option(&["-p"])),
    program("mongosh", Takes::Option(&["-p"])),
    program(
        "curl",
        Takes::Pair(&["-u", "--user", "--proxy-user", "-U"], b':'),
    ),
    program("http", Takes::Pair(&["-a", "--auth"], b':')),
    program("smbclient", Takes::Pair(&["-U", "--user"], b'%')),
    program("mount.cifs", Takes::Option(&["password="])),
    program("redis-cli", Takes::Option(&["-a", "--pass"])),
    program("ldapsearch", Takes::Option(&["-w"])),
    program("ldapadd", Takes::Option(&["-w"])),
    program("docker login", Takes::Option(&["-p"])),
    program("podman login", Takes::Option(&["-p"])),
    program("rabbitmqctl", Takes::Word("add_user", 2)),
    program("htpasswd", Takes::Word("htpasswd", 4)),
];

const fn program(name: &'static str, takes: Takes) -> Program {
    Program { name, takes }
}

/// The rules of this file.
pub fn rules() -> [Rule; 2] {
    let rule = |id, title, keywords, find| Rule {
        id: Cow::Borrowed(id),
        title: Cow::Borrowed(title),
        severity: Severity::High,
        keywords,
        matcher: Matcher::Code(find),
        check: |_| true,
        rank: 2,
    };
    let names = PROGRAMS
        .iter()
        .map(|program| Cow::Borrowed(program.name))
        .collect();
    [
        rule(
            "command-password",
            "password in a command line",
            names,
            command,
        ),
        rule(
            "authorization-header",
            "credential in an Authorization header",
            vec!["authorization:".into()],
            header,
        ),
    ]
}

fn command(look: &Look<'_>) -> Option<Span> {
    if look.kind != Kind::Config {
        return None;
    }
    let before = look.at.checked_sub(1).map(|at| look.text[at]);
    let after = look.text.get(look.after);
    let is_word = before
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(&byte))
        && after == Some(&b' ');
    let name = &look.text[look.at..look.after];
    let program = PROGRAMS
        .iter()
        .find(|program| program.name.as_bytes().eq_ignore_ascii_case(name))?;
    let rest = &look.text[look.after..look.text.len().min(look.after + LINE)];
    let line = &rest[..rest
        .iter()
        .position(|byte| matches!(byte, b'\n' | b'|' | b';' | b'&'))
        .unwrap_or(rest.len())];
    let words = words(line, look.after);
    let span = match program.takes {
        Takes::Option(options) => after_option(look.text, &words, options)?,
        Takes::Pair(options, separator) => {
            let pair = after_option(look.text, &words, options)?;
            let at = memchr::memchr(separator, &look.text[pair.start..pair.end])?;
            Span {
                start: pair.start + at + 1,
                end: pair.end,
            }
        }
        // htpasswd -b FILE USER PASSWORD
        Takes::Word("htpasswd", number) => {
            let is_batch = words.iter().any(|word| {
                look.text[word.start..word.end].starts_with(b"-")
                    && look.text[word.start..word.end].ends_with(b"b")
            });
            *words.get(number - 1).filter(|_| is_batch)?
        }
        Takes::Word(word, number) => {
            let at = words
                .iter()
                .position(|span| &look.text[span.start..span.end] == word.as_bytes())?;
            *words.get(at + number)?
        }
    };
    let value = &look.text[span.start..span.end];
    (is_word && filter::is_setting(value)).then_some(span)
}

/// The words of a line; quotes around one do not count.
fn words(line: &[u8], base: usize) -> Vec<Span> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < line.len() {
        let quote = line[at];
        let (start, end) = match quote {
            b' ' | b'\t' | b'\\' => {
                at += 1;
                continue;
            }
            b'"' | b'\'' => {
                let length = memchr::memchr(quote, &line[at + 1..]).unwrap_or(line.len() - at - 1);
                (at + 1, at + 1 + length)
            }
            _ => {
                let length = line[at..]
                    .iter()
                    .position(|byte| matches!(byte, b' ' | b'\t'));
                (at, at + length.unwrap_or(line.len() - at))
            }
        };
        found.push(Span {
            start: base + start,
            end: base + end,
        });
        at = end.max(at) + 1;
    }
    found
}

/// `-pVALUE`, `-p VALUE`, `--user=VALUE`; quotes around the value do not count.
fn after_option(text: &[u8], words: &[Span], options: &[&str]) -> Option<Span> {
    for (index, word) in words.iter().enumerate() {
        let bytes = &text[word.start..word.end];
        for option in options {
            let Some(rest) = bytes.strip_prefix(option.as_bytes()) else {
                continue;
            };
            if rest.is_empty() {
                return words.get(index + 1).copied();
            }
            let is_long = option.starts_with("--");
            let skip = match rest[0] {
                b'=' => 1,
                _ if is_long => continue,
                _ => 0,
            };
            let start = word.start + option.len() + skip;
            let quoted = matches!(text.get(start), Some(b'"' | b'\''));
            let (start, end) = if quoted {
                let tail = &text[start + 1..text.len().min(start + 256)];
                (start + 1, start + 1 + memchr::memchr(text[start], tail)?)
            } else {
                (start, word.end)
            };
            return Some(Span { start, end });
        }
    }
    None
}

/// `Authorization: Bearer …`, `Authorization: Basic …`
fn header(look: &Look<'_>) -> Option<Span> {
    let rest = &look.text[look.after..look.text.len().min(look.after + 1024)];
    let line = &rest[..rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\'' | b'\n' | b'\r' | b'`' | b'\\'))
        .unwrap_or(rest.len())];
    let words = words(line, look.after);
    let scheme = words
        .first()
        .map(|span| look.text[span.start..span.end].to_ascii_lowercase())?;
    let value = *words.get(1)?;
    let bytes = &look.text[value.start..value.end];
    let is_known = matches!(
        scheme.as_slice(),
        b"bearer" | b"basic" | b"token" | b"apikey"
    );
    let is_one = is_known
        && bytes.len() >= 12
        && filter::is_literal(bytes, look.is_test)
        && filter::entropy(bytes) >= 3.0;
    is_one.then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Option<String> {
        for rule in &rules() {
            for keyword in &rule.keywords {
                let lower = text.to_ascii_lowercase();
                for (at, word) in lower.match_indices(&**keyword) {
                    let look = Look {
                        text: text.as_bytes(),
                        at,
                        after: at + word.len(),
                        kind: Kind::Config,
                        is_test: false,
                    };
                    let Matcher::Code(find) = rule.matcher else {
                        panic!()
                    };
                    if let Some(span) = find(&look) {
                        return Some(text[span.start..span.end].to_owned());
                    }
                }
            }
        }
        None
    }

    #[test]
    fn programs_take_passwords_in_their_own_ways() {
        for line in [
            "mysql -u root -pk3yb0ard-Cat app",
            "mysqldump -u root -p'k3yb0ard-Cat' app",
            "sshpass -p k3yb0ard-Cat ssh me@host",
            "sshpass -p \"k3yb0ard-Cat\" ssh me@host",
            "curl -u me:k3yb0ard-Cat https://x.test",
            "curl --user=me:k3yb0ard-Cat https://x.test",
            "redis-cli -h h -a k3yb0ard-Cat ping",
            "ldapsearch -x -D cn=a -w k3yb0ard-Cat",
            "docker login -u me -p k3yb0ard-Cat r.test",
            "rabbitmqctl add_user me k3yb0ard-Cat",
            "htpasswd -b /etc/x me k3yb0ard-Cat",
            "smbclient //h/s -U me%k3yb0ard-Cat",
        ] {
            assert_eq!(find(line).as_deref(), Some("k3yb0ard-Cat"), "{line}");
        }
        let header = "curl -H 'Authorization: Bearer 9fQ2mN7pLw4xZ8kT' https://x.test";
        assert_eq!(find(header).as_deref(), Some("9fQ2mN7pLw4xZ8kT"));
    }

    #[test]
    fn other_options_and_references_are_not() {
        for line in [
            "mysql -u root -p app",
            "mysql -P 3306 -h db1",
            "curl -u \"$USER:$PASS\" https://x",
            "sshpass -p \"$1\" ssh h",
            "mkdir -p a/b1",
            "curl https://x.test/a1",
            "Authorization: Bearer $TOKEN",
            "htpasswd /etc/x me",
        ] {
            assert_eq!(find(line), None, "{line}");
        }
    }
}
