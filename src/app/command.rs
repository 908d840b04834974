//! What a launcher is asked while it runs: over the control socket, one [`Asked`] for each request.

use tokio::sync::{mpsc, oneshot};

use crate::model::control::{Reply, Request};

/// One request, and where its reply goes.
///
/// `Status` is answered at once, with what rotation knows: generation, state, secrets, outages, the
/// next action, restarts; who serves the socket adds the rest. Any other request is answered when
/// its rotation has ended. When the program ends before, `answer` is dropped without a word.
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// Who asks: a process id and a uid.
    pub by: Option<(i32, u32)>,
    /// Where the reply goes. Nobody need wait for it.
    pub answer: oneshot::Sender<Reply>,
}

/// Requests on their way to [`super::rotate::Rotation`].
pub type Commands = mpsc::Receiver<Asked>;

/// The next request; never, when nobody can ask any more.
pub async fn next(commands: &mut Commands) -> Asked {
    match commands.recv().await {
        Some(asked) => asked,
        None => std::future::pending().await,
    }
}
