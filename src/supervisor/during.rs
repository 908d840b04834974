//! Before the program runs: work goes on while signals and children are looked after.

use std::future::Future;
use std::pin::pin;

use super::error::Error;
use super::{Supervisor, exit};
use crate::model::{Exited, Signal};
use crate::sys::reaper::Change;
use crate::sys::signals::{self, Received, Signals};

/// Why work before the start of the program did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// hushpipe was asked to end: the exit code is 128+N.
    #[error("{0} came before the program was started")]
    Signal(Signal),
    /// The system refused something.
    #[error(transparent)]
    Fault(Error),
}

impl Interrupted {
    /// How hushpipe ends: as the program would have.
    pub const fn exited(&self) -> Exited {
        match self {
            Self::Signal(signal) => Exited {
                code: exit::code_of(*signal),
                signal: Some(*signal),
            },
            Self::Fault(error) => Exited {
                code: error.exit().code(),
                signal: None,
            },
        }
    }
}

/// How many ends are remembered for a program that ends before it is adopted.
const REMEMBERED: usize = 64;

impl Supervisor {
    /// Does work before the program runs, with children reaped beside it. SIGTERM, SIGINT, SIGHUP or
    /// SIGQUIT end it at once, unless hushpipe's caller ignored them: the work is dropped where it
    /// waits, and its result where it did not.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        // Values are read and rendered without a wait: a signal may have come meanwhile.
        let work = async {
            let result = work.await;
            tokio::task::yield_now().await;
            result
        };
        let mut work = pin!(work);
        loop {
            let more = self.more;
            let received = tokio::select! {
                biased;
                received = self.signals.next() => Some(received),
                () = tokio::task::yield_now(), if more => None,
                result = &mut work => return Ok(result),
            };
            let step = match received {
                Some(received) => received
                    .map_err(|error| Error::new("cannot receive signals", error))
                    .and_then(|received| self.early_signal(received)),
                None => self.reap_early().map(|()| None),
            };
            match step {
                Ok(None) => {}
                Ok(Some(signal)) => return Err(Interrupted::Signal(signal)),
                Err(error) => return Err(Interrupted::Fault(error)),
            }
        }
    }

    fn early_signal(&mut self, received: Received) -> Result<Option<Signal>, Error> {
        let Some(signal) = Signal::from_number(received.signal) else {
            return Ok(None);
        };
        let ignored = Signals::ignored_by_caller(received.signal);
        match signal {
            Signal::CHLD => self.reap_early()?,
            Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT if !ignored => {
                return Ok(Some(signal));
            }
            Signal::TSTP | Signal::TTIN | Signal::TTOU if !ignored => {
                signals::suspend(received.signal)
                    .map_err(|error| Error::new("cannot suspend hushpipe", error))?;
            }
            _ => {}
        }
        Ok(None)
    }

    /// Reaps; ends are kept for a while, as one of them may be of a program about to be adopted.
    fn reap_early(&mut self) -> Result<(), Error> {
        let reaped = self.reap()?;
        let ends = reaped
            .into_iter()
            .filter(|change: &Change| change.status.is_end());
        self.early.extend(ends);
        let surplus = self.early.len().saturating_sub(REMEMBERED);
        self.early.drain(..surplus);
        Ok(())
    }
}
