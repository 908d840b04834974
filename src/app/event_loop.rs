//! The one thread, and what is to be in place before it runs.

use tokio::runtime::{Builder, Runtime};

use super::failure::{Failures, os};
use crate::sys::signals::Signals;

/// One thread, one event loop.
pub fn runtime() -> Result<Runtime, Failures> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(os("cannot set up the event loop"))
}

/// Signals are hushpipe's to handle from now on.
pub fn take_signals() -> Result<Signals, Failures> {
    Signals::block_all().map_err(os("cannot take over signals"))
}

/// Waits for a signal that ends a service.
#[cfg(feature = "monitor")]
pub async fn until_stopped(signals: &mut Signals) -> Result<(), Failures> {
    use crate::model::Signal;
    let ends = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP];
    loop {
        let received = signals.next().await.map_err(os("cannot receive signals"))?;
        if ends.iter().any(|end| end.number() == received.signal) {
            return Ok(());
        }
    }
}
