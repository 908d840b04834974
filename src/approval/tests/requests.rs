//! Requests: one form, and no other.

use super::check::{launch, request};
use crate::approval::{Request, RequestError};

#[test]
fn a_request_is_read_as_it_is_written() {
    let request = request();
    let bytes = request.to_bytes();
    assert_eq!(Request::parse(&bytes).unwrap(), request);
    let text = String::from_utf8(bytes).unwrap();
    let digest = |c: char| String::from(c).repeat(64);
    assert_eq!(
        text,
        format!(
            "{{\"arguments_sha256\":\"{}\",\"by\":\"carol\",\"created\":\"2026-11-28T12:00:00Z\",\
             \"environment\":\"production\",\"expires\":\"2026-11-28T20:00:00Z\",\"host\":\"db1\",\
             \"id\":\"07070707070707070707070707070707\",\"manifest_sha256\":\"{}\",\
             \"policies\":{{\"ids\":[\"two\"],\"sha256\":\"{}\"}},\
             \"program\":{{\"path\":\"/usr/bin/psql\",\"sha256\":\"{}\"}},\"reason\":\"INC-7\",\
             \"secrets\":[{{\"asked\":\"db/password\",\"store\":\"bao\"}}],\"service\":\"payments\",\
             \"uid\":1000,\"uses\":1,\"version\":1}}\n",
            digest('a'),
            digest('b'),
            digest('c'),
            digest('d')
        )
    );
    assert_eq!(launch().service, "payments");
}

#[test]
fn what_was_changed_by_hand_is_no_request() {
    let good = String::from_utf8(request().to_bytes()).unwrap();
    let error = |text: &str| Request::parse(text.as_bytes()).unwrap_err();
    for other in [
        good.trim_end().to_owned(),
        format!("{good}\n"),
        format!(" {good}"),
        good.replace("\"uid\":1000", "\"uid\": 1000"),
        good.replace("carol", "c\\u0061rol"),
        good.replace("\"uid\":1000,\"uses\":1", "\"uses\":1,\"uid\":1000"),
    ] {
        assert!(
            matches!(error(&other), RequestError::NotCanonical),
            "{other}"
        );
    }
    for (from, to, why) in [
        ("\"by\":\"carol\",", "", "missing field `by`"),
        ("\"by\":", "\"bye\":1,\"by\":", "unknown field `bye`"),
        ("\"by\":", "\"by\":\"x\",\"by\":", "duplicate field"),
        ("\"uid\":1000", "\"uid\":-1", "invalid value"),
        ("\"uses\":1", "\"uses\":0", "`uses`"),
        ("\"uses\":1", "\"uses\":10001", "`uses`"),
        ("12:00:00Z", "21:00:00Z", "`expires`"),
        ("0707", "07G7", "32 hex digits"),
        ("aaaa", "aaaA", "digest"),
        (
            "[{\"asked\":\"db/password\",\"store\":\"bao\"}]",
            "[]",
            "`secrets`",
        ),
        ("\"version\":1", "\"version\":2", "version 2"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let error = error(&text).to_string();
        assert!(error.contains(why), "{from}: {error}");
    }
    for text in ["", "null", "[]", "{}", "\u{0}"] {
        error(text);
    }
}

#[test]
fn what_is_too_long_is_no_request() {
    let mut request = request();
    request.reason = "x".repeat(262_144);
    let error = Request::parse(&request.to_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it is longer than 262144 bytes: this is no request"
    );
}
