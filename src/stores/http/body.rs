//! An answer's body, piece by piece.

use std::io;
use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::MAX_ANSWER;
use super::fault;
use super::retry::{Failed, Trouble, Weight};
use crate::secret::{Pieces, SecretBytes};
use crate::stores::Fault;

/// Reads a body to its end. What has arrived waits for the rest in protected memory.
pub(super) async fn read(mut answer: Response, pause: Duration) -> Result<SecretBytes, Failed> {
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
            Ok(Ok(Some(piece))) => body.push(&piece).map_err(no_room)?,
            Ok(Ok(None)) => return Ok(body.take()),
            Ok(Err(error)) => {
                let trouble = fault::of(&error, None).unwrap_or_else(stuck);
                return Err(trouble.done().into());
            }
            Err(_) => return Err(stuck().done().into()),
        }
    }
}

fn no_room(source: io::Error) -> Fault {
    Fault::Unreachable {
        tried: "protected memory".into(),
        source,
    }
}

fn stuck() -> Trouble {
    Trouble::new(Weight::Silent, "it stops in the middle of its answer")
}

fn too_large() -> Fault {
    Fault::Malformed {
        reason: format!(
            "the answer is larger than {} MiB: no secret is",
            MAX_ANSWER >> 20
        ),
    }
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
