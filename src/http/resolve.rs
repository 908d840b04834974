//! Names to addresses, getaddrinfo(3).
//!
//! It blocks, so it runs in a thread; and as hushpipe must have one thread alone before it makes a
//! user namespace (user_namespaces(7), unshare(2): EINVAL), the thread has ended when the answer is
//! given. A look-up that nobody waits for any more cannot be stopped: who comes next for the same
//! name takes its answer, and [`lookups_ended`] waits for the rest.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;

use crate::sys::process;

/// The system's resolver reads files and asks servers with buffers on the stack, modules of
/// nsswitch.conf(5) too.
const STACK: usize = 512 << 10;

/// How long an answer that nobody took is good for.
const FRESH: Duration = Duration::from_secs(5);

/// For how many milliseconds the kernel may count a thread that was joined.
const SETTLING: usize = 100;

type Found = Result<Vec<SocketAddr>, Unresolved>;

/// What a look-up's thread tells last, and when.
type Answer = watch::Receiver<Option<(Found, Instant)>>;

/// A name that cannot be resolved.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(String);

/// The resolver of one address.
#[derive(Default)]
pub(super) struct Lookup {
    /// A name, and the host to look up in its place.
    instead: Option<(String, String)>,
    pending: Mutex<Option<String>>,
}

impl Lookup {
    /// Connections for `name` go to `host`.
    pub(super) fn instead(name: &str, host: String) -> Self {
        Self {
            instead: Some((name.to_ascii_lowercase(), host)),
            pending: Mutex::default(),
        }
    }

    /// The name that is being looked up.
    pub(super) fn pending(&self) -> Option<String> {
        let name = lock(&self.pending).clone()?;
        is_running(&name).then_some(name)
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.instead {
            Some((from, to)) if from == &name.as_str().to_ascii_lowercase() => to.clone(),
            _ => name.as_str().to_owned(),
        };
        *lock(&self.pending) = Some(host.clone());
        Box::pin(async move {
            let addresses = look_up(&host).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A look-up on its way.
struct Running {
    name: String,
    answer: Answer,
    thread: JoinHandle<()>,
}

impl Running {
    /// Its thread is at its end.
    fn is_over(&self) -> bool {
        self.answer.borrow().is_some() || self.answer.has_changed().is_err()
    }

    fn is_stale(&self) -> bool {
        let age = self
            .answer
            .borrow()
            .as_ref()
            .map(|(_, when)| when.elapsed());
        self.is_over() && age.is_none_or(|age| age > FRESH)
    }

    fn join(self) {
        // A panic in it has closed the channel: who waited was told.
        drop(self.thread.join());
    }
}

/// All of this process: threads are the process's.
static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_running(name: &str) -> bool {
    lock(&RUNNING)
        .iter()
        .any(|running| running.name == name && !running.is_over())
}

/// Joins the threads that are at their end and that nobody has to hear of any more.
fn clear(done: impl Fn(&Running) -> bool) {
    let mut running = lock(&RUNNING);
    let (ended, kept) = running.drain(..).partition(|running| done(running));
    *running = kept;
    drop(running);
    ended.into_iter().for_each(Running::join);
}

/// The addresses of a name, or of an address in text; their ports are 0.
pub(super) async fn look_up(name: &str) -> Found {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, 0)]);
    }
    clear(Running::is_stale);
    let mut answer = join_or_begin(name)?;
    let found = match answer.wait_for(Option::is_some).await {
        Ok(found) => found.clone().map(|(found, _)| found),
        Err(_) => None,
    };
    clear(|running| running.name == name && running.is_over());
    found.unwrap_or_else(|| Err(Unresolved(format!("cannot resolve {name}: it ended early"))))
}

/// The look-up of this name that is on its way, or has just ended; or a new one.
fn join_or_begin(name: &str) -> Result<Answer, Unresolved> {
    let mut running = lock(&RUNNING);
    if let Some(one) = running.iter().find(|running| running.name == name) {
        return Ok(one.answer.clone());
    }
    let begun = begin(name).map_err(|error| {
        Unresolved(format!(
            "cannot resolve {name}: no thread can be made: {error}"
        ))
    })?;
    let answer = begun.answer.clone();
    running.push(begun);
    Ok(answer)
}

fn begin(name: &str) -> io::Result<Running> {
    let (tell, answer) = watch::channel(None);
    let host = name.to_owned();
    let thread = Builder::new()
        .name("look-up".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let found = (host.as_str(), 0).to_socket_addrs();
            let found = found
                .map(Iterator::collect)
                .map_err(|error| Unresolved(format!("cannot resolve {host}: {}", cause(&error))));
            // Nobody may listen any more: then it is in RUNNING, and counts as ended.
            tell.send_replace(Some((found, Instant::now())));
        })?;
    Ok(Running {
        name: name.to_owned(),
        answer,
        thread,
    })
}

/// std wraps getaddrinfo's own words.
fn cause(error: &io::Error) -> String {
    let words = error.to_string();
    let own = words.strip_prefix("failed to lookup address information: ");
    own.unwrap_or(&words).to_owned()
}

/// Waits until no thread looks names up any more, and the kernel counts none of them: before a step
/// that needs a process of one thread. A look-up whose servers do not answer ends by itself after
/// the time that resolv.conf(5) gives.
pub async fn lookups_ended() {
    while let Some(mut answer) = one_running() {
        // Told or closed: its thread is at its end in both cases.
        drop(answer.wait_for(Option::is_some).await);
    }
    for _ in 0..SETTLING {
        if process::threads().is_ok_and(|count| count == 1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Joins what has ended.
fn one_running() -> Option<Answer> {
    clear(Running::is_over);
    lock(&RUNNING).first().map(|running| running.answer.clone())
}
