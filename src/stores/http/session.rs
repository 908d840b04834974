//! A session: the addresses of a server, each with its connections, and the rounds through them.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::reach::{Reach, Reply};
use super::retry::{Failed, Limits, Tries, Trouble, Weight};
use super::{Answer, Delay, Request, Settings, redirect, tls};
use crate::model::Tls;
use crate::stores::Fault;

/// Redirects that are followed one after the other.
const MAX_REDIRECTS: usize = 3;

/// Connections to one server. When it is dropped, they are closed, and what TLS knew is gone.
pub struct Session {
    tls: Tls,
    config: OnceCell<ClientConfig>,
    reaches: Vec<Reach>,
    deadline: Duration,
    last: Rc<Cell<usize>>,
    delay: Delay,
}

/// One request on its way.
pub(super) struct Ask<'a> {
    pub request: &'a Request,
    /// The request's own path, or where a redirect leads.
    pub path: Cow<'a, str>,
    pub limits: Limits,
    pub until: Instant,
}

impl Session {
    pub(super) fn open(
        settings: &Settings,
        last: Rc<Cell<usize>>,
        delay: Delay,
    ) -> Result<Self, Fault> {
        let reaches = settings
            .addresses
            .iter()
            .map(|address| Reach::new(address, settings.tls.server_name.as_deref()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tls: settings.tls.clone(),
            config: OnceCell::new(),
            reaches,
            deadline: settings.deadline,
            last,
            delay,
        })
    }

    /// Sends a request and reads the whole answer, trying again within the deadline what may pass:
    /// no connection, a connection lost, no answer, an answer cut, 429, 472, 473 and 5xx.
    ///
    /// Faults: [`Fault::Deadline`] where a server took the connection and said nothing until the
    /// end; [`Fault::NoAnswer`] with the cause for everything else that was tried in vain;
    /// [`Fault::Unreachable`] and [`Fault::Malformed`] for files of the TLS settings, and the
    /// latter for an answer that is too large.
    pub async fn send(&self, request: &Request) -> Result<Answer, Fault> {
        let began = Instant::now();
        let until = began + self.deadline;
        let mut tries = Tries::new(request.once);
        loop {
            match self.round(request, until, &mut tries).await {
                Ok(answer) => {
                    self.delay.take();
                    return Ok(answer);
                }
                Err(Some(fault)) => return Err(fault),
                Err(None) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            match tries.next_round(left, random()?) {
                Some(wait) => {
                    self.delay.replace(tries.told());
                    sleep(wait).await;
                }
                None => return Err(tries.fault(began.elapsed())),
            }
        }
    }

    /// Asks each address once. `Err(None)`: none answered; `tries` knows why.
    async fn round(
        &self,
        request: &Request,
        until: Instant,
        tries: &mut Tries,
    ) -> Result<Answer, Option<Fault>> {
        for first in self.in_turn() {
            let ask = Ask {
                request,
                path: Cow::Borrowed(&request.path),
                limits: Limits::new(self.deadline, request.once),
                until,
            };
            let mut asked = first;
            match self.follow(&mut asked, ask).await {
                Ok(answer) => {
                    self.last.set(asked);
                    return Ok(answer);
                }
                Err(Failed::Request(fault)) => return Err(Some(fault)),
                Err(Failed::Try(trouble)) => {
                    let more = tries.failed(self.reaches[asked].name(), trouble);
                    if !more || until <= Instant::now() {
                        break;
                    }
                }
            }
        }
        Err(None)
    }

    /// The addresses, the one that answered last first.
    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.last.get(), self.reaches.len());
        (0..count).map(move |step| (first + step) % count)
    }

    /// Asks the address at `index`, and goes where it redirects to, if that is one of the addresses:
    /// then `index` is that one.
    async fn follow(&self, index: &mut usize, mut ask: Ask<'_>) -> Result<Answer, Failed> {
        for _ in 0..=MAX_REDIRECTS {
            let reach = &self.reaches[*index];
            match self.ask(reach, &ask).await? {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Elsewhere(location) => {
                    let target = redirect::target(&location, &ask.path, *index, &self.reaches)?;
                    *index = target.index;
                    ask.path = Cow::Owned(target.path);
                }
            }
        }
        Err(Trouble::new(Weight::Answered, "it redirects again and again").into())
    }

    async fn ask(&self, reach: &Reach, ask: &Ask<'_>) -> Result<Reply, Failed> {
        let asked = async {
            let config = self.config(reach).await?;
            reach.ask(config, ask).await
        };
        let asked = timeout_at(ask.until, asked).await;
        if let Some(wire) = &ask.request.wire {
            wire.rests();
        }
        asked.unwrap_or_else(|_| Err(reach.unfinished().into()))
    }

    /// How TLS is spoken: read once a session, when an address needs it.
    async fn config(&self, reach: &Reach) -> Result<Option<&ClientConfig>, Failed> {
        if !reach.is_tls() {
            return Ok(None);
        }
        let read = self.config.get_or_try_init(|| tls::config(&self.tls));
        read.await.map(Some)
    }
}

fn random() -> Result<u64, Fault> {
    let mut bytes = [0; 8];
    crate::sys::memory::fill_random(&mut bytes).map_err(|error| Fault::Malformed {
        reason: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(u64::from_ne_bytes(bytes))
}
