//! The program's output, where `run.redact` has it searched for values: it comes through a pipe, or a
//! terminal of the program's own, and goes on without them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::{Instant, timeout};

use super::exposed;
use crate::delivery::Owner;
use crate::model::{DeliveryKind, Event, Observer, OutputStream, Plan, SecretName, Topic};
use crate::patterns::{Patterns, SHORTEST};
use crate::redaction::{Stream, forms};
use crate::secret::Value;
use crate::stores::join;
use crate::supervisor;
use crate::sys::filesystem;
use crate::sys::outlet::{Outlet, Standard};
use crate::sys::pipe::{self, Reader};
use crate::sys::pty::Pty;

/// So much is read at once.
const PIECE: usize = 64 << 10;
/// A value that is written in pieces is whole after so long, but for the slowest of writers.
const PAUSE: Duration = Duration::from_millis(50);
/// The same on a terminal, where somebody types and sees each letter.
const TYPED_PAUSE: Duration = Duration::from_millis(2);
/// And one that has begun for certain.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// One event of a secret in so long.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long the reader of the last output may take.
const LAST: Duration = Duration::from_secs(5);
/// The values of so many generations are known: a program may have kept any of them.
const GENERATIONS: usize = 100;

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
    /// The descriptors that it is for the program.
    numbers: Vec<RawFd>,
    /// The program's end; none, when no other program will start.
    sink: RefCell<Option<OwnedFd>>,
    /// How long the start of what may be a value waits for the rest.
    pause: Duration,
    /// None, once what it gives has no reader: the program finds that, as without hushpipe.
    source: RefCell<Option<Rc<Reader>>>,
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
    /// `None`: the plan wants none of it. With a pty, what hushpipe has as a terminal the program has as well.
    pub fn of(
        plan: &Plan,
        owner: Owner,
        pty: Option<Pty>,
        observer: &Rc<dyn Observer>,
    ) -> io::Result<Option<Rc<Self>>> {
        if plan.run.redact.is_empty() {
            return Ok(None);
        }
        let mut channels = Vec::new();
        let has_pty = pty.is_some();
        if let Some(pty) = pty {
            pty.give_to(owner.uid, owner.gid);
            channels.push(Channel::on_terminal(pty, numbers(plan))?);
        }
        let streams = plan.run.redact.iter().copied();
        for stream in streams.filter(|one| !has_pty || !standard(*one).is_terminal()) {
            channels.push(Channel::on_pipe(stream, owner)?);
        }
        Ok(Some(Rc::new(Self {
            known: RefCell::new(Known {
                patterns: Patterns::few()?,
                owners: BTreeMap::new(),
                generation: 0,
            }),
            channels,
            observer: Rc::clone(observer),
        })))
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
        let before = owners.len();
        owners.retain(|_, whose| whose.generation > oldest);
        if owners.len() < before {
            patterns.retain(|owner| owners.contains_key(&owner));
        }
    }

    /// The ends for a program, and the numbers that it has them by.
    pub fn ends(&self) -> io::Result<Vec<(OwnedFd, RawFd)>> {
        let mut ends = Vec::new();
        for channel in &self.channels {
            if let Some(sink) = &*channel.sink.borrow() {
                for number in &channel.numbers {
                    ends.push((sink.try_clone()?, *number));
                }
            }
        }
        Ok(ends)
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
    fn on_pipe(stream: OutputStream, owner: Owner) -> io::Result<Self> {
        let (source, sink) = pipe::from_program()?;
        // So that the program can open /dev/stdout. Where this is refused, it writes all the same.
        filesystem::change_owner(&sink, owner.uid, owner.gid).ok();
        let numbers = vec![standard(stream).number()];
        Ok(Self::new(stream, numbers, (source, sink), PAUSE))
    }

    fn on_terminal(pty: Pty, numbers: Vec<RawFd>) -> io::Result<Self> {
        let stream = if numbers.contains(&Standard::Output.number()) {
            OutputStream::Stdout
        } else {
            OutputStream::Stderr
        };
        Ok(Self::new(stream, numbers, pty.ends()?, TYPED_PAUSE))
    }

    fn new(
        stream: OutputStream,
        numbers: Vec<RawFd>,
        (source, sink): (Reader, OwnedFd),
        pause: Duration,
    ) -> Self {
        Self {
            stream,
            numbers,
            sink: RefCell::new(Some(sink)),
            pause,
            source: RefCell::new(Some(Rc::new(source))),
            state: RefCell::new(State {
                outlet: Outlet::new(standard(stream)),
                stream: Stream::default(),
                ready: Vec::new(),
                found: BTreeMap::new(),
                told: None,
            }),
        }
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
                1..SHORTEST => Some(self.pause),
                _ => Some(LONG_PAUSE),
            };
            match within(pause, source.read(&mut piece)).await {
                Some(Ok(0) | Err(_)) => return,
                Some(Ok(count)) => self.take(output, &mut piece[..count]),
                None => self.pass(output, None),
            }
            self.tell(output, false);
            self.write(output).await;
        }
    }

    /// What is in the pipe, without waiting for those who may still write to it.
    async fn rest(&self, output: &Output) {
        let mut piece = vec![0; PIECE];
        self.write(output).await;
        let source = self.source.borrow().clone();
        while let Some(source) = &source
            && let Ok(count @ 1..) = source.read_now(&mut piece)
        {
            self.take(output, &mut piece[..count]);
            self.write(output).await;
        }
        self.pass(output, None);
        self.write(output).await;
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
    async fn write(&self, output: &Output) {
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
                Err(errno) => {
                    self.give_up(output, errno);
                    break;
                }
            }
        }
        self.state.borrow_mut().ready.clear();
    }

    /// What the program writes next is refused, as it would be without hushpipe. One whose reader has gone
    /// knows that; of another cause it would not hear.
    fn give_up(&self, output: &Output, errno: Errno) {
        if self.source.borrow_mut().take().is_some() && errno != Errno::PIPE {
            output.observer.observe(&Event::Fault {
                about: Topic::Program,
                message: format!(
                    "{} cannot be written ({errno}): what the program writes there is lost",
                    self.stream
                ),
            });
        }
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

/// Before anything else: a terminal of the program's own, where its output is searched and hushpipe is a job
/// on a terminal. Where it cannot be had, it is a pipe, which is reported.
pub fn part(plan: &Plan, observer: &dyn Observer) -> Option<Pty> {
    let mut streams = plan.run.redact.iter().copied();
    let on_terminal = streams.find(|stream| standard(*stream).is_terminal())?;
    let pty = match supervisor::is_job() {
        Ok(true) => Pty::part().map_err(|error| error.to_string()),
        Ok(false) => Err("hushpipe is a part of a job: of a script, or of a pipeline".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    pty.map_err(|cause| {
        observer.observe(&Event::Weaker {
            about: Topic::Program,
            message: format!(
                "{on_terminal} is a terminal, and the program writes to a pipe in place of one of its own, for \
                 `run.redact`: it may show no colours and write whole lines late ({cause})"
            ),
        });
    })
    .ok()
}

/// The standard descriptors that the program has its terminal as: those that are one, and are nothing else.
fn numbers(plan: &Plan) -> Vec<RawFd> {
    let is_fed = plan
        .deliveries
        .iter()
        .any(|delivery| matches!(delivery.kind, DeliveryKind::Stdin));
    let input = (!is_fed && io::stdin().is_terminal()).then_some(0);
    let outputs = [Standard::Output, Standard::Error].into_iter();
    let outputs = outputs.filter(|one| one.is_terminal());
    input
        .into_iter()
        .chain(outputs.map(Standard::number))
        .collect()
}

const fn standard(stream: OutputStream) -> Standard {
    match stream {
        OutputStream::Stdout => Standard::Output,
        OutputStream::Stderr => Standard::Error,
    }
}
