//! Recipients: who can open what is sealed from now on.

use std::path::{Path, PathBuf};

use crate::stores::Fault;

/// One line of recipients.txt: an age X25519 or an OpenSSH ed25519 public key.
enum Public {
    Native(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

/// The recipients of a store, in the file's order.
pub struct Recipients(Vec<Public>);

impl Recipients {
    /// Reads the text of recipients.txt: one public key a line, comments start with `#`. The path is for
    /// messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Fault> {
        let mut recipients = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if let Some(line) = significant(line) {
                let public = Public::parse(line).map_err(|reason| Fault::Malformed {
                    reason: format!("{}:{}: {reason}", path.display(), index + 1),
                })?;
                recipients.push(public);
            }
        }
        if recipients.is_empty() {
            return Err(Fault::Malformed {
                reason: format!(
                    "{} has no recipient: add a line with an age1… or ssh-ed25519 public key",
                    path.display()
                ),
            });
        }
        Ok(Self(recipients))
    }

    /// As age takes them.
    pub fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|public| match public {
            Public::Native(recipient) => recipient as &dyn age::Recipient,
            Public::Ssh(recipient) => recipient,
        })
    }

    /// Without those whose text is not kept; `None`: nobody would be left.
    pub fn only(self, keep: impl Fn(&str) -> bool) -> Option<Self> {
        let mut kept = self.0;
        kept.retain(|public| keep(&public.text()));
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// Each as text, without comments.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(Public::text).collect()
    }
}

impl Public {
    fn parse(line: &str) -> Result<Self, String> {
        if line.starts_with("age1") {
            return line.parse().map(Self::Native).map_err(|_| {
                if line.contains('#') {
                    return "a name goes on a line of its own before the key: # name: NAME"
                        .to_owned();
                }
                // age1, the plugin's name, and the separator of Bech32.
                let plugin = line["age1".len()..]
                    .rsplit_once('1')
                    .map_or("", |(name, _)| name);
                let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
                if plugin.is_empty() || !plugin.chars().all(is_name) {
                    "not a complete age1… public key: was it cut off?".to_owned()
                } else {
                    format!("a key of age-plugin-{plugin}: hushpipe runs no plugins")
                }
            });
        }
        match line.parse() {
            Ok(ssh @ age::ssh::Recipient::SshEd25519(..)) => Ok(Self::Ssh(ssh)),
            _ => Err("a recipient is an age1… or an ssh-ed25519 public key".to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Native(recipient) => recipient.to_string(),
            Self::Ssh(recipient) => recipient.to_string(),
        }
    }
}

fn significant(line: &str) -> Option<&str> {
    Some(line.trim()).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A recipient in its normal text (an SSH key without its comment), or why it is none.
pub fn normal(recipient: &str) -> Result<String, Fault> {
    Public::parse(recipient.trim())
        .map(|public| public.text())
        .map_err(|reason| Fault::Malformed { reason })
}

/// How the line before a key begins that has its owner's name. age takes it for a comment.
const NAME: &str = "# name: ";

/// A recipient that a person typed: `age1… # bob`, or an SSH key with its comment.
pub struct Typed {
    /// In its normal text.
    pub key: String,
    /// Who that is.
    pub name: Option<String>,
}

impl Typed {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (key, name) = text.split_once('#').unwrap_or((text, ""));
        let mut words = key.split_whitespace().skip(2);
        let comment = key
            .trim()
            .starts_with("ssh-")
            .then(|| words.next())
            .flatten();
        let name = Some(name.trim())
            .filter(|name| !name.is_empty())
            .or(comment)
            .map(|name| name.chars().filter(|c| !c.is_control()).collect());
        Ok(Self {
            key: argument(key)?,
            name,
        })
    }

    /// Its lines in recipients.txt.
    fn lines(&self) -> Vec<String> {
        let name = self.name.iter().map(|name| format!("{NAME}{name}"));
        name.chain([self.key.clone()]).collect()
    }
}

/// Each recipient of the file's text, with its owner's name where that is known.
pub fn named(text: &str) -> Vec<(String, Option<String>)> {
    let mut name = None;
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(given) = line.trim().strip_prefix(NAME) {
            name = Some(given.trim().to_owned());
            continue;
        }
        if let Some(key) = significant(line).and_then(|line| normal(line).ok()) {
            let comment = line.split_whitespace().nth(2).map(str::to_owned);
            all.push((key, name.take().or(comment)));
        }
        name = None;
    }
    all
}

/// The same of one that a person typed. It is named in the error where it looks like a public key.
pub fn argument(recipient: &str) -> Result<String, Fault> {
    let is_public = ["age1", "ssh-"]
        .iter()
        .any(|start| recipient.trim().starts_with(start));
    Public::parse(recipient.trim())
        .map(|public| public.text())
        .map_err(|reason| Fault::Malformed {
            reason: if is_public {
                format!("the recipient {recipient:?}: {reason}")
            } else {
                format!("one of the recipients that were named: {reason}")
            },
        })
}

/// The text of recipients.txt with lines taken out and added; comments stay. `remove` and `add` are
/// in normal text.
pub fn edit(path: &Path, text: &str, add: &[Typed], remove: &[String]) -> Result<String, Fault> {
    let of = |line: &str| significant(line).and_then(|line| normal(line).ok());
    let present: Vec<String> = text.lines().filter_map(of).collect();
    if let Some(missing) = remove.iter().find(|one| !present.contains(one)) {
        return Err(Fault::Missing {
            hint: format!(
                "{} does not name {missing}. A rekey that was interrupted after it had changed this \
                 file is ended by `hushpipe secret rekey` without recipients",
                path.display()
            ),
        });
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        if of(line).is_some_and(|one| remove.contains(&one)) {
            // Its owner's name goes with it.
            if lines.last().is_some_and(|before| before.starts_with(NAME)) {
                lines.pop();
            }
        } else {
            lines.push(line.to_owned());
        }
    }
    let is_new = |one: &&Typed| !present.contains(&one.key) || remove.contains(&one.key);
    lines.extend(add.iter().filter(is_new).flat_map(Typed::lines));
    Ok(lines.join("\n") + "\n")
}

/// The file's name in a store.
pub const FILE: &str = "recipients.txt";

/// Where a store has its recipients.
pub fn file(store: &Path) -> PathBuf {
    store.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSH: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    fn native() -> String {
        age::x25519::Identity::generate().to_public().to_string()
    }

    #[test]
    fn keys_of_both_kinds_are_read_and_faults_have_a_line() {
        let path = file(Path::new("store"));
        let age = native();
        let text = format!("# who\n\n{age}\n{SSH} alice@host\n");
        let texts = Recipients::parse(&path, &text)
            .map(|read| read.texts())
            .ok();
        assert_eq!(texts.unwrap(), [age.as_str(), SSH]);

        for (text, expected) in [
            ("# none\n", "has no recipient"),
            ("\nage1qqq\n", "recipients.txt:2: not a complete age1"),
            ("age1yubikey1qqqq\n", "a key of age-plugin-yubikey"),
            ("age1qqq # bob\n", "# name: NAME"),
            ("ssh-rsa AAAA\n", "recipients.txt:1: a recipient is"),
        ] {
            let Err(Fault::Malformed { reason }) = Recipients::parse(&path, text) else {
                panic!("{text:?} was read");
            };
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn editing_keeps_comments_and_says_what_is_not_there() {
        let (one, two) = (native(), native());
        let text = format!("# team\n{one}\n{SSH} alice\n");
        let path = Path::new("recipients.txt");
        let typed = |text: &str| Typed::parse(text).ok().unwrap();
        let edited = edit(path, &text, &[typed(&two)], &[SSH.to_owned()]).ok();
        assert_eq!(edited.unwrap(), format!("# team\n{one}\n{two}\n"));
        let again = edit(path, &text, &[typed(&one)], &[]).ok();
        assert_eq!(again.unwrap(), text);
        // Names come and go with their keys.
        let bob = typed(&format!("{two} # bob"));
        let with_bob = edit(path, &text, &[bob], &[]).ok().unwrap();
        assert_eq!(with_bob, format!("{text}# name: bob\n{two}\n"));
        let names: Vec<_> = named(&with_bob).into_iter().map(|(_, name)| name).collect();
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(names, [None, name("alice"), name("bob")]);
        assert_eq!(
            edit(path, &with_bob, &[], std::slice::from_ref(&two))
                .ok()
                .unwrap(),
            text
        );
        let ssh = typed(&format!("{SSH} carol@host"));
        let with_carol = edit(path, "", &[ssh], &[]).ok().unwrap();
        assert_eq!(with_carol, format!("# name: carol@host\n{SSH}\n"));
        assert!(matches!(
            edit(path, &text, &[], &[two]),
            Err(Fault::Missing { .. })
        ));
    }
}
