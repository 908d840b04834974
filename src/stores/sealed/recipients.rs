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
                    "{} names no recipient: add a line with an age1… or ssh-ed25519 public key",
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
                "not a whole age1… public key: was it cut, or is it of a plugin?".to_owned()
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
pub fn edit(path: &Path, text: &str, add: &[String], remove: &[String]) -> Result<String, Fault> {
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
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| of(line).is_none_or(|one| !remove.contains(&one)))
        .collect();
    lines.extend(
        add.iter()
            .filter(|one| !present.contains(one) || remove.contains(one))
            .map(String::as_str),
    );
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
            ("# none\n", "names no recipient"),
            ("\nage1qqq\n", "recipients.txt:2: not a whole age1"),
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
        let edited = edit(path, &text, std::slice::from_ref(&two), &[SSH.to_owned()]).ok();
        assert_eq!(edited.unwrap(), format!("# team\n{one}\n{two}\n"));
        let again = edit(path, &text, std::slice::from_ref(&one), &[]).ok();
        assert_eq!(again.unwrap(), text);
        assert!(matches!(
            edit(path, &text, &[], &[two]),
            Err(Fault::Missing { .. })
        ));
    }
}
