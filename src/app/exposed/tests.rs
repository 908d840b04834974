use std::ffi::CString;

use super::*;

/// Whether a launch with this argument is refused for the sake of a raw value.
fn hits(value: &str, argument: &str) -> bool {
    let argv = [
        CString::new("app").unwrap(),
        CString::new(argument).unwrap(),
    ];
    is_found(value.as_bytes(), &argv, &[])
}

fn is_found(value: &[u8], argv: &[CString], env: &[CString]) -> bool {
    let texts = texts(argv, env);
    let filter = Filter::of(&texts);
    let name = SecretName::new("s").unwrap();
    needles::of_raw(&name, value).iter().any(|needle| {
        let finder = || memchr::memmem::Finder::new(&*needle.bytes);
        let holds = |text: &Text<'_>| holds(text, needle, &finder());
        filter.may_hold(&needle.bytes) && texts.iter().any(holds)
    })
}

fn each(value: &str, encode: impl Fn(u8) -> String) -> String {
    let encoded: Vec<_> = value.bytes().map(encode).collect();
    encoded.concat()
}

const PASSWORD: &str = "hunter2/long:pass&word-0006";

#[test]
fn a_value_is_found_as_it_is_and_without_the_white_space_at_its_ends() {
    for value in [
        PASSWORD.to_owned(),
        format!("  {PASSWORD}\r\n"),
        format!("{PASSWORD}\n\n"),
    ] {
        assert!(hits(&value, PASSWORD));
        assert!(hits(&value, &format!("--password={PASSWORD}")));
        assert!(hits(&value, &format!("-p{PASSWORD}")));
        assert!(hits(&value, &format!("postgres://me:{PASSWORD}@db/")));
    }
    assert!(!hits(PASSWORD, "--help"));
    assert!(!hits("1234567", "1234567"));
}

#[test]
fn short_values_are_found_as_words_alone() {
    assert!(hits("postgres", "--username=postgres"));
    assert!(hits("postgres", "-Upostgres"));
    assert!(hits("postgres", "postgres:x@db"));
    assert!(!hits("postgres", "/var/lib/postgresql/15/main"));
    assert!(!hits("postgres", "mypostgres"));
    assert!(!hits("54321098", "1543210987"));
    assert!(hits(
        "s3cr3t-token-of-24-bytes",
        "xs3cr3t-token-of-24-bytesx"
    ));
}

#[test]
fn lines_and_json_strings_are_found_and_what_every_key_has_is_not() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDEw\nabcdefghijkl\n-----END PRIVATE KEY-----\n";
    assert!(hits(key, "--key=MC4CAQAwBQYDK2VwBCIEIDEw"));
    assert!(!hits(key, "-----BEGIN PRIVATE KEY-----"));
    let json = r#"{"user":"app","nested":{"list":["a \"quoted\" value"]},"n":1234567890123}"#;
    assert!(hits(json, "a \"quoted\" value"));
    assert!(hits(json, "1234567890123"));
    assert!(!hits(json, "nested list"));
    assert!(hits("\"only a string\"", "only a string"));
}

#[test]
fn encoded_values_are_found_in_every_alphabet_and_alignment() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    let odd = "p\u{fc}\u{ff}?>~~~ss-w\u{f6}rd";
    for value in [PASSWORD, odd, "8 bytes!"] {
        for before in ["", "u:", "us:", "user:"] {
            let text = format!("{before}{value}");
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&text);
                assert!(hits(value, &encoded), "{encoded}");
                assert!(hits(value, &format!("Authorization: Basic {encoded}")));
                assert!(hits(value, &format!("/a/path/{encoded}")));
                assert!(hits(
                    value,
                    &encoded.replace('=', "%3D").replace('+', "%2B")
                ));
            }
        }
        let hex = each(value, |byte| format!("{byte:02x}"));
        assert!(hits(value, &hex) && hits(value, &hex.to_uppercase()));
        assert!(hits(value, &format!("0x{hex}")) && hits(value, &format!("a{hex}")));
        let percent = each(value, |byte| format!("%{byte:02X}"));
        assert!(hits(value, &percent) && hits(value, &percent.to_lowercase()));
        let json = serde_json::to_string(value).unwrap();
        assert!(hits(value, &format!("{{\"password\":{json}}}")));
    }
    assert!(hits("a value+more", "q=a+value%2Bmore"));
    assert!(hits(
        "say \"hello\" \u{1f600}",
        r#"{"v":"say \"hello\" \ud83d\ude00"}"#
    ));
    assert!(hits("two\nlines of it", r"two\nlines of it"));
}

#[test]
fn a_variable_is_searched_by_its_value() {
    let env = |text: &str| [CString::new(text).unwrap()];
    assert!(is_found(
        b"hunter2-hunter2",
        &[],
        &env("A=x hunter2-hunter2")
    ));
    // What a file of settings has beside its secrets.
    let file = b"NODE_ENV=production\nPASSWORD=hunter2-hunter2\n";
    assert!(!is_found(file, &[], &env("NODE_ENV=production")));
    assert!(is_found(
        b"PASSWORD=hunter2-hunter2\n",
        &[],
        &env("PASSWORD=hunter2-hunter2")
    ));
}

#[test]
fn many_lines_and_long_texts_take_no_time() {
    let lines: Vec<_> = (0..20_000)
        .map(|line| format!("line number {line:08}"))
        .collect();
    let value = lines.join(
        "
",
    );
    let noise = "0123456789abcdef/".repeat(7000);
    let start = std::time::Instant::now();
    assert!(!hits(&value, &noise));
    assert!(hits(&value, "x line number 00019999"));
    assert!(
        start.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}
