//! One inode of a FIFO, from its first opening to its end.
//!
//! Nearly always it has one reader. Two that race can open the same inode before a fresh one took
//! the path; each must get one whole value. The kernel wakes readers that wait in read(2) in the
//! order in which they came, one a write: so it is waited until all of them are asleep, and then a
//! value is written for each, the next when the one before was taken out. A reader that was served
//! waits for the end of file behind the others.
//!
//! An open(2) that was held up for longer finds an inode without a writer and waits for one: so it
//! is looked for such ones for a while after the end.
//!
//! How many there are is seen in /proc: among hushpipe's descendants, and for shared directories among
//! all processes. Where hushpipe may not look (run as root without
//! CAP_SYS_PTRACE for a program of another user), the openings that inotify tells of are counted,
//! of which it may merge two. Where two race for a value that is larger than what they take with
//! one read(2), the parts can mix: a secret that is read so is better a file.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::kept::Kept;
use super::readers::{Among, Readers};
use crate::sys::filesystem::{self, Status};
use crate::sys::inotify::EventMask;
use crate::sys::pipe::{self, Writer};

/// How long an opening may be on its way after the path leads elsewhere.
const SETTLE: Duration = Duration::from_millis(1);

/// When it is looked for late ones, each time after the one before.
const LATE: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// How long a late one has to come out of its open(2).
const AWAKE: Duration = Duration::from_millis(200);

/// How long is waited for racing readers to be asleep. One that polls never is.
const ASLEEP: Duration = Duration::from_millis(500);

/// What inotify told of an inode since it was first opened.
#[derive(Default)]
pub(super) struct Pulse {
    opened: Cell<usize>,
    closed: Cell<usize>,
    beat: Notify,
}

impl Pulse {
    /// Takes note of an event.
    pub(super) fn beat(&self, mask: EventMask) {
        let count = |counter: &Cell<usize>, kind| {
            counter.set(counter.get() + usize::from(mask.contains(kind)));
        };
        count(&self.opened, EventMask::OPEN);
        count(&self.closed, EventMask::CLOSE_NOWRITE);
        self.beat.notify_one();
    }
}

/// How it ended.
pub(super) struct Served {
    /// How many values were read, perhaps in part.
    pub(super) values: usize,
    pub(super) fault: Option<io::Error>,
    /// Looks for readers that come late.
    pub(super) late: Option<Task>,
}

/// Something to be driven.
pub(super) type Task = Pin<Box<dyn Future<Output = Served>>>;

/// Serves all readers of an inode that was opened, whose path leads elsewhere by now.
pub(super) async fn serve(end: OwnedFd, value: Rc<Kept>, pulse: Rc<Pulse>, among: Among) -> Served {
    let mut values = 0;
    match attend(end, &value, &pulse, among, &mut values).await {
        Ok(closed) => Served {
            values,
            fault: None,
            late: closed.map(|closed| Box::pin(closed.look(value, pulse)) as Task),
        },
        Err(fault) => Served {
            values,
            fault: Some(fault),
            late: None,
        },
    }
}

/// An inode whose writing end was closed.
struct Closed {
    fifo: Status,
    among: Among,
    handle: OwnedFd,
    /// Who had it open then.
    served: Readers,
}

impl Closed {
    fn of(end: &Writer, fifo: Status, among: Among) -> io::Result<Option<Self>> {
        // Nobody but its readers can see it any more; this is for our own opening.
        filesystem::change_mode(end, 0o600)?;
        let handle = pipe::handle(end.as_fd())?;
        Ok(handle.map(|handle| Self {
            fifo,
            among,
            handle,
            served: Readers::of(fifo, among),
        }))
    }

    async fn look(mut self, value: Rc<Kept>, pulse: Rc<Pulse>) -> Served {
        let mut values = 0;
        let mut fault = None;
        for pause in LATE {
            sleep(pause).await;
            if let Err(error) = self.attend(&value, &pulse, &mut values).await {
                fault = Some(error);
                break;
            }
        }
        Served {
            values,
            fault,
            late: None,
        }
    }

    /// One that was served may still have it open, and wants nothing more.
    async fn attend(&mut self, value: &Kept, pulse: &Pulse, values: &mut usize) -> io::Result<()> {
        let Some(end) = pipe::open_writer(&filesystem::path_of(self.handle.as_fd()))? else {
            return Ok(());
        };
        let end = Writer::new(end)?;
        let until = Instant::now() + AWAKE;
        let wanted = loop {
            sleep(SETTLE).await;
            if pipe::is_abandoned(&end)? {
                return Ok(());
            }
            let readers = Readers::of(self.fifo, self.among);
            let wanted = readers.since(&self.served);
            if wanted > 0 || Instant::now() >= until {
                self.served.include(readers);
                break wanted;
            }
        };
        for _ in 0..wanted {
            let written = value.feed(&end).await?;
            let left = taken(&end, pulse).await?;
            *values += usize::from(left < written as u64 || written == 0);
        }
        Ok(())
    }
}

async fn attend(
    end: OwnedFd,
    value: &Kept,
    pulse: &Pulse,
    among: Among,
    values: &mut usize,
) -> io::Result<Option<Closed>> {
    let fifo = filesystem::status(&end)?;
    let end = Writer::new(end)?;
    sleep(SETTLE).await;
    // Later ones are no racing readers, but programs that open /dev/stdin or /dev/fd/N again.
    // One that was closed before anything was written wants nothing.
    let openings = pulse.opened.get().saturating_sub(pulse.closed.replace(0));
    if openings == 0 && pipe::is_abandoned(&end)? {
        return Closed::of(&end, fifo, among);
    }
    let openings = openings.max(1);
    let mut wanted = 0;
    loop {
        wanted = settled(fifo, among, pulse, openings.max(wanted))
            .await
            .max(wanted);
        if *values >= wanted {
            return Closed::of(&end, fifo, among);
        }
        let written = value.feed(&end).await?;
        let left = taken(&end, pulse).await?;
        if left > 0 {
            *values += usize::from(left < written as u64);
            return Closed::of(&end, fifo, among);
        }
        *values += 1;
    }
}

/// How many readers there are. Where there are several, it is waited until all of them are asleep,
/// so that the next write wakes the one that came first, and none that was served comes before it.
async fn settled(fifo: Status, among: Among, pulse: &Pulse, openings: usize) -> usize {
    let end = Instant::now() + ASLEEP;
    loop {
        let readers = Readers::of(fifo, among);
        if readers.programs() == 0 {
            return openings;
        }
        let expected = openings
            .saturating_sub(pulse.closed.get())
            .max(readers.programs());
        let alone = expected == 1 && openings == 1;
        if alone || readers.asleep() >= expected || Instant::now() >= end {
            return readers.wanted();
        }
        sleep(SETTLE).await;
    }
}

/// Waits until all that was written is taken out, or every reader went away; gives what is left.
async fn taken(end: &Writer, pulse: &Pulse) -> io::Result<u64> {
    let mut pause = Duration::from_millis(20);
    loop {
        let left = pipe::unread(end)?;
        if left == 0 || pipe::is_abandoned(end)? {
            return Ok(left);
        }
        // inotify tells of reads and closings; a splice(2) it may not.
        if timeout(pause, pulse.beat.notified()).await.is_err() {
            pause = (2 * pause).min(Duration::from_secs(1));
        }
    }
}
