//! The control socket: how a running launcher is asked for its state, and to do something. One
//! request, one reply, each a line of JSON (`model::control`); who may ask is told by SO_PEERCRED.

mod client;
mod places;
mod server;
#[cfg(test)]
mod tests;

use std::future::Future;

pub use client::{AskError, Found, LONGEST_OF_OTHERS, LONGEST_REPLY, Launcher, Limits, ask, look};
pub use places::{Place, Unusable, of_all, of_launcher, of_user, others};
pub use server::{NoSocket, Server};

use crate::model::control::{Asked, Reply};

/// Who asks, as SO_PEERCRED tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id; 0 when it is in a PID namespace that this one does not see.
    pub pid: i32,
    /// Its effective uid when it connected.
    pub uid: u32,
    /// Its groups then: that of SO_PEERCRED, and those of SO_PEERGROUPS where the kernel tells.
    pub gids: Vec<u32>,
}

/// Where requests are answered.
pub trait Desk {
    /// The reply to a request, when what was asked is done. Dropped when who asked goes away, which
    /// takes nothing back.
    fn answer(&self, asked: Asked, by: Peer) -> impl Future<Output = Reply>;
}
