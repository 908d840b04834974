//! Redirects: to an address of the store, and nowhere else.

use reqwest::header::{HeaderName, HeaderValue};

use super::fake::{Act, Fake, say, whole};
use super::*;

fn fine() -> Act {
    say("200 OK", "fine")
}

fn to(location: &str) -> Act {
    moved("307 Temporary Redirect", location)
}

fn moved(status: &str, location: &str) -> Act {
    Act::Say(whole(status, &format!("Location: {location}\r\n"), ""))
}

fn with_token(method: Method) -> Request {
    Request::new(method, "/v1/a").header(
        HeaderName::from_static("x-vault-token"),
        HeaderValue::from_static("t0ken"),
    )
}

#[tokio::test]
async fn a_redirect_to_another_address_is_followed_with_all_that_was_sent() {
    for status in ["301 M", "302 M", "307 M", "308 M"] {
        let active = Fake::always(fine()).await;
        let location = format!("{}/v1/a?x=1", active.address);
        let standby = Fake::always(moved(status, &location)).await;
        let http = Http::new(settings(&[&standby.address, &active.address]));
        let request = with_token(Method::POST).json(SecretBytes::new(b"{}".to_vec()));
        http.session().unwrap().send(&request).await.unwrap();
        let sent = &active.requests()[0];
        assert!(sent.starts_with("POST /v1/a?x=1 HTTP/1.1"), "{sent}");
        assert!(sent.contains("x-vault-token: t0ken"), "{sent}");
        assert!(sent.ends_with("{}"), "{sent}");
        // The active one is asked first from now on.
        http.session().unwrap().send(&request).await.unwrap();
        assert_eq!(standby.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_refused_with_the_host() {
    let stranger = Fake::always(fine()).await;
    for location in [
        format!("{}/v1/a", stranger.address),
        format!("//127.0.0.1:{}/v1/a", stranger.port),
    ] {
        let fake = Fake::always(to(&location)).await;
        let end = send(settings(&[&fake.address]), &with_token(Method::GET)).await;
        let Err(HttpError::NoAnswer { cause, .. }) = end else {
            panic!("a fault was expected");
        };
        assert!(cause.contains(&stranger.address), "{cause}");
        assert!(cause.contains("add it to `address`"), "{cause}");
        assert!(!cause.contains("v1"), "{cause}");
        assert_eq!(fake.requests().len(), 1, "it is not tried again");
    }
    assert!(stranger.requests().is_empty());
}

#[tokio::test]
async fn another_address_may_answer_where_one_redirects_elsewhere() {
    let fake = Fake::always(to("https://elsewhere.example/v1/a")).await;
    let other = Fake::always(fine()).await;
    assert_eq!(
        answer(settings(&[&fake.address, &other.address]), "/v1/a")
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    for base in ["", "/base"] {
        let fake = Fake::in_turn(vec![to(&format!("{base}/v1/b")), fine()]).await;
        answer(settings(&[&format!("{}{base}", fake.address)]), "/v1/a").await;
        let sent = &fake.requests()[1];
        assert!(
            sent.starts_with(&format!("GET {base}/v1/b HTTP/1.1")),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn a_redirect_out_of_an_addresss_path_is_refused() {
    let fake = Fake::always(to("/other/v1/b")).await;
    let said = cause(settings(&[&format!("{}/base", fake.address)])).await;
    assert!(said.contains("add it to `address`"), "{said}");
}

#[tokio::test]
async fn a_unix_socket_redirects_to_itself_alone() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::unix(&directory.path().join("a"), to("http://127.0.0.1:1/v1/a"));
    let said = cause(settings(&[&fake.address])).await;
    assert!(said.contains("http://127.0.0.1:1"), "{said}");
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let fake = Fake::always(to("/v1/a")).await;
    let deadline = Duration::from_millis(300);
    let said = cause(within(deadline, &[&fake.address])).await;
    assert_eq!(said, "it redirects again and again");
}

#[tokio::test]
async fn what_is_no_url_is_not_followed() {
    let fake = Fake::always(to("http://[")).await;
    let said = cause(settings(&[&fake.address])).await;
    assert_eq!(said, "it redirects to something that is not a URL");
}

#[tokio::test]
async fn see_other_is_given_to_the_caller() {
    let fake = Fake::always(moved("303 See Other", "/v1/b")).await;
    assert_eq!(answer(settings(&[&fake.address]), "/v1/a").await.0, 303);
}
