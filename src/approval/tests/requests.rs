//! Requests: one form, and no other.

use super::check::{launch, request};
use crate::approval::{Request, RequestError, shown_arguments};

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
            "{{\"action\":\"deliver\",\"arguments\":[\"-l\"],\"arguments_sha256\":\"{}\",\
             \"break_glass\":false,\"by\":\"carol\",\
             \"created\":\"2026-11-28T12:00:00Z\",\"directory\":\"/srv/payments\",\
             \"environment\":\"production\",\"expires\":\"2026-11-28T20:00:00Z\",\"host\":\"db1\",\
             \"id\":\"07070707070707070707070707070707\",\"isolation\":\"\",\
             \"manifest\":{{\"path\":\"/srv/payments/hushpipe.yaml\",\"sha256\":\"{}\",\"signed_by\":\"\"}},\
             \"mode\":\"supervise\",\"policies\":{{\"sha256\":\"{}\",\"wanted\":[{{\"group\":\"sre\",\
             \"needed\":2,\"policy\":\"two\",\"within\":28800}}]}},\
             \"program\":{{\"argv0\":\"psql\",\"interpreter\":\"\",\"interpreter_sha256\":\"\",\
             \"path\":\"/usr/bin/psql\",\"sha256\":\"{}\"}},\"reason\":\"INC-7\",\
             \"secrets\":[{{\"asked\":\"db/password\",\"deliveries\":[\"fd\"],\"store\":\"bao\"}}],\
             \"service\":\"payments\",\"uid\":1000,\"uses\":1,\
             \"variables\":{{\"names\":[],\"sha256\":\"\"}},\"version\":1}}\n",
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
            "\"interpreter\":\"\"",
            "\"interpreter\":\"/bin/sh\"",
            "digest",
        ),
        ("\"names\":[]", "\"names\":[\"A\"]", "digest"),
        ("\"deliver\"", "\"reveal\"", "unknown variant"),
        (
            "[{\"asked\":\"db/password\",\"deliveries\":[\"fd\"],\"store\":\"bao\"}]",
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
fn arguments_that_do_not_fit_are_counted() {
    let few = ["a".to_owned(), "b c".to_owned()];
    assert_eq!(shown_arguments(few.clone()), few);
    let many = vec!["\u{1}".repeat(1_000); 1_000];
    let shown = shown_arguments(many);
    assert_eq!(shown.last().unwrap(), "... and 995 more");
    let mut request = request();
    request.arguments = shown;
    assert!(Request::parse(&request.to_bytes()).is_ok());
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
