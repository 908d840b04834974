//! Requests over the control socket on their way to [`super::rotate::Rotation`].

use tokio::sync::mpsc;

use crate::rotation::engine::ControlRequest;

/// Where they come from.
pub type Commands = mpsc::Receiver<ControlRequest>;

/// The next request; never, when none can come any more.
pub async fn next(commands: &mut Commands) -> ControlRequest {
    match commands.recv().await {
        Some(request) => request,
        None => std::future::pending().await,
    }
}
