//! A request's body on its way out, and whether it is with the server: for what the server does even
//! if the caller stops waiting.

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
    pub fn is_taken(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The try has ended, well or not.
    pub fn rests(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The bytes of a body, shared by all tries of a request; wiped with the last of them.
#[derive(Clone)]
pub(super) struct Content(Arc<SecretBytes>);

impl Content {
    pub(super) fn new(bytes: SecretBytes) -> Self {
        Self(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// All of a body, in one piece, which is not copied. When it is taken, a connection is there and the
/// head is written.
pub(super) struct Outgoing {
    content: Option<Content>,
    wire: Option<Wire>,
}

impl Outgoing {
    pub(super) fn new(content: &Content, wire: Option<&Wire>) -> Self {
        Self {
            content: Some(content.clone()),
            wire: wire.cloned(),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(wire) = &self.wire {
            wire.is_taken();
        }
        let content = self.content.take().map(Bytes::from_owner);
        Poll::Ready(content.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self
            .content
            .as_ref()
            .map_or(0, |bytes| bytes.as_ref().len());
        SizeHint::with_exact(length as u64)
    }
}
