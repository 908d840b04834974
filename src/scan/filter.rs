//! Filters: what looks like a secret and is a placeholder, a reference, a word or a path.

/// Shannon's entropy, in bits a byte.
pub fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let parts = counts.iter().filter(|count| **count > 0);
    parts
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

/// Parts of values that say "put yours here".
const PLACEHOLDERS: [&[u8]; 48] = [
    b"example",
    b"sample",
    b"placeholder",
    b"changeme",
    b"change_me",
    b"change-me",
    b"change me",
    b"changeit",
    b"change_it",
    b"your_",
    b"your-",
    b"your ",
    b"yourpass",
    b"yoursecret",
    b"yourtoken",
    b"yourkey",
    b"yourapi",
    b"xxxx",
    b"dummy",
    b"redacted",
    b"replace",
    b"insert",
    b"todo",
    b"fixme",
    b"foobar",
    b"lorem",
    b"****",
    b"....",
    b"12345678",
    b"23456789",
    b"abcdefgh",
    b"98765432",
    b"deadbeef",
    b"not_a_",
    b"not-a-",
    b"notreal",
    b"not_real",
    b"mysecret",
    b"my_secret",
    b"my-secret",
    b"mypassword",
    b"my_password",
    b"my-password",
    b"____",
    b"----",
    b"0000000",
    b"fakesecret",
    b"11111111",
];

/// Whole values that protect nothing, or are words of a language.
const WORDS: [&str; 72] = [
    "password",
    "passwd",
    "pass",
    "passphrase",
    "secret",
    "token",
    "key",
    "apikey",
    "api_key",
    "api-key",
    "admin",
    "root",
    "user",
    "username",
    "guest",
    "postgres",
    "mysql",
    "mariadb",
    "mongo",
    "redis",
    "rabbitmq",
    "test",
    "testing",
    "tests",
    "demo",
    "default",
    "none",
    "null",
    "nil",
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "required",
    "optional",
    "string",
    "str",
    "bytes",
    "int",
    "integer",
    "boolean",
    "bool",
    "object",
    "undefined",
    "empty",
    "unknown",
    "prompt",
    "ask",
    "value",
    "text",
    "hidden",
    "basic",
    "bearer",
    "digest",
    "disabled",
    "enabled",
    "manual",
    "auto",
    "random",
    "generate",
    "generated",
    "hunter2",
    "qwerty",
    "letmein",
    "foo",
    "bar",
    "baz",
    "never",
    "always",
    "encrypted",
];

/// What a value starts with that says where the secret is, and is none.
const REFERENCES: [&str; 44] = [
    "$",
    "%(",
    "%{",
    "{{",
    "{%",
    "<",
    "@",
    "&",
    "*",
    "!",
    "#",
    "(",
    "[",
    "{",
    "/",
    "~/",
    "./",
    "../",
    "ENC[",
    "vault:",
    "op://",
    "arn:",
    "ssm:",
    "file:",
    "env:",
    "env.",
    "process.env",
    "os.environ",
    "os.getenv",
    "getenv",
    "system.getenv",
    "secret:",
    "secrets.",
    "aws:",
    "gcp:",
    "azure:",
    "ref+",
    "config.",
    "self.",
    "this.",
    "http://",
    "https://",
    "data.",
    "var.",
];

/// Whether a text says "put yours here", or is made of very few different bytes.
pub fn is_placeholder(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    if let Ok(text) = str::from_utf8(&lower) {
        let bare = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '!');
        if WORDS.contains(&text) || WORDS.contains(&bare) {
            return true;
        }
    }
    let has = |part: &&[u8]| memchr::memmem::find(&lower, part).is_some();
    PLACEHOLDERS.iter().any(has) || is_monotonous(value)
}

/// Fewer than four different bytes, or most of them in the order of an alphabet.
fn is_monotonous(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in value {
        seen[usize::from(*byte)] = true;
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let steps = value.windows(2).filter(|pair| {
        let step = i16::from(pair[1]) - i16::from(pair[0]);
        (-1..=1).contains(&step)
    });
    different < 4.min(value.len()) || (value.len() > 4 && steps.count() * 10 > value.len() * 6)
}

/// Whether a value names the place of a secret: a variable, a path, an expression.
pub fn is_reference(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else {
        return false;
    };
    let lower = text.to_ascii_lowercase();
    let starts = |start: &&str| lower.starts_with(&start.to_ascii_lowercase());
    if REFERENCES.iter().any(starts) {
        // `$` starts hashes of passwords as well, and `/` base64.
        let is_base64 = text.starts_with('/')
            && text.len() >= 24
            && text.matches('/').count() <= 3
            && has_digit(value);
        return !(is_hash(value) || is_base64);
    }
    let calls = text.contains('(') && text.contains(')');
    calls
        || text.contains("${")
        || text.contains("{{")
        || text.contains("%s")
        || text.contains("#{")
        || text.contains("$(")
}

/// crypt(5): `$1$`, `$2y$`, `$5$`, `$6$`, `$y$`, `$argon2id$`; RFC 2307: `{SSHA}`.
pub fn is_hash(value: &[u8]) -> bool {
    if [&b"{SHA}"[..], b"{SSHA}", b"{CRYPT}"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
    {
        return value.len() >= 24;
    }
    let mut parts = value.split(|byte| *byte == b'$');
    let (first, second) = (parts.next(), parts.next());
    let last = parts.next_back();
    first == Some(b"")
        && second.is_some_and(|id| (1..10).contains(&id.len()))
        && last.is_some_and(|hash| hash.len() >= 20)
}

fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}

/// Kinds of bytes in a value: lower and upper case, digits, others.
fn classes(value: &[u8]) -> usize {
    let has = |is: fn(&u8) -> bool| usize::from(value.iter().any(is));
    has(u8::is_ascii_lowercase)
        + has(u8::is_ascii_uppercase)
        + has(u8::is_ascii_digit)
        + has(|byte| !byte.is_ascii_alphanumeric())
}

/// Words joined by `-`, `_`, `.`, `:` or capitals, as names of things are: `my-app.password`, `passwordField`.
pub fn is_name(value: &[u8]) -> bool {
    let is_joint = |byte: &u8| matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b' ' | b'=');
    let words: Vec<&[u8]> = value
        .split(is_joint)
        .filter(|word| !word.is_empty())
        .collect();
    let is_word = |word: &&[u8]| {
        let letters = word
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic())
            .count();
        let digits = word.len() - letters;
        let turns = word
            .windows(2)
            .filter(|pair| pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase())
            .count();
        let trailing = word
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let vowels = word
            .iter()
            .filter(|byte| b"aeiouyAEIOUY".contains(byte))
            .count();
        let is_spoken = letters < 4 || vowels * 6 >= letters;
        (digits == trailing
            && digits <= 3
            && turns * 3 <= word.len() + 1
            && is_spoken
            && word.len() <= 24)
            || word.len() == digits && digits <= 4
    };
    !words.is_empty() && words.iter().all(is_word)
}

/// Whether a value that is assigned to the name of a secret is one, where settings are.
pub fn is_setting(value: &[u8]) -> bool {
    (6..=512).contains(&value.len())
        && !is_placeholder(value)
        && !is_reference(value)
        && !value.contains(&b'\0')
        && (is_hash(value) || (is_mixed(value) && !is_plain(value)))
}

/// Letters of two cases alone are a secret only if they are many.
fn is_mixed(value: &[u8]) -> bool {
    let letters = value.iter().all(u8::is_ascii_alphabetic);
    classes(value) >= if letters && value.len() < 16 { 3 } else { 2 }
}

/// A path, a name, a number, a date.
fn is_plain(value: &[u8]) -> bool {
    let only = |other: &[u8]| {
        let mut bytes = value.iter();
        bytes.all(|byte| byte.is_ascii_digit() || other.contains(byte))
    };
    only(b".-:/ ,") || is_name(value) && !has_symbols(value) || is_path(value)
}

/// `owner/name#path/file`: names between slashes.
fn is_path(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| matches!(byte, b'/' | b'#'));
    value.contains(&b'/') && value.len() < 64 && parts.all(|part| part.is_empty() || is_name(part))
}

/// Symbols that no name has.
fn has_symbols(value: &[u8]) -> bool {
    let symbols = value
        .iter()
        .filter(|byte| b"!@#$%^&*+?~|;".contains(byte))
        .count();
    symbols > 0
}

/// As [`is_setting`], in code, where names, formats and texts are in quotes as well.
pub fn is_literal(value: &[u8], is_test: bool) -> bool {
    let (least, bits) = if is_test { (16, 3.6) } else { (8, 2.9) };
    value.len() >= least
        && value.len() <= 256
        && value.is_ascii()
        && !value
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || b"(){}<>[]|\\`\",;".contains(byte))
        && is_setting(value)
        && has_digit(value)
        && (classes(value) >= 3 || value.len() >= 16)
        && entropy(value) >= bits
        && !is_name(value)
        && !has_scheme(value)
}

/// `https:…`, `urn:…`, `image/png`.
fn has_scheme(value: &[u8]) -> bool {
    memchr::memmem::find(value, b"://").is_some()
        || value.starts_with(b"urn:")
        || value.starts_with(b"data:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_and_references_are_no_secrets() {
        for value in [
            "changeme",
            "<password>",
            "${DB_PASSWORD}",
            "{{ password }}",
            "your_token_here",
            "xxxxxxxxxxxx",
            "password123",
            "os.environ['A']",
            "/run/secrets/db",
            "secretsmanager",
            "my-app-secret",
            "AKIAIOSFODNN7EXAMPLE",
            "true",
            "aaaaaaaaaa",
            "1234567890abc",
            "$(cat /run/x)",
            "10.0.0.1",
            "2024-01-01",
            "kubernetes.io/basic-auth",
            "abcdefghijkl",
        ] {
            assert!(!is_setting(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn passwords_of_people_and_of_generators_are() {
        for value in [
            "k3yb0ard-Cat",
            "s3cr3tP@ss!",
            "Zx81!spectrum",
            "9fQ2mN7pLw",
            "correct.Horse!battery",
            "$2y$10$Vq8rK2mXw0ZfLs6uYt3nReJ7zQ",
            "f3a9c17b2d",
            "/8fK2mQ9xLpZ4vN7bR3tYw==w9aKx3",
        ] {
            assert!(is_setting(value.as_bytes()), "{value}");
        }
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
    }
}
