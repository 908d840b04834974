//! The program's output, where `run.redact` has it searched for values: it comes through a pipe, and goes
//! on without them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::{Instant, timeout};

use super::exposed;
use crate::delivery::Owner;
use crate::model::{Event, Observer, OutputStream, Plan, SecretName};
use crate::patterns::{Patterns, SHORTEST};
use crate::redaction::{Stream, forms};
use crate::secret::Value;
use crate::stores::join;
use crate::sys::filesystem;
use crate::sys::outlet::{Outlet, Standard};
use crate::sys::pipe::{self, Reader};

/// So much is read at once.
const PIECE: usize = 64 << 10;
/// A value that is written in pieces is whole after so long, but for the slowest of writers.
const PAUSE: Duration = Duration::from_millis(50);
/// And one that has begun for certain.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// One event of a secret in so long.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long the reader of the last output may take.
const LAST: Duration = Duration::from_secs(5);
/// The values of so many generations are known: that which runs, the one before, and those that were tried.
const GENERATIONS: usize = 4;

/// The output of one program after the other.
pub struct Output {
    known: RefCell<Known>,
    channels: Vec<Channel>,
    observer: Rc<dyn Observer>,
}

/// What is looked for.
struct Known {
    patterns: Patterns,
    /// By the number that patterns have.
    owners: BTreeMap<usize, Whose>,
    generation: usize,
}

struct Whose {
    secret: SecretName,
    /// `db.password`
    label: String,
    generation: usize,
}

struct Channel {
    stream: OutputStream,
    /// None, once what it gives has no reader: the program finds that, as without hushpipe.
    source: RefCell<Option<Rc<Reader>>>,
    /// For the programs; none, when no other will start.
    sink: RefCell<Option<OwnedFd>>,
    state: RefCell<State>,
}

struct State {
    outlet: Outlet,
    stream: Stream,
    /// What may be written.
    ready: Vec<u8>,
    found: BTreeMap<SecretName, u64>,
    told: Option<Instant>,
}

impl Output {
    /// `None`: the plan wants none of it.
    pub fn of(
        plan: &Plan,
        owner: Owner,
        observer: &Rc<dyn Observer>,
    ) -> io::Result<Option<Rc<Self>>> {
        if plan.run.redact.is_empty() {
            return Ok(None);
        }
        let streams = plan.run.redact.iter();
        let channels = streams.map(|stream| Channel::new(*stream, owner));
        Ok(Some(Rc::new(Self {
            known: RefCell::new(Known {
                patterns: Patterns::few()?,
                owners: BTreeMap::new(),
                generation: 0,
            }),
            channels: channels.collect::<io::Result<_>>()?,
            observer: Rc::clone(observer),
        })))
    }

    /// Terminals that the program will not see.
    pub fn hidden_terminals(&self) -> Vec<OutputStream> {
        let streams = self.channels.iter().map(|channel| channel.stream);
        streams
            .filter(|stream| standard(*stream).is_terminal())
            .collect()
    }

    /// The values of a generation, before the program has them.
    pub fn know(&self, plan: &Plan, values: &BTreeMap<SecretName, Rc<Value>>) {
        let Known {
            patterns,
            owners,
            generation,
        } = &mut *self.known.borrow_mut();
        *generation += 1;
        let oldest = generation.saturating_sub(GENERATIONS);
        for needle in exposed::needles(plan, values) {
            let label = match needle.field {
                Some(field) => format!("{}.{field}", needle.secret),
                None => needle.secret.to_string(),
            };
            // One that is as it was needs no new digests.
            let known = patterns
                .owners(&needle.bytes)
                .find(|owner| owners.get(owner).is_some_and(|whose| whose.label == label));
            if let Some(whose) = known.and_then(|owner| owners.get_mut(&owner)) {
                whose.generation = *generation;
                continue;
            }
            let number = owners.last_key_value().map_or(0, |(last, _)| last + 1);
            for form in forms(&needle.bytes) {
                patterns.add(&form.text, number);
            }
            let whose = Whose {
                secret: needle.secret.clone(),
                label,
                generation: *generation,
            };
            owners.insert(number, whose);
        }
        owners.retain(|_, whose| whose.generation > oldest);
        patterns.retain(|owner| owners.contains_key(&owner));
    }

    /// The ends for a program, and the numbers that it has them by.
    pub fn ends(&self) -> io::Result<Vec<(OwnedFd, RawFd)>> {
        let sinks = self.channels.iter().filter_map(|channel| {
            let sink = channel.sink.borrow();
            let copy = sink.as_ref()?.try_clone();
            Some(copy.map(|copy| (copy, standard(channel.stream).number())))
        });
        sinks.collect()
    }

    /// Passes on what is written, until it is dropped.
    pub async fn relay(&self) {
        let relaying = self.channels.iter().map(|channel| channel.relay(self));
        join::all(relaying).await;
    }

    /// What the last program wrote before it ended.
    pub async fn finish(&self) {
        for channel in &self.channels {
            channel.sink.borrow_mut().take();
            // A reader that hangs must not keep hushpipe.
            let rest = timeout(LAST, channel.rest(self)).await;
            channel.tell(self, true);
            if rest.is_err() {
                channel.state.borrow_mut().ready.clear();
            }
        }
    }
}

impl Channel {
    fn new(stream: OutputStream, owner: Owner) -> io::Result<Self> {
        let (source, sink) = pipe::from_program()?;
        // So that the program can open /dev/stdout. Where this is refused, it writes all the same.
        filesystem::change_owner(&sink, owner.uid, owner.gid).ok();
        Ok(Self {
            stream,
            source: RefCell::new(Some(Rc::new(source))),
            sink: RefCell::new(Some(sink)),
            state: RefCell::new(State {
                outlet: Outlet::new(standard(stream)),
                stream: Stream::default(),
                ready: Vec::new(),
                found: BTreeMap::new(),
                told: None,
            }),
        })
    }

    async fn relay(&self, output: &Output) {
        let mut piece = vec![0; PIECE];
        loop {
            let Some(source) = self.source.borrow().clone() else {
                return;
            };
            let waiting = self.state.borrow().stream.waiting();
            let pause = match waiting {
                0 => None,
                1..SHORTEST => Some(PAUSE),
                _ => Some(LONG_PAUSE),
            };
            match within(pause, source.read(&mut piece)).await {
                Some(Ok(0) | Err(_)) => return,
                Some(Ok(count)) => self.take(output, &mut piece[..count]),
                None => self.pass(output, None),
            }
            self.tell(output, false);
            self.write().await;
        }
    }

    /// What is in the pipe, without waiting for those who may still write to it.
    async fn rest(&self, output: &Output) {
        let mut piece = vec![0; PIECE];
        self.write().await;
        let source = self.source.borrow().clone();
        while let Some(source) = &source
            && let Ok(count @ 1..) = source.read_now(&mut piece)
        {
            self.take(output, &mut piece[..count]);
            self.write().await;
        }
        self.pass(output, None);
        self.write().await;
    }

    fn take(&self, output: &Output, piece: &mut [u8]) {
        self.pass(output, Some(piece));
        piece.fill(0);
        std::hint::black_box(piece);
    }

    /// Passes on what was read; `None`: what waits.
    fn pass(&self, output: &Output, piece: Option<&[u8]>) {
        let State {
            stream,
            ready,
            found,
            ..
        } = &mut *self.state.borrow_mut();
        let known = output.known.borrow();
        let hit = |owner, ready: &mut Vec<u8>| known.replace(owner, found, ready);
        match piece {
            Some(piece) => stream.feed(&known.patterns, piece, ready, hit),
            None => stream.flush(&known.patterns, ready, hit),
        }
    }

    /// Writes all that is ready.
    async fn write(&self) {
        let mut done = 0;
        loop {
            let written = {
                let state = self.state.borrow();
                match &state.ready[done..] {
                    [] => break,
                    rest => state.outlet.write(rest),
                }
            };
            match written {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.room().await.is_ok() => {}
                Err(_) => {
                    self.source.borrow_mut().take();
                    break;
                }
            }
        }
        self.state.borrow_mut().ready.clear();
    }

    async fn room(&self) -> io::Result<()> {
        let room = self.state.borrow().outlet.room()?;
        room.await
    }

    /// Reports what was found, at most once in a while unless it is the last time.
    fn tell(&self, output: &Output, last: bool) {
        let state = &mut *self.state.borrow_mut();
        if state.found.is_empty()
            || !last && state.told.is_some_and(|told| told.elapsed() < BETWEEN)
        {
            return;
        }
        state.told = Some(Instant::now());
        for (secret, times) in std::mem::take(&mut state.found) {
            output.observer.observe(&Event::Redacted {
                secret,
                stream: self.stream,
                times,
            });
        }
    }
}

impl Known {
    /// `[redacted:NAME]`
    fn replace(&self, owner: usize, found: &mut BTreeMap<SecretName, u64>, ready: &mut Vec<u8>) {
        let whose = &self.owners[&owner];
        *found.entry(whose.secret.clone()).or_default() += 1;
        ready.extend(b"[redacted:");
        ready.extend(whose.label.as_bytes());
        ready.extend(b"]");
    }
}

/// `None`: it took longer.
async fn within<T>(time: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match time {
        Some(time) => timeout(time, work).await.ok(),
        None => Some(work.await),
    }
}

const fn standard(stream: OutputStream) -> Standard {
    match stream {
        OutputStream::Stdout => Standard::Output,
        OutputStream::Stderr => Standard::Error,
    }
}
