//! Private keys where something else is expected: a CI's variable that holds the key in place of its file's
//! path. Such text is in no message.

/// Whether a text has a private key in it, of age or in PEM.
pub fn has_private_key(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    upper.contains("AGE-SECRET-KEY-")
        || upper.contains("PRIVATE KEY-----")
        || upper.contains("AGE-PLUGIN-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_wherever_they_are_in_a_text() {
        for text in [
            "AGE-SECRET-KEY-1QQQ",
            "age-secret-key-1qqq",
            "# created: today\n# public key: age1q\nAGE-SECRET-KEY-1QQQ\n",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
            "/srv/app/AGE-PLUGIN-YUBIKEY-1QQ",
        ] {
            assert!(has_private_key(text), "{text}");
        }
        assert!(!has_private_key("~/.config/hushpipe/identity.txt"));
        assert!(!has_private_key("/home/u/.ssh/id_ed25519"));
    }
}
