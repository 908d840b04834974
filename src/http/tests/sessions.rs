//! What a session holds, and that nothing is left of it.

use std::rc::Rc;

use super::fake::{Fake, say};
use super::*;

#[tokio::test]
async fn who_asks_while_a_session_lives_shares_it() {
    let fake = Fake::always(say("200 OK", "")).await;
    let http = Http::new(settings(&[&fake.address]));
    let session = http.session().unwrap();
    assert!(Rc::ptr_eq(&session, &http.session().unwrap()));
    for _ in 0..3 {
        session.send(&get("/v1/a")).await.unwrap();
    }
    assert_eq!(fake.accepted(), 1);
}

#[tokio::test]
async fn a_session_that_nobody_holds_leaves_no_connection() {
    let fake = Fake::always(say("200 OK", "")).await;
    let http = Http::new(settings(&[&fake.address]));
    let session = http.session().unwrap();
    session.send(&get("/v1/a")).await.unwrap();
    drop(session);
    fake.all_closed().await;
    http.session().unwrap().send(&get("/v1/a")).await.unwrap();
    assert_eq!(fake.accepted(), 2);
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_any_address() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::unix(&directory.path().join("api.sock"), say("200 OK", "local"));
    let answer = answer(settings(&[&fake.address]), "/v1/a").await;
    assert_eq!(answer, (200, "local".to_owned()));
    assert!(fake.requests()[0].contains("\r\nhost: localhost\r\n"));
}
