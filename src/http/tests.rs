//! Against servers of our own on loopback, which do what servers do on bad days.

mod addresses;
mod answers;
mod certificates;
mod clients;
mod fake;
mod known;
mod multiplexed;
mod names;
mod probes;
mod proxies;
mod redirects;
mod retry;
mod round_trips;
mod sessions;
mod tls;

use std::future::poll_fn;
use std::process::Command;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::*;
use crate::model::{Address, Tls};
use crate::secret::SecretBytes;

/// For tests whose end is not the deadline.
const ENOUGH: Duration = Duration::from_secs(20);

/// What a busy machine may be late by. Where it is added to a bound, what would be wrong takes longer.
const LATE: Duration = Duration::from_secs(4);

fn settings(addresses: &[&str]) -> Settings {
    let address = |written: &&str| match written.strip_prefix("unix://") {
        Some(path) => Address::Unix(path.into()),
        None => Address::Url((*written).to_owned()),
    };
    Settings {
        addresses: addresses.iter().map(address).collect(),
        tls: Tls::default(),
        deadline: ENOUGH,
        classify: standbys,
    }
}

/// Statuses of the caller's own.
fn standbys(status: u16) -> Option<Transient> {
    let own = Transient {
        words: "it is a performance standby",
        done: false,
        everywhere: false,
    };
    matches!(status, 472 | 473)
        .then_some(own)
        .or_else(|| transient(status))
}

fn within(deadline: Duration, addresses: &[&str]) -> Settings {
    Settings {
        deadline,
        ..settings(addresses)
    }
}

fn get(path: &str) -> Request {
    Request::new(Method::GET, path)
}

async fn send(settings: Settings, request: &Request) -> Result<Answer, HttpError> {
    Http::new(settings).session()?.send(request).await
}

/// The status and the body.
async fn answer(settings: Settings, path: &str) -> (u16, String) {
    let answer = send(settings, &get(path)).await.expect("an answer");
    let body = String::from_utf8(answer.body.expose().to_vec()).expect("text");
    (answer.status, body)
}

/// What a person reads.
async fn cause(settings: Settings) -> String {
    match send(settings, &get("/v1/kv/hidden-path")).await {
        Err(HttpError::NoAnswer { cause, .. }) => cause,
        Err(other) => panic!("no such fault was expected: {other:?}"),
        Ok(answer) => panic!("an answer: {}", answer.status),
    }
}

/// Runs the calling test once more, alone in a process with these variables: in there it gives true.
fn alone(test: &str, variables: &[(&str, &str)]) -> bool {
    const INSIDE: &str = "HUSHPIPE_TEST_ALONE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let binary = std::env::current_exe().expect("the test binary has a path");
    let name = format!("http::tests::{test}");
    let output = Command::new(binary)
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("the test binary starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// Drives all of them at once; their outputs in their order.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures = futures
        .into_iter()
        .map(|one| (Box::pin(one), None))
        .collect::<Vec<_>>();
    poll_fn(|context| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if futures.iter().all(|(_, output)| output.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// How long something took, with its outcome.
async fn timed<T>(what: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let outcome = what.await;
    (began.elapsed(), outcome)
}
