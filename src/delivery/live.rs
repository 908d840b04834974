//! What deliveries do for as long as the program runs.

use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::Pin;

use super::{Carried, DeliveryError, Inspection};
use crate::model::{Event, Generation, Receipt};

/// A future on hushpipe's one thread.
pub type Serving<'a> = Pin<Box<dyn Future<Output = Result<Served, DeliveryError>> + 'a>>;

/// What [`Live::serve`] ended with.
pub enum Served {
    /// Something happened.
    Event(Event),
    /// [`Live::inspect`] is to be called.
    Disturbed,
}

/// Deliveries of one kind, or the directories they lie in, behind a running program. A generation is
/// staged, swapped in, and then either retired (the one before goes) or swapped back. What a kind does
/// not have, it leaves as it is here.
pub trait Live {
    /// Prepares a generation beside the current one, unseen by the program. On an error nothing of it
    /// stays.
    fn stage(&mut self, _: Generation, _: &Carried<'_>) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Puts the staged generation in place; the one before stays for [`Live::swap_back`]. On an error
    /// the current one stays in place.
    fn swap(&mut self, _: &Receipt) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Puts the generation before back, until it is retired.
    fn swap_back(&mut self, _: &Receipt) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Removes the generation that is not in place any more.
    fn retire(&mut self) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Removes what was staged and not swapped in.
    fn discard(&mut self) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// Serves the program until something happened. Never ends where there is nothing to serve. Can be
    /// dropped and called again.
    fn serve(&mut self) -> Serving<'_> {
        Box::pin(pending())
    }

    /// Looks whether what is delivered is where it was put, and puts it back.
    fn inspect(&mut self, _: &mut Inspection) {}

    /// The paths at which another program, which cannot see what is delivered there, made an empty
    /// directory. Those are removed.
    fn mistaken(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Removes everything, at the end of the program.
    fn remove(self: Box<Self>) -> Result<(), DeliveryError> {
        Ok(())
    }

    /// For a hushpipe that could not become the program: removes what was made for it. Descriptors are
    /// left alone: on the way to the program their numbers may have been given to others.
    fn give_up(self: Box<Self>) -> Result<(), DeliveryError> {
        std::mem::forget(self);
        Ok(())
    }
}
