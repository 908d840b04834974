//! An answer, and its body, piece by piece.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::causes;
use super::error::HttpError;
use super::retry::{AttemptError, TryError, Weight};
use crate::secret::{Pieces, SecretBytes};

/// What a server answered with any other status than those that are tried again.
pub struct Answer {
    /// 200 to 499.
    pub status: u16,
    /// At most [`MAX_ANSWER`] bytes.
    pub body: SecretBytes,
}

/// Answers that are larger are refused.
pub const MAX_ANSWER: usize = 16 << 20;

/// Reads a body to its end. What has arrived waits for the rest in protected memory.
pub(super) async fn read(
    mut answer: Response,
    pause: Duration,
) -> Result<SecretBytes, AttemptError> {
    let announced = usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > MAX_ANSWER {
        return Err(too_large().into());
    }
    let mut body = Pieces::default();
    loop {
        match timeout(pause, answer.chunk()).await {
            Ok(Ok(Some(piece))) if body.len() + piece.len() > MAX_ANSWER => {
                return Err(too_large().into());
            }
            Ok(Ok(Some(piece))) => body.push(&piece).map_err(HttpError::NoMemory)?,
            Ok(Ok(None)) => return Ok(body.take()),
            Ok(Err(error)) => {
                let error = causes::of(&error, None).unwrap_or_else(stuck);
                return Err(error.done().into());
            }
            Err(_) => return Err(stuck().done().into()),
        }
    }
}

fn stuck() -> TryError {
    TryError::new(Weight::Silent, "it stops in the middle of its answer")
}

fn too_large() -> HttpError {
    HttpError::Unusable(format!(
        "the answer is larger than {} MiB: no secret is",
        MAX_ANSWER >> 20
    ))
}

/// Whether a server says that its port speaks TLS: Go's net/http (Vault and OpenBao), nginx, Apache.
pub(super) fn asks_for_tls(body: &SecretBytes) -> bool {
    const WORDS: [&[u8]; 3] = [
        b"sent an HTTP request to an HTTPS server",
        b"plain HTTP request was sent to HTTPS port",
        b"speaking plain HTTP to an SSL-enabled server port",
    ];
    WORDS
        .iter()
        .any(|words| memchr::memmem::find(body.expose(), words).is_some())
}
