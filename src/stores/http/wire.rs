//! Whether a request is with the server: for what the server does even if nobody waits any more.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::secret::SecretBytes;

/// Set while a request has begun to be written, and its answer is not there.
#[derive(Clone, Default)]
pub struct Wire(Arc<AtomicBool>);

impl Wire {
    /// Whether the server may be at work on it.
    pub fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The request is being written.
    pub(in crate::stores) fn is_taken(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The try has ended, well or not.
    pub(in crate::stores) fn rests(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// A body that tells when it is taken: a connection is there then, and the head is written.
    pub(super) fn body(&self, bytes: &SecretBytes) -> reqwest::Body {
        reqwest::Body::wrap(Told {
            bytes: Some(bytes.expose().to_vec().into()),
            wire: self.clone(),
        })
    }
}

/// All of a body, in one piece.
struct Told {
    bytes: Option<Bytes>,
    wire: Wire,
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.wire.is_taken();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
