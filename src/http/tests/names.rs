//! Names, and the threads that look them up.

use std::time::Duration;

use super::fake::{Fake, say};
use super::*;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// A thread is gone for the kernel a moment after it was joined.
async fn settles_at(count: usize) {
    for _ in 0..200 {
        if threads() == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} threads, not {count}", threads());
}

#[tokio::test]
async fn a_name_is_looked_up_and_no_thread_stays() {
    if !alone("names::a_name_is_looked_up_and_no_thread_stays", &[]) {
        return;
    }
    let before = threads();
    let fake = Fake::always(say("200 OK", "")).await;
    answer(
        settings(&[&format!("http://localhost:{}", fake.port)]),
        "/v1/a",
    )
    .await;
    settles_at(before).await;
}

#[tokio::test]
async fn a_name_that_is_not_known_is_said() {
    let deadline = Duration::from_secs(1);
    let (took, cause) = timed(cause(within(deadline, &["http://no-such-name.invalid:1"]))).await;
    assert!(cause.contains("no-such-name.invalid"), "{cause}");
    assert!(took < deadline + LATE, "{took:?}");
}

#[tokio::test]
async fn a_look_up_that_nobody_waits_for_can_be_waited_for() {
    if !alone(
        "names::a_look_up_that_nobody_waits_for_can_be_waited_for",
        &[],
    ) {
        return;
    }
    let before = threads();
    let fake = Fake::always(say("200 OK", "")).await;
    let http = Http::new(settings(&[&format!("http://localhost:{}", fake.port)]));
    let session = http.session().unwrap();
    let request = get("/v1/a");
    tokio::select! {
        biased;
        () = begun() => {}
        _ = session.send(&request) => panic!("it was not to end"),
    }
    lookups_ended().await;
    settles_at(before).await;
    // What it found is taken by who asks next.
    session.send(&request).await.unwrap();
}

/// Ends when it is asked for the second time: what it is raced against has begun by then.
async fn begun() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
