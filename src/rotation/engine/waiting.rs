//! Requests over the control socket, and who waits for what comes of them.

use tokio::sync::oneshot;

use crate::model::SecretName;
use crate::model::control::{Reply, Request};

/// Where a reply goes.
pub type Answer = oneshot::Sender<Reply>;

/// A request over the control socket, and where its reply goes.
///
/// It is answered when its rotation has ended. When the program ends before, `answer` is dropped
/// without a word. `Status` does not come here: see [`super::Engine::standing`].
pub struct ControlRequest {
    /// What is requested.
    pub request: Request,
    /// By whom: a process id and a uid.
    pub by: Option<(i32, u32)>,
    /// Where the reply goes. Its receiver may be gone.
    pub answer: Answer,
}

/// Those who wait for the end of a rotation.
#[derive(Default)]
pub struct Waiting {
    /// For the next one.
    pub next: Vec<Answer>,
    /// For the one in flight: their requests came before the stores were asked.
    pub now: Vec<Answer>,
    /// For the previous generation.
    pub back: Vec<Answer>,
    /// For a store that revokes what it gave for a secret.
    pub revoked: Vec<(SecretName, Answer)>,
}

impl Waiting {
    /// The stores are asked: requests that came before are answered when that has led to something.
    pub fn begins(&mut self) {
        self.now.append(&mut self.next);
    }
}
