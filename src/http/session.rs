//! A session: the addresses of a server, each with its connections, and the rounds through them.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use reqwest::Url;
use rustls::ClientConfig;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::Answer;
use super::endpoint::{Attempt, Endpoint, Reply};
use super::error::HttpError;
use super::request::Request;
use super::retry::{AttemptError, Classify, Limits, Tries, TryError, Weight};
use super::{redirect, tls};
use crate::model::{Address, Tls, random};

/// Redirects that are followed one after the other.
const MAX_REDIRECTS: usize = 3;

/// Where a server is, and how it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tried in turn; never empty.
    pub addresses: Vec<Address>,
    /// How the server is known and hushpipe shows itself.
    pub tls: Tls,
    /// How long a request may take, with all that is retried within it.
    pub deadline: Duration,
    /// Which statuses are transient.
    pub classify: Classify,
}

/// Why the server's last request is retried; `None` when one was answered since.
pub(super) type Delay = Rc<RefCell<Option<String>>>;

/// Connections to one server. When it is dropped, they are closed, and what TLS knew is gone.
pub struct Session {
    tls: Tls,
    config: OnceCell<ClientConfig>,
    endpoints: Vec<Endpoint>,
    deadline: Duration,
    classify: Classify,
    last: Rc<Cell<usize>>,
    delay: Delay,
}

impl Session {
    pub(super) fn open(
        settings: &Settings,
        last: Rc<Cell<usize>>,
        delay: Delay,
    ) -> Result<Self, HttpError> {
        let endpoints = settings
            .addresses
            .iter()
            .map(|address| Endpoint::new(address, settings.tls.server_name.as_deref()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tls: settings.tls.clone(),
            config: OnceCell::new(),
            endpoints,
            deadline: settings.deadline,
            classify: settings.classify,
            last,
            delay,
        })
    }

    /// Sends a request and reads the whole answer, retrying transient failures within the
    /// deadline: no connection, a connection lost, no answer, an answer cut, and the statuses that
    /// the settings name.
    ///
    /// Errors: [`HttpError::Deadline`] where a server took the connection and did not respond until the
    /// end; [`HttpError::NoAnswer`] with the cause for everything else that was tried in vain;
    /// [`HttpError::File`] and [`HttpError::Unusable`] for the TLS settings, and the latter for an
    /// answer that is too large.
    pub async fn send(&self, request: &Request) -> Result<Answer, HttpError> {
        let began = Instant::now();
        let until = began + self.deadline;
        let mut tries = Tries::new(request.once);
        loop {
            match self.round(request, until, &mut tries).await {
                Ok(answer) => {
                    self.delay.take();
                    return Ok(answer);
                }
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            match tries.next_round(left, random()) {
                Some(wait) => {
                    self.delay.replace(tries.told());
                    sleep(wait).await;
                }
                None => return Err(tries.error(began.elapsed())),
            }
        }
    }

    /// Asks each address once. `Err(None)`: none answered; `tries` knows why.
    async fn round(
        &self,
        request: &Request,
        until: Instant,
        tries: &mut Tries,
    ) -> Result<Answer, Option<HttpError>> {
        for first in self.in_turn() {
            let attempt = Attempt {
                request,
                path: Cow::Borrowed(&request.path),
                limits: Limits::new(self.deadline, request.once),
                classify: self.classify,
                until,
            };
            let mut asked = first;
            match self.follow(&mut asked, attempt).await {
                Ok(answer) => {
                    self.last.set(asked);
                    return Ok(answer);
                }
                Err(AttemptError::Request(error)) => return Err(Some(error)),
                Err(AttemptError::Try(error)) => {
                    let more = tries.failed(self.endpoints[asked].name(), error);
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
        let (first, count) = (self.last.get(), self.endpoints.len());
        (0..count).map(move |step| (first + step) % count)
    }

    /// Asks the address at `index`, and goes where it redirects to, if that is one of the addresses:
    /// then `index` is that one.
    async fn follow(
        &self,
        index: &mut usize,
        mut attempt: Attempt<'_>,
    ) -> Result<Answer, AttemptError> {
        let addresses: Vec<&Url> = self.endpoints.iter().map(Endpoint::written).collect();
        for _ in 0..=MAX_REDIRECTS {
            let endpoint = &self.endpoints[*index];
            match self.ask(endpoint, &attempt).await? {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Redirect(location) => {
                    let target = redirect::target(&location, &attempt.path, *index, &addresses)?;
                    *index = target.index;
                    attempt.path = Cow::Owned(target.path);
                }
            }
        }
        Err(TryError::new(Weight::Answered, "it redirects again and again").into())
    }

    async fn ask(&self, endpoint: &Endpoint, attempt: &Attempt<'_>) -> Result<Reply, AttemptError> {
        let asked = async {
            let config = self.config(endpoint).await?;
            endpoint.request(config, attempt).await
        };
        let asked = timeout_at(attempt.until, asked).await;
        if let Some(wire) = &attempt.request.wire {
            wire.rests();
        }
        asked.unwrap_or_else(|_| Err(endpoint.unfinished().into()))
    }

    /// How TLS is spoken: read once a session, when an address needs it.
    async fn config(&self, endpoint: &Endpoint) -> Result<Option<&ClientConfig>, AttemptError> {
        if !endpoint.is_tls() {
            return Ok(None);
        }
        let read = self.config.get_or_try_init(|| tls::config(&self.tls));
        read.await.map(Some)
    }
}
