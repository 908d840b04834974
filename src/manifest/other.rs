//! Files that people name by mistake where a manifest is expected. What is in them is in no message.

use std::path::Path;

use super::fault::{ManifestError, shown_name};
use crate::model::printable::{printable, shell_word};
use crate::model::private_key::has_private_key;

/// Refuses an identity and a .env file.
pub(super) fn refuse(path: &Path, text: &str) -> Result<(), ManifestError> {
    let shown = printable(&shown_name(path));
    if has_private_key(text) {
        let message = format!("{shown} has a private key: it is not a manifest");
        let help = "-m names the manifest; --identity or HUSHPIPE_IDENTITY the identity";
        return Err(ManifestError::refused(path, message, help));
    }
    if is_dotenv(text) {
        let message = format!("{shown} has NAME=value lines: it is not a manifest");
        let word = shell_word(&path.to_string_lossy());
        let help = format!("`hushpipe init --from-env {word}` makes a store and a manifest of it");
        return Err(ManifestError::refused(path, message, &help));
    }
    Ok(())
}

/// Whether the first line that says something is `NAME=value`, and none is a key of YAML at its start.
fn is_dotenv(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let first = first.strip_prefix("export ").unwrap_or(first);
    let name = first.split_once('=').map_or("", |(name, _)| name);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_and_env_files_are_refused_without_their_text() {
        for (text, cure) in [
            ("# created: x\nAGE-SECRET-KEY-1QQHUNTER2\n", "--identity"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n",
                "--identity",
            ),
            ("DB_PASSWORD=hunter2\nA=b\n", "init --from-env"),
            ("# dev\n\nexport TOKEN=\"hunter2\"\n", "init --from-env"),
        ] {
            let error = refuse(Path::new("x/.env"), text).unwrap_err();
            let shown = error.render(false);
            assert!(shown.contains(cure), "{shown}");
            assert!(!shown.to_lowercase().contains("hunter2"), "{shown}");
        }
        for text in [
            "version: 1\nservice: a=b\n",
            "",
            "{\"version\": 1}",
            "- a=b\n",
        ] {
            assert!(refuse(Path::new("hushpipe.yaml"), text).is_ok(), "{text}");
        }
    }
}
