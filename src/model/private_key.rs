//! Private keys where something else is expected: a CI's variable that holds the key in place of its file's
//! path. Such text is in no message.

/// Whether a text has a private key in it, of age or in PEM.
pub fn has_private_key(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    upper.contains("AGE-SECRET-KEY-")
        || upper.contains("PRIVATE KEY-----")
        || upper.contains("AGE-PLUGIN-")
}

/// Whether a path has a token in it: of Vault or OpenBao, or a JWT (RFC 7519, 3).
pub fn has_token(text: &str) -> bool {
    let is_long = |part: &str, least: usize| {
        part.len() >= least
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.split(['/', '\n', ' ']).any(|part| {
        let parts: Vec<&str> = part.split('.').collect();
        match parts[..] {
            ["hvs" | "hvb" | "hvr" | "s" | "b" | "r", token] => is_long(token, 20),
            [head, body, signature] => {
                head.starts_with("eyJ")
                    && [head, body, signature].iter().all(|one| is_long(one, 10))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_in_a_path() {
        for text in [
            "hvs.CAESIJ0123456789abcdefghij",
            "/srv/v/s.0123456789abcdefghijklmn",
            "/srv/eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlLWhlcmU",
        ] {
            assert!(has_token(text), "{text}");
        }
        for text in [
            "/run/secrets/token",
            "~/.vault-token",
            "/srv/app.v2/s.txt",
            "a.long-name-of-a-file.with-parts-in-it",
        ] {
            assert!(!has_token(text), "{text}");
        }
    }

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
