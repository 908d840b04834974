//! What a request for a secret led to.

use std::rc::Rc;

use super::answer::Secret;
use super::held_back::PendingRequest;
use super::token::Token;
use crate::sys::clock::Boottime;

/// An answer, and how it came.
pub(super) struct Read {
    pub secret: Secret,
    /// When it was asked for.
    pub since: Boottime,
    /// As whom; `None`: with a wrapping token.
    pub token: Option<Rc<Token>>,
    /// People had to authorize it.
    pub controlled: bool,
}

/// What a request led to.
pub(super) enum Answered {
    /// This.
    Secret(Read),
    /// People have to authorize it first.
    Controlled(PendingRequest),
}
