//! Named pipes: each opening reads the current value once.
//!
//! An armed FIFO stands at its path with a writing end held open here, so that a reader's open
//! succeeds at once and its read waits: it never meets an end of file. The opening is noticed by
//! inotify, and before anything is written a fresh FIFO takes the path. So the next reader has an
//! inode of its own, and this one sees the value, and then the end of file when the writing end is
//! closed. Readers that opened one inode in the moment before the fresh one took the path are told
//! apart and served one after the other: see [`super::opening`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::inspection::{Inspection, PutBack};
use super::kept::Kept;
use super::layout::{Directory, Entry, EntryKind, Layout};
use super::live::{Live, Served, Serving};
use super::opening::{self, Pulse, Task};
use super::readers::Among;
use super::{Carried, DeliveryError, Owner};
use crate::model::{Event, Generation, Receipt, Topic};
use crate::secret::SecretBytes;
use crate::sys::clock::until;
use crate::sys::filesystem::{self, Kind};
use crate::sys::inotify::{self, Event as Noticed, EventMask, Notifier, WatchId, WatchMask};
use crate::sys::pipe;

/// The FIFO deliveries of one launch.
pub struct Fifos {
    /// None where there are no FIFOs, and where there is no inotify left.
    notifier: Option<Notifier>,
    all: Vec<Fifo>,
    openings: Vec<Opening>,
    happened: VecDeque<Result<Event, DeliveryError>>,
    readers: Among,
    /// Why FIFOs are polled, if they are: it was told.
    polled: Option<String>,
    /// Some FIFO could not be made: when it is tried again, and the wait after that.
    again: Option<(Instant, Duration)>,
}

/// How often FIFOs are looked at for which there is no inotify left.
const POLL: Duration = Duration::from_millis(20);

/// Waits between two tries to make a FIFO; they double.
const FIRST_AGAIN: Duration = Duration::from_millis(100);
const LONGEST_AGAIN: Duration = Duration::from_secs(30);

struct Fifo {
    directory: Directory,
    entry: Entry,
    root: OwnedFd,
    owner: Owner,
    /// What the next opening reads.
    value: Rc<Kept>,
    /// What it will be, once staged.
    next: Option<Rc<Kept>>,
    old: Option<Rc<Kept>>,
    armed: Option<Armed>,
    /// Why the one that was made last has no watch.
    lacks: Option<String>,
    /// How many inodes were opened, which `max_reads` limits.
    openings: u64,
    reads: Rc<Cell<u64>>,
}

/// A FIFO that waits for its reader.
struct Armed {
    end: OwnedFd,
    /// None: it is polled.
    watch: Option<WatchId>,
}

/// An inode that was opened and is being served.
struct Opening {
    fifo: usize,
    watch: Option<WatchId>,
    pulse: Rc<Pulse>,
    task: Task,
}

impl Fifos {
    /// Makes the layout's FIFOs in its directories, armed with the payloads of the plan's
    /// deliveries. `roots` and `owners` are those that [`super::Files::new`] takes.
    pub fn new(
        layout: &Layout,
        roots: &[OwnedFd],
        owners: &[Owner],
        payloads: &[SecretBytes],
    ) -> Result<Self, DeliveryError> {
        let mut fifos = Self {
            notifier: None,
            all: Vec::new(),
            openings: Vec::new(),
            happened: VecDeque::new(),
            readers: Among::Descendants,
            polled: None,
            again: None,
        };
        for (directory, root) in layout.directories.iter().zip(roots) {
            for entry in directory.of_kind(false) {
                let wrong = |source| entry.system(directory, "cannot make the FIFO", source);
                fifos.all.push(Fifo {
                    directory: directory.clone(),
                    entry: entry.clone(),
                    root: root.try_clone().map_err(wrong)?,
                    owner: owners[entry.delivery],
                    value: Rc::new(Kept::new(payloads[entry.delivery].expose()).map_err(wrong)?),
                    next: None,
                    old: None,
                    armed: None,
                    lacks: None,
                    openings: 0,
                    reads: Rc::default(),
                });
            }
        }
        fifos.arm_all()?;
        Ok(fifos)
    }

    /// For shared directories: programs from elsewhere, which are none of hushpipe's descendants,
    /// are looked for among the readers too.
    pub const fn expect_strangers(&mut self) {
        self.readers = Among::All;
    }

    /// The values before become the current ones, and the other way round.
    fn exchange(&mut self) {
        for fifo in &mut self.all {
            if let Some(old) = &mut fifo.old {
                std::mem::swap(&mut fifo.value, old);
            }
        }
    }

    fn arm_all(&mut self) -> Result<(), DeliveryError> {
        if !self.all.is_empty() && self.notifier.is_none() && self.polled.is_none() {
            match Notifier::new() {
                Ok(notifier) => self.notifier = Some(notifier),
                Err(error) => match inotify::lacking(&error) {
                    Some(why) => self.polls(&why),
                    None => return Err(self.all[0].error("cannot watch FIFOs", error)),
                },
            }
        }
        for index in 0..self.all.len() {
            let fifo = &mut self.all[index];
            if fifo.armed.is_none() && !fifo.is_used_up() {
                fifo.arm(self.notifier.as_ref())?;
            }
        }
        self.note_polled();
        Ok(())
    }

    /// Tells once that FIFOs are polled.
    fn polls(&mut self, why: &str) {
        let message = format!("FIFOs are looked at every 20 ms, not watched: {why}");
        if self.polled.is_none() {
            self.happened.push_back(Ok(Event::Weaker {
                about: Topic::Delivery,
                message: message.clone(),
            }));
            self.polled = Some(message);
        }
    }

    fn note_polled(&mut self) {
        if let Some(why) = self.all.iter_mut().find_map(|fifo| fifo.lacks.take()) {
            self.polls(&why);
        }
    }

    /// Whether some FIFO has no watch.
    fn is_polled(&self) -> bool {
        let armed = self.all.iter().filter_map(|fifo| fifo.armed.as_ref());
        armed.into_iter().any(|armed| armed.watch.is_none())
    }

    /// Looks which of those without a watch have a reader.
    fn look(&mut self) {
        for index in 0..self.all.len() {
            let armed = self.all[index].armed.as_ref();
            let armed = armed.filter(|armed| armed.watch.is_none());
            if armed.is_some_and(|armed| pipe::is_abandoned(&armed.end).is_ok_and(|none| !none)) {
                self.opened(index, EventMask::OPEN);
            }
        }
    }

    /// Serves until something happened: a value was read ([`Event::FifoRead`]), or a fault. Never
    /// ends where there is no FIFO. Can be dropped and called again without losing anything; while
    /// nobody awaits it, readers wait. Needs a tokio runtime with I/O and time.
    async fn event(&mut self) -> Result<Event, DeliveryError> {
        loop {
            if let Some(happened) = self.happened.pop_front() {
                return happened;
            }
            if self.all.is_empty() {
                return pending().await;
            }
            let (notifier, polled) = (self.notifier.as_ref(), self.is_polled());
            let (openings, fifos) = (&mut self.openings, &self.all);
            let happened = &mut self.happened;
            let events = tokio::select! {
                biased;
                events = next(notifier) => events,
                () = poll_fn(|context| poll(openings, fifos, notifier, happened, context)) => {
                    continue;
                }
                () = until(self.again.map(|(at, _)| at)) => {
                    self.make_again();
                    continue;
                }
                () = sleep(POLL), if polled => {
                    self.look();
                    continue;
                }
            };
            let wrong = |source| self.all[0].error("cannot watch FIFOs", source);
            for event in events.map_err(wrong)? {
                self.noticed(event.id, event.mask, event.is_overflow());
            }
        }
    }

    /// Tries to make what could not be made.
    fn make_again(&mut self) {
        let wait = self.again.take().map_or(FIRST_AGAIN, |(_, wait)| wait);
        let mut missing = false;
        for fifo in &mut self.all {
            if fifo.armed.is_some() || fifo.is_used_up() {
                continue;
            }
            if fifo.arm(self.notifier.as_ref()).is_ok() {
                let what = fifo.path().display().to_string();
                self.happened.push_back(Ok(Event::ConditionEnded { what }));
            } else {
                missing = true;
            }
        }
        self.note_polled();
        if missing {
            self.is_missing((wait * 2).min(LONGEST_AGAIN));
        }
    }

    fn is_missing(&mut self, wait: Duration) {
        self.again = Some((Instant::now() + wait, wait));
    }

    /// A FIFO could not be made: told of until it can be.
    fn failed(&mut self, index: usize, error: &DeliveryError) {
        self.happened.push_back(Ok(Event::ConditionBegan {
            what: self.all[index].path().display().to_string(),
            message: format!("{}; hushpipe retries", chain(error)),
        }));
        self.is_missing(FIRST_AGAIN);
    }

    fn noticed(&mut self, id: WatchId, mask: EventMask, overflow: bool) {
        for opening in &self.openings {
            if overflow || opening.watch == Some(id) {
                opening.pulse.beat(mask);
            }
        }
        for index in 0..self.all.len() {
            let armed = self.all[index].armed.as_ref();
            let opened = armed.is_some_and(|armed| {
                (armed.watch == Some(id) && mask.contains(EventMask::OPEN))
                    || (overflow && pipe::is_abandoned(&armed.end).is_ok_and(|none| !none))
            });
            if opened {
                self.opened(index, mask);
            }
        }
    }

    /// Someone has the armed FIFO open: a fresh one takes its path, and it is served.
    fn opened(&mut self, index: usize, mask: EventMask) {
        let (notifier, fifo) = (self.notifier.as_ref(), &mut self.all[index]);
        let Some(armed) = fifo.armed.take() else {
            return;
        };
        fifo.openings += 1;
        let next = if fifo.is_used_up() {
            fifo.take_away()
        } else {
            fifo.arm(notifier)
        };
        if let Err(error) = next {
            // Without a fresh one the path must not lead to a FIFO that is about to close: whoever
            // comes next gets an error instead of nothing.
            self.happened.extend(fifo.take_away().err().map(Err));
            self.failed(index, &error);
        }
        self.note_polled();
        let fifo = &self.all[index];
        let pulse = Rc::<Pulse>::default();
        pulse.beat(mask);
        let value = Rc::clone(&fifo.value);
        self.openings.push(Opening {
            fifo: index,
            watch: armed.watch,
            task: Box::pin(opening::serve(
                armed.end,
                value,
                Rc::clone(&pulse),
                self.readers,
            )),
            pulse,
        });
    }
}

impl Live for Fifos {
    /// Takes values for the next openings. One that is being served keeps its own.
    fn stage(&mut self, _: Generation, payloads: &Carried<'_>) -> Result<(), DeliveryError> {
        let kept: Result<Vec<_>, _> = self
            .all
            .iter()
            .map(|fifo| match payloads.bytes(fifo.entry.delivery) {
                Some(bytes) => Kept::new(bytes)
                    .map(Rc::new)
                    .map_err(|source| fifo.error("cannot keep its value", source)),
                None => Ok(Rc::clone(&fifo.value)),
            })
            .collect();
        for (fifo, value) in self.all.iter_mut().zip(kept?) {
            fifo.next = Some(value);
        }
        Ok(())
    }

    fn swap(&mut self, _: &Receipt) -> Result<(), DeliveryError> {
        for fifo in &mut self.all {
            if let Some(next) = fifo.next.take() {
                fifo.old = Some(std::mem::replace(&mut fifo.value, next));
            }
        }
        self.arm_all().inspect_err(|_| self.exchange())
    }

    fn swap_back(&mut self, _: &Receipt) -> Result<(), DeliveryError> {
        self.exchange();
        Ok(())
    }

    fn retire(&mut self) -> Result<(), DeliveryError> {
        for fifo in &mut self.all {
            fifo.old = None;
        }
        Ok(())
    }

    fn discard(&mut self) -> Result<(), DeliveryError> {
        for fifo in &mut self.all {
            fifo.next = None;
            fifo.old = None;
        }
        Ok(())
    }

    fn serve(&mut self) -> Serving<'_> {
        Box::pin(async { self.event().await.map(Served::Event) })
    }

    /// Puts FIFOs back that are gone from their path, or are something else there.
    fn inspect(&mut self, found: &mut Inspection) {
        for index in 0..self.all.len() {
            let fifo = &mut self.all[index];
            let Some(armed) = &fifo.armed else {
                continue;
            };
            let there = filesystem::status_at(&fifo.root, &fifo.entry.name);
            let own = filesystem::status(&armed.end);
            let (Ok(there), Ok(own)) = (there, own) else {
                continue;
            };
            let path = fifo.path();
            match there {
                Some(there) if (there.device, there.inode) == (own.device, own.inode) => {}
                // Its reader came before it was replaced.
                _ if pipe::is_abandoned(&armed.end).is_ok_and(|none| !none) => {
                    self.opened(index, EventMask::OPEN);
                }
                there => {
                    let notifier = self.notifier.as_ref();
                    let watch = fifo.armed.take().and_then(|armed| armed.watch);
                    if let (Some(notifier), Some(watch)) = (notifier, watch) {
                        // A watch of what is gone ends by itself.
                        notifier.remove(watch).ok();
                    }
                    match fifo.arm(notifier) {
                        Ok(()) => found.put_back.push(PutBack {
                            path,
                            removed: there.is_none(),
                        }),
                        Err(error) => self.failed(index, &error),
                    }
                }
            }
        }
        self.note_polled();
    }
}

/// A fault and its cause.
fn chain(error: &DeliveryError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What happened to watched FIFOs; never ends without a notifier.
async fn next(notifier: Option<&Notifier>) -> std::io::Result<Vec<Noticed>> {
    match notifier {
        Some(notifier) => notifier.next().await,
        None => pending().await,
    }
}

/// Drives the openings; ready when one has ended.
fn poll(
    openings: &mut Vec<Opening>,
    fifos: &[Fifo],
    notifier: Option<&Notifier>,
    happened: &mut VecDeque<Result<Event, DeliveryError>>,
    context: &mut Context<'_>,
) -> Poll<()> {
    let mut ended = false;
    openings.retain_mut(|opening| {
        while let Poll::Ready(served) = opening.task.as_mut().poll(context) {
            ended = true;
            let fifo = &fifos[opening.fifo];
            for _ in 0..served.values {
                fifo.reads.set(fifo.reads.get() + 1);
                happened.push_back(Ok(Event::FifoRead {
                    path: fifo.path(),
                    reads: fifo.reads.get(),
                }));
            }
            let fault = |source| Err(fifo.error("cannot serve the FIFO", source));
            happened.extend(served.fault.map(fault));
            let Some(late) = served.late else {
                if let (Some(notifier), Some(watch)) = (notifier, opening.watch) {
                    happened.extend(notifier.remove(watch).err().map(fault));
                }
                return false;
            };
            opening.task = late;
        }
        true
    });
    if ended {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

impl Fifo {
    fn path(&self) -> PathBuf {
        self.directory.path.join(&self.entry.name)
    }

    fn error(&self, doing: &'static str, source: std::io::Error) -> DeliveryError {
        self.entry.system(&self.directory, doing, source)
    }

    const fn is_used_up(&self) -> bool {
        matches!(self.entry.kind, EntryKind::Fifo { max_reads: Some(most) } if self.openings >= most)
    }

    fn take_away(&self) -> Result<(), DeliveryError> {
        filesystem::unlink_at(&self.root, &self.entry.name)
            .map_err(|source| self.error("cannot remove the FIFO", source))
    }

    /// Puts a fresh FIFO at the path, in place of what was there.
    fn arm(&mut self, notifier: Option<&Notifier>) -> Result<(), DeliveryError> {
        self.replace_entry(notifier)
            .map_err(|source| self.error("cannot make the FIFO", source))
    }

    fn replace_entry(&mut self, notifier: Option<&Notifier>) -> std::io::Result<()> {
        let temporary = format!("..fifo-{}", self.entry.delivery);
        let armed = self.make(&temporary, notifier)?;
        filesystem::rename_at(&self.root, &temporary, &self.entry.name)?;
        self.armed = Some(armed);
        Ok(())
    }

    fn make(&mut self, temporary: &str, notifier: Option<&Notifier>) -> std::io::Result<Armed> {
        filesystem::unlink_at(&self.root, temporary)?;
        filesystem::make_fifo_at(&self.root, temporary, 0o600)?;
        // The program may own the directory, and put something else there at any moment.
        let both = pipe::open_both_at(&self.root, temporary)?;
        let found = filesystem::status(&both)?;
        if found.kind != Kind::Fifo || found.uid != filesystem::effective_uid() || found.links != 1
        {
            return Err(std::io::Error::other("it was replaced while it was made"));
        }
        let end = match pipe::open_writer(&filesystem::path_of(both.as_fd())) {
            Ok(Some(end)) => end,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            // There is no /proc.
            _ => pipe::open_writer_at(&self.root, temporary)?,
        };
        let opened = filesystem::status(&end)?;
        if (opened.device, opened.inode) != (found.device, found.inode) {
            return Err(std::io::Error::other("it was replaced while it was made"));
        }
        filesystem::change_owner(&both, self.owner.uid, self.owner.gid)?;
        filesystem::change_mode(&both, self.entry.mode.bits())?;
        // After our own openings, which are none of a reader's.
        let mask = WatchMask::OPEN | WatchMask::ACCESS | WatchMask::CLOSE_NOWRITE;
        let Some(notifier) = notifier else {
            return Ok(Armed { end, watch: None });
        };
        let watch = match notifier.add(&filesystem::path_of(end.as_fd()), mask) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                filesystem::within(&self.root, || notifier.add(temporary.as_ref(), mask))?
            }
            added => added,
        };
        let watch = match watch {
            Ok(watch) => Some(watch),
            Err(error) => {
                self.lacks = Some(inotify::lacking(&error).ok_or(error)?);
                None
            }
        };
        Ok(Armed { end, watch })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use super::super::fixtures::{fifo, memory, payloads, plan, runtime, secret};
    use super::*;

    struct Place {
        _directory: tempfile::TempDir,
        path: PathBuf,
        fifos: Fifos,
        runtime: tokio::runtime::Runtime,
    }

    fn place(value: &[u8], max_reads: Option<u64>) -> Place {
        let directory = memory();
        let path = directory.path().join("token");
        let plan = plan(vec![(fifo(&path, max_reads), secret("x"))]);
        let layout = Layout::of(&plan);
        let root = filesystem::open_directory(directory.path()).unwrap();
        let owners = [Owner::default()];
        let fifos = Fifos::new(&layout, &[root], &owners, &payloads(&[value])).unwrap();
        Place {
            _directory: directory,
            path,
            fifos,
            runtime: runtime(),
        }
    }

    fn replace(fifos: &mut Fifos, values: &[&[u8]]) {
        let values = payloads(values);
        fifos.stage(Generation(2), &Carried::all(&values)).unwrap();
        fifos.swap(&Receipt::of_a_test()).unwrap();
    }

    fn start(program: &str, path: &Path) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", program, "sh"]).arg(path);
        command.stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Serves until `act`, on a thread of its own, is done; gives what it gives, and how many reads
    /// were told of by then or soon after.
    fn serving<T: Send + 'static>(
        place: &mut Place,
        reads: usize,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let fifos = &mut place.fifos;
        place.runtime.block_on(async {
            let (done, mut result) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || done.send(act()).ok());
            let (mut got, mut seen) = (None, 0);
            while got.is_none() || seen < reads {
                tokio::select! {
                    event = fifos.event() => {
                        assert!(matches!(event.unwrap(), Event::FifoRead { .. }));
                        seen += 1;
                    }
                    result = &mut result, if got.is_none() => got = Some(result.unwrap()),
                    () = tokio::time::sleep(Duration::from_secs(20)) => {
                        panic!("{seen} of {reads} reads in time, readers ended: {}", got.is_some());
                    }
                }
            }
            assert_eq!(seen, reads);
            got.unwrap()
        })
    }

    fn output(child: Child) -> Vec<u8> {
        child.wait_with_output().unwrap().stdout
    }

    /// Reads as a program below this one does: children that the tests fork copy what this process
    /// itself has open, and would look like readers.
    fn read(path: &Path) -> Vec<u8> {
        output(start("exec cat \"$1\"", path))
    }

    #[test]
    fn two_hundred_readers_in_a_row_each_get_the_value() {
        let mut place = place(b"va\0lue\n", None);
        let path = place.path.clone();
        serving(&mut place, 200, move || {
            for _ in 0..200 {
                assert_eq!(read(&path), b"va\0lue\n");
            }
        });
    }

    #[test]
    fn fifty_readers_at_once_each_get_the_value_once() {
        let mut place = place(b"the value", None);
        let path = place.path.clone();
        let wrong = serving(&mut place, 20 * 50, move || {
            let mut wrong = Vec::new();
            for _ in 0..20 {
                let readers: Vec<_> = (0..50).map(|_| start("exec cat \"$1\"", &path)).collect();
                let outputs = readers.into_iter().map(output);
                wrong.extend(outputs.filter(|output| output != b"the value"));
            }
            wrong
        });
        assert_eq!(wrong, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn three_readers_of_one_inode_each_get_the_value() {
        // Nobody serves while they open: all have the same inode, which no race could do more.
        let mut place = place(b"the value", None);
        let readers: Vec<_> = (0..3)
            .map(|_| start("exec cat \"$1\"", &place.path))
            .collect();
        let fifo = filesystem::status(&place.fifos.all[0].armed.as_ref().unwrap().end).unwrap();
        while super::super::readers::Readers::of(fifo, Among::Descendants).asleep() < 3 {
            std::thread::yield_now();
        }
        let outputs = serving(&mut place, 3, move || {
            readers.into_iter().map(output).collect::<Vec<_>>()
        });
        assert_eq!(outputs, vec![b"the value".to_vec(); 3]);
    }

    #[test]
    fn an_inherited_opening_is_one_reader() {
        let mut place = place(b"the value", None);
        let path = place.path.clone();
        let outputs = serving(&mut place, 3, move || {
            [
                "exec 3<\"$1\"; cat <&3; cat <&3",
                "cat /dev/stdin <\"$1\"",
                "cat <\"$1\"; :",
            ]
            .map(|program| output(start(program, &path)))
        });
        assert_eq!(outputs, [b"the value", b"the value", b"the value"]);
    }

    #[test]
    fn values_of_any_size_and_content_are_read_whole() {
        let large: Vec<u8> = (0..10 << 20).map(|index| (index % 251) as u8).collect();
        for value in [&b""[..], b"\0\n\n\0", &large] {
            let mut place = place(value, None);
            let (path, value) = (place.path.clone(), value.to_vec());
            serving(&mut place, 2, move || {
                for _ in 0..2 {
                    assert!(read(&path) == value);
                }
            });
        }
    }

    #[test]
    fn a_new_value_is_read_at_the_next_opening_and_an_old_one_comes_back() {
        let mut place = place(b"one", None);
        let read = |place: &mut Place| {
            let path = place.path.clone();
            serving(place, 1, move || self::read(&path))
        };
        assert_eq!(read(&mut place), b"one");
        replace(&mut place.fifos, &[b"two"]);
        assert_eq!(read(&mut place), b"two");
        place.fifos.swap_back(&Receipt::of_a_test()).unwrap();
        assert_eq!(read(&mut place), b"one");
        place.fifos.retire().unwrap();
        place.fifos.swap_back(&Receipt::of_a_test()).unwrap();
        assert_eq!(read(&mut place), b"one");
    }

    #[test]
    fn it_is_taken_away_after_the_last_read() {
        let mut place = place(b"x", Some(2));
        let path = place.path.clone();
        serving(&mut place, 2, move || {
            assert_eq!(read(&path), b"x");
            assert_eq!(read(&path), b"x");
            assert!(!path.exists());
        });
        // A new generation does not bring it back.
        replace(&mut place.fifos, &[b"y"]);
        assert!(!place.path.exists());
    }

    #[test]
    fn a_reader_that_leaves_or_never_reads_hinders_nobody() {
        let mut place = place(b"the value", None);
        let path = place.path.clone();
        serving(&mut place, 3, move || {
            drop(fs::File::open(&path).unwrap());
            let idle = fs::File::open(&path).unwrap();
            assert_eq!(read(&path), b"the value");
            assert_eq!(output(start("head -c 3 \"$1\"", &path)), b"the");
            assert_eq!(read(&path), b"the value");
            drop(idle);
        });
    }

    #[test]
    fn it_has_the_plans_mode_and_leaves_no_temporary() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let place = place(b"x", None);
        let metadata = fs::metadata(&place.path).unwrap();
        assert!(metadata.file_type().is_fifo());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o400);
        let names = fs::read_dir(place.path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn an_opening_that_comes_after_the_end_is_served_as_well() {
        let mut place = place(b"the value", None);
        let end = place.fifos.all[0].armed.as_ref().unwrap().end.as_fd();
        let handle = pipe::handle(end).unwrap().unwrap();
        let inode = filesystem::path_of(handle.as_fd()).display().to_string();
        let inode = PathBuf::from(inode.replace("self", &std::process::id().to_string()));
        let path = place.path.clone();
        // One that is there when the other is served, and opens the same inode when that is over.
        let mut command = Command::new("sh");
        let script = "read go; exec <\"$1\"; head -c 9; sleep 0.3; cat";
        command.args(["-c", script, "sh"]).arg(inode);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut late = command.spawn().unwrap();
        let outputs = serving(&mut place, 2, move || {
            let first = output(start("exec cat \"$1\"", &path));
            drop(late.stdin.take());
            (first, output(late))
        });
        assert_eq!(outputs, (b"the value".to_vec(), b"the value".to_vec()));
        drop(handle);
    }

    #[test]
    fn a_fifo_that_was_removed_or_replaced_is_put_back() {
        let mut place = place(b"x", None);
        let path = place.path.clone();
        for removed in [true, false] {
            fs::remove_file(&path).unwrap();
            if !removed {
                fs::write(&path, "other").unwrap();
            }
            let mut found = Inspection::default();
            place.fifos.inspect(&mut found);
            let path = path.clone();
            assert_eq!(found.put_back, [PutBack { path, removed }]);
            let path = place.path.clone();
            serving(&mut place, 1, move || assert_eq!(read(&path), b"x"));
        }
    }

    #[test]
    fn a_fifo_that_could_not_be_made_anew_is_made_when_it_can_be() {
        let mut place = place(b"x", None);
        let path = place.path.clone();
        // What is in the way of the next one.
        let way = path.with_file_name("..fifo-0");
        fs::create_dir(&way).unwrap();
        let reader = path.clone();
        let reader = std::thread::spawn(move || read(&reader));
        let Place { runtime, fifos, .. } = &mut place;
        runtime.block_on(async {
            let (mut was_read, mut failed) = (false, false);
            while !(was_read && failed) {
                match fifos.event().await.unwrap() {
                    Event::FifoRead { .. } => was_read = true,
                    Event::ConditionBegan { .. } => failed = true,
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(reader.join().unwrap(), b"x");
        assert!(!path.exists());
        fs::remove_dir(&way).unwrap();
        let made = runtime.block_on(fifos.event()).unwrap();
        assert!(matches!(made, Event::ConditionEnded { .. }), "{made:?}");
        serving(&mut place, 1, move || assert_eq!(read(&path), b"x"));
    }

    #[test]
    fn without_inotify_fifos_are_polled() {
        let mut place = place(b"x", None);
        let path = place.path.clone();
        place.fifos.notifier = None;
        place.fifos.polled = Some(String::new());
        place.fifos.all[0].armed = None;
        place.fifos.arm_all().unwrap();
        serving(&mut place, 3, move || {
            for _ in 0..3 {
                assert_eq!(read(&path), b"x");
            }
        });
    }
}
