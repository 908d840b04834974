//! Private keys in text: PEM (RFC 7468), OpenSSH, PGP and PuTTY.

use std::borrow::Cow;

use super::filter;
use super::rule::{Look, Matcher, Rule, Severity, Span};

/// How far the end of a key is from its beginning.
const LONGEST: usize = 16 << 10;

/// The rules of this file.
pub fn rules() -> [Rule; 3] {
    let rule = |id, title, severity, keyword, find| Rule {
        id: Cow::Borrowed(id),
        title: Cow::Borrowed(title),
        severity,
        keywords: vec![Cow::Borrowed(keyword)],
        matcher: Matcher::Code(find),
        check: |_| true,
        rank: 4,
    };
    [
        rule(
            "private-key",
            "private key",
            Severity::High,
            "-----begin",
            plain,
        ),
        rule(
            "private-key-encrypted",
            "private key, encrypted by a passphrase",
            Severity::Low,
            "-----begin",
            encrypted,
        ),
        rule(
            "putty-key",
            "PuTTY private key",
            Severity::High,
            "putty-user-key-file-",
            putty,
        ),
    ]
}

fn plain(look: &Look<'_>) -> Option<Span> {
    pem(look)
        .filter(|(_, is_encrypted)| !is_encrypted)
        .map(|(span, _)| span)
}

fn encrypted(look: &Look<'_>) -> Option<Span> {
    pem(look)
        .filter(|(_, is_encrypted)| *is_encrypted)
        .map(|(span, _)| span)
}

/// From `-----BEGIN … PRIVATE KEY-----` to its end, and whether a passphrase protects it. The lines may be
/// escaped (`\n`), as in JSON.
fn pem(look: &Look<'_>) -> Option<(Span, bool)> {
    let rest = &look.text[look.after..look.text.len().min(look.after + LONGEST)];
    let label_end = memchr::memmem::find(&rest[..rest.len().min(64)], b"-----")?;
    let label = &rest[..label_end];
    if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK") {
        return None;
    }
    let body = &rest[label_end + 5..];
    let end = memchr::memmem::find(body, b"-----END").unwrap_or_else(|| letters(body));
    let body = &body[..end];
    let start = look.after + label_end + 5;
    let span = Span {
        start,
        end: start + end,
    };
    let is_encrypted = label.ends_with(b"ENCRYPTED PRIVATE KEY")
        || memchr::memmem::find(body, b"Proc-Type").is_some()
        // openssh-key-v1 with a cipher: its name comes after 15 bytes, a length and "aes256-ctr".
        || memchr::memmem::find(body, b"b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jd").is_some();
    is_key(body).then_some((span, is_encrypted))
}

/// How long base64 and line ends go on.
fn letters(body: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\\\r\n\t \"',:-".contains(byte);
    body.iter().take_while(|byte| is_part(byte)).count()
}

/// Whether there is as much base64 as the smallest key has, and it is no placeholder.
fn is_key(body: &[u8]) -> bool {
    let mut letters = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            // `\n` within a string.
            b'\\' => {
                bytes.next_if(|next| matches!(next, b'n' | b'r' | b't'));
            }
            byte if byte.is_ascii_alphanumeric() || b"+/=".contains(&byte) => letters.push(byte),
            _ => {}
        }
    }
    let sample = &letters[..letters.len().min(512)];
    letters.len() >= 60 && filter::entropy(sample) >= 3.8
}

/// The private lines of a .ppk that is not encrypted.
fn putty(look: &Look<'_>) -> Option<Span> {
    let rest = &look.text[look.after..look.text.len().min(look.after + LONGEST)];
    let plain = memchr::memmem::find(rest, b"Encryption: none")?;
    let private = plain + memchr::memmem::find(&rest[plain..], b"Private-Lines:")?;
    let first = private + memchr::memchr(b'\n', &rest[private..])? + 1;
    let end = memchr::memmem::find(&rest[first..], b"Private-").unwrap_or(rest.len() - first);
    let start = look.after + first;
    is_key(&rest[first..first + end]).then_some(Span {
        start,
        end: start + end,
    })
}
