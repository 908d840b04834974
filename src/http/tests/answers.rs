//! What servers answer, and what is tried again.

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::fake::{Act, Fake, say, whole};
use super::*;

const SHORT: Duration = Duration::from_millis(600);

fn fine() -> Act {
    say("200 OK", "fine")
}

#[tokio::test]
async fn an_answer_comes_with_its_status_and_body() {
    let fake = Fake::always(say("200 OK", "the body")).await;
    let answer = answer(settings(&[&fake.address]), "/v1/a").await;
    assert_eq!(answer, (200, "the body".to_owned()));
}

#[tokio::test]
async fn a_request_is_sent_as_it_was_made() {
    let fake = Fake::always(fine()).await;
    let request = Request::new(Method::POST, "/v1/a%20b/c?list=true")
        .header(
            HeaderName::from_static("x-vault-token"),
            HeaderValue::from_static("t0ken"),
        )
        .json(SecretBytes::new(b"{\"a\":1}".to_vec()));
    send(settings(&[&fake.address]), &request).await.unwrap();
    let sent = &fake.requests()[0];
    assert!(
        sent.starts_with("POST /v1/a%20b/c?list=true HTTP/1.1\r\n"),
        "{sent}"
    );
    assert!(sent.contains("x-vault-token: t0ken\r\n"), "{sent}");
    assert!(
        sent.contains("content-type: application/json\r\n"),
        "{sent}"
    );
    assert!(sent.ends_with("\r\n\r\n{\"a\":1}"), "{sent}");
}

#[tokio::test]
async fn an_address_may_have_a_path() {
    let fake = Fake::always(fine()).await;
    answer(settings(&[&format!("{}/vault", fake.address)]), "/v1/a").await;
    assert!(fake.requests()[0].starts_with("GET /vault/v1/a HTTP/1.1"));
}

#[tokio::test]
async fn what_is_the_callers_is_not_tried_again() {
    for status in [
        "204 No Content",
        "400 Bad Request",
        "403 Forbidden",
        "404 Not Found",
    ] {
        let fake = Fake::always(say(status, "")).await;
        let (given, _) = answer(settings(&[&fake.address]), "/v1/a").await;
        assert_eq!(given.to_string(), status[..3]);
        assert_eq!(fake.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_owned();
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf".to_owned();
    let mut acts: Vec<Act> = [429, 472, 473, 500, 502, 503, 504]
        .iter()
        .map(|status| say(&format!("{status} no"), "{}"))
        .collect();
    acts.extend([cut, chunks, String::new(), "HTTP/1.1 200".to_owned()].map(Act::Cut));
    for act in acts {
        let fake = Fake::in_turn(vec![act, fine()]).await;
        let answer = answer(settings(&[&fake.address]), "/v1/a").await;
        assert_eq!(answer, (200, "fine".to_owned()));
        assert_eq!(fake.requests().len(), 2);
    }
}

#[tokio::test]
async fn what_lasts_until_the_deadline_is_said() {
    for (status, words) in [
        ("503 Service Unavailable", "not available"),
        ("500 Internal Server Error", "status 500"),
        ("473 Standby", "performance standby"),
        ("429 Too Many Requests", "too many requests"),
    ] {
        let fake = Fake::always(say(status, "the servers own words")).await;
        let (took, cause) = timed(cause(within(SHORT, &[&fake.address]))).await;
        assert!(cause.contains(words), "{cause}");
        assert!(!cause.contains("own words"), "{cause}");
        assert!(took < SHORT + LATE && took > SHORT / 4, "{took:?}");
        assert!(fake.requests().len() > 1);
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_not_asked_before() {
    let patience = whole("429 Too Many", "Retry-After: 1\r\n", "");
    let fake = Fake::in_turn(vec![Act::Say(patience), fine()]).await;
    let (took, _) = timed(answer(settings(&[&fake.address]), "/v1/a")).await;
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(1) + LATE,
        "{took:?}"
    );
}

#[tokio::test]
async fn a_wait_past_the_deadline_is_not_waited_for() {
    let patience = whole("503 Sealed", "Retry-After: 3600\r\n", "");
    let fake = Fake::always(Act::Say(patience)).await;
    let (took, cause) = timed(cause(settings(&[&fake.address]))).await;
    assert!(cause.contains("it asks to wait 3600s"), "{cause}");
    assert!(took < LATE, "{took:?}");
}

#[tokio::test]
async fn a_server_that_is_silent_ends_in_a_deadline() {
    let fake = Fake::always(Act::Hang).await;
    let (took, end) = timed(send(within(SHORT, &[&fake.address]), &get("/"))).await;
    assert!(matches!(end, Err(HttpError::Deadline { .. })));
    assert!(took >= SHORT / 2 && took < SHORT + LATE, "{took:?}");
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_ends_in_a_deadline() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let fake = Fake::always(Act::Slowly(half.to_owned(), Duration::ZERO)).await;
    let end = send(within(SHORT, &[&fake.address]), &get("/")).await;
    assert!(matches!(end, Err(HttpError::Deadline { .. })));
    assert!(fake.requests().len() > 1, "it is tried again");
}

#[tokio::test]
async fn slow_bytes_are_waited_for() {
    let slow = Act::Slowly(whole("200 OK", "", "slow"), Duration::from_millis(5));
    let fake = Fake::always(slow).await;
    let answer = answer(settings(&[&fake.address]), "/v1/a").await;
    assert_eq!(answer, (200, "slow".to_owned()));
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn garbage_is_not_tried_again() {
    for garbage in [
        "{\"no\": \"http\"}\r\n\r\n",
        "\u{15}\u{3}\u{1}\u{0}\u{2}",
        "HTTP/9.9 200\r\n\r\n",
    ] {
        let fake = Fake::always(Act::Cut(garbage.to_owned())).await;
        let cause = cause(settings(&[&fake.address])).await;
        assert!(cause.starts_with("its response is not HTTP"), "{cause}");
        assert_eq!(fake.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_port_that_speaks_tls_is_told() {
    let words = "Client sent an HTTP request to an HTTPS server.\n";
    let fake = Fake::always(Act::Cut(whole("400 Bad Request", "", words))).await;
    let cause = cause(settings(&[&fake.address])).await;
    assert_eq!(cause, "it speaks TLS: write https://");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_by_its_length() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        MAX_ANSWER + 1
    );
    let fake = Fake::always(Act::Say(head)).await;
    let end = send(settings(&[&fake.address]), &get("/")).await;
    assert!(matches!(end, Err(HttpError::Unusable(reason)) if reason.contains("16 MiB")));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_as_it_comes() {
    let fake = Fake::start(|_, _| {
        let piece = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Act::Say(format!("{head}{}", piece.repeat(17)))
    })
    .await;
    let end = send(settings(&[&fake.address]), &get("/")).await;
    assert!(matches!(end, Err(HttpError::Unusable(reason)) if reason.contains("16 MiB")));
}

#[tokio::test]
async fn the_largest_answer_is_taken() {
    let body = "y".repeat(MAX_ANSWER);
    let fake = Fake::always(say("200 OK", &body)).await;
    let answer = send(settings(&[&fake.address]), &get("/")).await.unwrap();
    assert_eq!(answer.body.len(), MAX_ANSWER);
}

#[tokio::test]
async fn what_is_for_one_use_is_not_sent_twice() {
    for act in [
        say("500 no", ""),
        say("502 no", ""),
        Act::Cut(String::new()),
    ] {
        let fake = Fake::in_turn(vec![act, fine()]).await;
        let end = send(settings(&[&fake.address]), &get("/").once()).await;
        assert!(matches!(end, Err(HttpError::NoAnswer { .. })));
        assert_eq!(fake.requests().len(), 1);
    }
}

#[tokio::test]
async fn what_is_for_one_use_is_sent_again_where_it_was_not_used() {
    let gone = Fake::always(fine()).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    send(settings(&[&nobody, &gone.address]), &get("/").once())
        .await
        .unwrap();
    for status in ["429 no", "472 no", "473 no", "503 no"] {
        let fake = Fake::in_turn(vec![say(status, ""), fine()]).await;
        send(settings(&[&fake.address]), &get("/").once())
            .await
            .unwrap();
        assert_eq!(fake.requests().len(), 2);
    }
}

#[tokio::test]
async fn what_is_for_one_use_may_take_all_of_the_deadline() {
    const ALL: Duration = Duration::from_secs(6);
    // Longer than half of it, which is what a request may take that can be made again.
    let bytes = whole("200 OK", "", "");
    let pause = ALL * 3 / 5 / u32::try_from(bytes.len()).unwrap();
    let fake = Fake::always(Act::Slowly(bytes, pause)).await;
    send(within(ALL, &[&fake.address]), &get("/").once())
        .await
        .unwrap();
    assert_eq!(fake.requests().len(), 1);
}

#[tokio::test]
async fn no_fault_quotes_the_request_or_the_answer() {
    let fake = Fake::always(say("500 no", "s3cret")).await;
    let request = get("/v1/p4th?parameter=qu3ry").header(
        HeaderName::from_static("x-vault-token"),
        HeaderValue::from_static("t0ken"),
    );
    for address in [
        fake.address.as_str(),
        "http://127.0.0.1:1",
        "https://127.0.0.1:1",
    ] {
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), certificates::Authority::new().pem()).unwrap();
        let mut settings = within(SHORT, &[address]);
        settings.tls.ca_file = Some(ca.path().to_owned());
        let end = send(settings, &request).await.err().expect("a fault");
        let said = format!("{end:?}");
        for part in ["p4th", "qu3ry", "t0ken", "s3cret"] {
            assert!(!said.contains(part), "{said}");
        }
    }
}
