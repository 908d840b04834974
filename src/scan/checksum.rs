//! Checks that a format has in itself: checksums, parts that decode.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::filter;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Tokens of GitHub and npm: a prefix with `_`, 30 characters, and their CRC-32 in base62, padded to six
/// (github.blog, "Behind GitHub's new authentication token formats").
pub fn github(token: &[u8]) -> bool {
    let Some(underscore) = memchr::memchr(b'_', token) else {
        return false;
    };
    let body = &token[underscore + 1..];
    let Some((random, check)) = body.split_last_chunk::<6>() else {
        return false;
    };
    base62(crc32fast::hash(random)) == *check
}

fn base62(mut number: u32) -> [u8; 6] {
    let mut out = [b'0'; 6];
    for place in out.iter_mut().rev() {
        *place = BASE62[(number % 62) as usize];
        number /= 62;
    }
    out
}

/// An age identity: Bech32 (BIP 173) has a checksum.
pub fn age(identity: &[u8]) -> bool {
    let text = str::from_utf8(identity).unwrap_or_default();
    bech32::decode(text).is_ok()
}

/// A JSON Web Token (RFC 7519): its header is JSON with an `alg` other than `none`, and it is not the
/// example of jwt.io.
pub fn jwt(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'.');
    let mut json = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        serde_json::from_slice::<serde_json::Value>(&bytes).ok()
    };
    let (Some(header), Some(payload)) = (json(), json()) else {
        return false;
    };
    let is_signed = header["alg"]
        .as_str()
        .is_some_and(|alg| !alg.eq_ignore_ascii_case("none"));
    is_signed
        && payload["name"] != "John Doe"
        && !filter::is_placeholder(&token[token.len() - 20..])
}

/// PyPI's: a macaroon whose location is pypi.org, of which the prefix is a part.
pub fn pypi(token: &[u8]) -> bool {
    let body = token.strip_prefix(b"pypi-").unwrap_or_default();
    let whole = &body[..body.len() / 4 * 4];
    URL_SAFE_NO_PAD.decode(whole).is_ok() && varied(token)
}

/// Atlassian's: 8 hex digits at the end are the CRC-32 of the rest.
pub fn atlassian(token: &[u8]) -> bool {
    let Some((_, check)) = token.split_last_chunk::<8>() else {
        return false;
    };
    check.iter().all(u8::is_ascii_hexdigit) && varied(token)
}

/// Base64 of so many bytes as an Azure storage key has.
pub fn azure_storage(key: &[u8]) -> bool {
    let key = key.strip_suffix(b"==").unwrap_or(key);
    STANDARD_NO_PAD
        .decode(key)
        .is_ok_and(|bytes| bytes.len() == 64)
        && varied(key)
}

/// Random, as tokens are: no placeholder, and enough entropy for its length.
pub fn varied(token: &[u8]) -> bool {
    let enough = match token.len() {
        0..=15 => 2.5,
        16..=31 => 3.0,
        _ => 3.2,
    };
    !filter::is_placeholder(token) && filter::entropy(token) >= enough
}

/// Hexadecimal digits have at most four bits each.
pub fn hexadecimal(token: &[u8]) -> bool {
    !filter::is_placeholder(token) && filter::entropy(token) >= 2.8
}

/// As [`varied`], and with a digit, as words have none.
pub fn with_digits(token: &[u8]) -> bool {
    varied(token) && token.iter().filter(|byte| byte.is_ascii_digit()).count() >= 2
}

/// A key id of AWS ends in base32 that is not its documentation's example.
pub fn aws_id(token: &[u8]) -> bool {
    !token.ends_with(b"EXAMPLE") && filter::entropy(token) >= 2.8 && !filter::is_placeholder(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_github_are_in_their_tokens() {
        // Published as an expired sample.
        assert!(github(b"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"));
        assert!(!github(b"ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18"));
        assert!(!github(b"ghp_") && !github(b""));
    }

    #[test]
    fn an_identity_with_a_wrong_letter_is_none() {
        use bech32::Hrp;
        let hrp = Hrp::parse("age-secret-key-").unwrap();
        let good = bech32::encode::<bech32::Bech32>(hrp, &[7; 32])
            .unwrap()
            .to_uppercase();
        assert!(age(good.as_bytes()));
        let bad = good.replace("AGE-SECRET-KEY-1Q", "AGE-SECRET-KEY-1P");
        assert!(!age(bad.as_bytes()));
    }

    #[test]
    fn tokens_that_are_signed_count() {
        let token = |header: &str, payload: &str| {
            let text = |text: &str| URL_SAFE_NO_PAD.encode(text);
            format!(
                "{}.{}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                text(header),
                text(payload)
            )
            .into_bytes()
        };
        assert!(jwt(&token(r#"{"alg":"HS256"}"#, r#"{"sub":"a"}"#)));
        assert!(!jwt(&token(r#"{"alg":"none"}"#, r#"{"sub":"a"}"#)));
        assert!(!jwt(&token(r#"{"typ":"x"}"#, r#"{"sub":"a"}"#)));
    }
}
