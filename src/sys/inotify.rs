//! inotify(7) on tokio: what happens to files and directories, without polling.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::inotify::{self, CreateFlags, Reader};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use rustix::fs::inotify::{ReadFlags as EventMask, WatchFlags as WatchMask};

/// Room for many events in one read(2); an event is 16 bytes and a name of at most 256.
const BUFFER: usize = 4096;

/// What one [`Notifier::add`] started; the kernel gives the same one again for the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(i32);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where; on an overflow it belongs to no watch.
    pub id: WatchId,
    /// What. [`EventMask::IGNORED`]: the watch is gone, with its inode or by [`Notifier::remove`].
    pub mask: EventMask,
    /// The entry of a watched directory that it happened to.
    pub name: Option<OsString>,
}

impl Event {
    /// Whether the kernel's queue was full and events were lost: whatever depends on them is to be
    /// looked at anew.
    pub const fn is_overflow(&self) -> bool {
        self.mask.contains(EventMask::QUEUE_OVERFLOW)
    }
}

/// What to do where an error says that no inotify is left: to poll is good enough then. `None`: the
/// error says something else.
pub fn lacking(error: &io::Error) -> Option<String> {
    let raise = |name: &str| {
        format!(
            "no inotify is left ({error}): raise fs.inotify.max_user_{name}, or \
             user.max_inotify_{name} of its user namespace, by sysctl(8), and start hushpipe again"
        )
    };
    let full = |errno: Option<Errno>| matches!(errno, Some(Errno::MFILE | Errno::NFILE));
    match Errno::from_io_error(error) {
        errno if full(errno) => {
            // It is the limit of descriptors only if no other one can be had either.
            let other = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 0);
            Some(if full(other.err()) {
                format!(
                    "no descriptor is left ({error}): raise the limit of open files, RLIMIT_NOFILE"
                )
            } else {
                raise("instances")
            })
        }
        Some(Errno::NOSPC | Errno::NOMEM) => Some(raise("watches")),
        Some(Errno::NOSYS | Errno::PERM) => {
            Some(format!("inotify is not to be had here ({error})"))
        }
        _ => None,
    }
}

/// One inotify instance: close-on-exec, non-blocking, closed when dropped.
pub struct Notifier {
    // Stands before `fd`, so that it leaves epoll before the descriptor is closed.
    registered: OnceCell<AsyncFd<Rc<OwnedFd>>>,
    fd: Rc<OwnedFd>,
}

impl Notifier {
    /// Makes an instance. No runtime is needed until [`Notifier::next`] waits. Fails with EMFILE
    /// when fs.inotify.max_user_instances or RLIMIT_NOFILE is reached.
    pub fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            registered: OnceCell::new(),
            fd: Rc::new(fd),
        })
    }

    /// Watches a file or directory. For an inode that is watched already the mask is replaced and
    /// the same id given. Fails with ENOSPC when fs.inotify.max_user_watches is reached.
    pub fn add(&self, path: &Path, mask: WatchMask) -> io::Result<WatchId> {
        Ok(WatchId(inotify::add_watch(&*self.fd, path, mask)?))
    }

    /// Ends a watch. One that ended by itself (its inode is gone) is no error.
    pub fn remove(&self, id: WatchId) -> io::Result<()> {
        match inotify::remove_watch(&*self.fd, id.0) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What happened since the last call, without waiting; empty if nothing did.
    pub fn pending(&self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&*self.fd, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => events.push(Event {
                    id: WatchId(event.wd()),
                    mask: event.events(),
                    name: event
                        .file_name()
                        .map(|name| OsString::from_vec(name.to_bytes().to_vec())),
                }),
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until something happens; gives at least one event, in the kernel's order. Can be
    /// dropped and called again without losing any. Must be called within a tokio runtime with I/O.
    pub async fn next(&self) -> io::Result<Vec<Event>> {
        let registered = if let Some(registered) = self.registered.get() {
            registered
        } else {
            // SAFETY: the descriptor is open and stays the same one for as long as the `Rc` in the
            // registration lives; nothing else takes it out of epoll or gives it new contents.
            let registered = unsafe {
                AsyncFd::register_with_interest(Rc::clone(&self.fd), Interest::READABLE)
            }?;
            self.registered.get_or_init(|| registered)
        };
        loop {
            let mut ready = registered.readable().await?;
            let events = self.pending()?;
            // All was read up to EAGAIN, and epoll is edge-triggered: what comes now wakes again.
            ready.clear_ready();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn a_notifier_from_before_the_runtime_tells_what_happened_since() {
        let dir = tempfile::tempdir().unwrap();
        let notifier = Notifier::new().unwrap();
        let id = notifier
            .add(dir.path(), WatchMask::CREATE | WatchMask::CLOSE_WRITE)
            .unwrap();
        assert_eq!(notifier.pending().unwrap(), []);
        fs::write(dir.path().join("one"), b"x").unwrap();

        let events = runtime().block_on(notifier.next()).unwrap();
        let seen: Vec<_> = events.iter().map(|event| event.mask).collect();
        assert_eq!(seen, [EventMask::CREATE, EventMask::CLOSE_WRITE]);
        for event in events {
            assert_eq!(event.id, id);
            assert_eq!(event.name.as_deref(), Some("one".as_ref()));
        }
    }

    #[test]
    fn it_waits_for_what_comes_later_and_can_be_added_to_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let notifier = Notifier::new().unwrap();
        runtime().block_on(async {
            let act = async {
                tokio::task::yield_now().await;
                notifier.add(&path, WatchMask::CREATE).unwrap();
                fs::write(path.join("late"), b"").unwrap();
            };
            let (events, ()) = tokio::join!(notifier.next(), act);
            assert_eq!(events.unwrap()[0].name.as_deref(), Some("late".as_ref()));
            // Twice, for readiness must have been cleared and set again.
            fs::write(path.join("later"), b"").unwrap();
            let events = notifier.next().await.unwrap();
            assert_eq!(events[0].name.as_deref(), Some("later".as_ref()));
        });
    }

    #[test]
    fn a_removed_watch_says_so_and_is_quiet() {
        let dir = tempfile::tempdir().unwrap();
        let notifier = Notifier::new().unwrap();
        let id = notifier.add(dir.path(), WatchMask::CREATE).unwrap();
        notifier.remove(id).unwrap();
        fs::write(dir.path().join("unseen"), b"").unwrap();
        let events = notifier.pending().unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].mask, EventMask::IGNORED);
        notifier.remove(id).unwrap();
    }

    #[test]
    fn the_reading_of_a_fifo_is_seen_by_its_opening() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let notifier = Notifier::new().unwrap();
        notifier.add(&fifo, WatchMask::OPEN).unwrap();
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&fifo)
            .unwrap();
        let events = notifier.pending().unwrap();
        assert_eq!(events[0].mask, EventMask::OPEN);
        assert_eq!(events[0].name, None);
        drop(file);
    }

    #[test]
    fn an_overflow_is_an_event_and_nothing_that_is_there_a_fault() {
        let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let notifier = Notifier::new().unwrap();
        notifier.add(dir.path(), WatchMask::ATTRIB).unwrap();
        let file = fs::File::create(dir.path().join("f")).unwrap();
        let other = fs::File::create(dir.path().join("g")).unwrap();
        // Alternating, as the kernel merges equal events in a row.
        for _ in 0..limit.min(100_000) / 2 + 8 {
            for file in [&file, &other] {
                nix::sys::stat::fchmod(file, nix::sys::stat::Mode::S_IRWXU).unwrap();
            }
        }
        let events = notifier.pending().unwrap();
        assert_eq!(events.iter().any(Event::is_overflow), limit <= 100_000);
    }

    #[test]
    fn what_is_not_there_cannot_be_watched() {
        let notifier = Notifier::new().unwrap();
        let error = notifier
            .add(Path::new("/nonexistent/path"), WatchMask::CREATE)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
