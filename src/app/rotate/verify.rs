//! Asking whether the program is well with what it was given.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::beside::Beside;
use super::tell::request;
use crate::http::Method;
use crate::model::{Verify, VerifyHow, format_duration};

/// How long an answer to one question may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How long is waited between two questions.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks until the answer is good, or the time is up; says what was wrong last.
pub async fn verify(beside: Beside<'_>, verify: &Verify) -> Result<(), String> {
    let until = Instant::now() + verify.within;
    let why = match &verify.how {
        VerifyHow::Alive => {
            sleep(verify.within).await;
            return Ok(());
        }
        VerifyHow::Http(url) => {
            let ask = async |left: Duration| request(url, Method::GET, left.min(ANSWER)).await;
            again_and_again(until, ask).await
        }
        VerifyHow::Command(argv) => {
            let ask = async |left| beside.run(argv, left).await;
            again_and_again(until, ask).await
        }
    };
    why.map_err(|why| format!("{why} (tried for {})", format_duration(verify.within)))
}

async fn again_and_again(
    until: Instant,
    ask: impl AsyncFn(Duration) -> Result<(), String>,
) -> Result<(), String> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let why = match ask(left).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if Instant::now() + PAUSE >= until {
            return Err(why);
        }
        sleep(PAUSE).await;
    }
}
