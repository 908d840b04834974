//! The launcher's side.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::places::{self, Made, Place, Unusable};
use super::{Desk, Peer};
use crate::model::Exit;
use crate::model::control::{Asked, LONGEST_REQUEST, Reply};
use crate::sys::{filesystem, process, socket};

/// How many are served at once.
const PLACES: usize = 16;
/// How long one may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the accepting rests when the system has no descriptor or memory for a connection.
const REST: Duration = Duration::from_millis(200);
/// How often a directory is tried to be locked; whoever holds the lock sweeps, which takes no time.
const TRIES: u32 = 100;

/// Why there is no control socket: each place, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no place for a control socket, so `hushpipe ps` and `status` do not see this \
     launcher ({}); set XDG_RUNTIME_DIR to a directory of your own",
    joined(.0)
)]
pub struct NoSocket(Vec<Unusable>);

fn joined(reasons: &[Unusable]) -> String {
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}

/// A socket that listens; its name goes when this is dropped.
pub struct Server {
    listener: UnixListener,
    /// Held open: it is removed at the end, also where no descriptor is left by then.
    made: Made,
    place: Place,
    name: String,
    /// Told from one that another launcher of the same process id put there.
    socket: filesystem::Status,
    owner: u32,
    pub(super) patience: Duration,
}

impl Server {
    /// Listens in the first place that can be used, and removes there what dead launchers left.
    pub async fn open(places: &[Place]) -> Result<Self, NoSocket> {
        let mut reasons = Vec::new();
        for place in places {
            match Self::open_in(place).await {
                Ok(server) => return Ok(server),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(NoSocket(reasons))
    }

    async fn open_in(place: &Place) -> Result<Self, Unusable> {
        let made = Self::locked(place).await?;
        match Self::listen_in(place, &made.directory) {
            Ok((listener, name)) => Self::new(listener, made, name, place)
                .map_err(|error| Unusable::System(place.path(), error)),
            Err(error) => {
                // What was made in vain goes; a directory that others use is not empty.
                if place.remove(&made).is_err() {
                    // The next launcher, or `ps`, removes it.
                }
                Err(error)
            }
        }
    }

    /// A socket that listens, and its name.
    fn listen_in(
        place: &Place,
        directory: &OwnedFd,
    ) -> Result<(std::os::unix::net::UnixListener, String), Unusable> {
        let path = place.path();
        let system = |error| Unusable::System(path.clone(), error);
        sweep(directory).map_err(system)?;
        let pid = process::id();
        let names = (1..10).map(|number| match number {
            1 => format!("{pid}.sock"),
            number => format!("{pid}-{number}.sock"),
        });
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for name in names {
            let before = places::before(&name);
            match socket::listen_at(directory, &before, &name) {
                Ok(listener) => return Ok((listener, name)),
                // A launcher with the same process id, in another PID namespace.
                Err(error) if is_taken(&error) => refused = error,
                Err(error) => return Err(system(error)),
            }
        }
        Err(system(refused))
    }

    /// The directory, which nobody sweeps or removes meanwhile.
    async fn locked(place: &Place) -> Result<Made, Unusable> {
        let system = |error| Unusable::System(place.path(), error);
        for _ in 0..TRIES {
            let made = place.make()?;
            let locked = filesystem::try_lock(&made.directory).map_err(system)?;
            // The last launcher to leave may have removed it before the lock was given.
            if locked && filesystem::status(&made.directory).map_err(system)?.links > 0 {
                return Ok(made);
            }
            sleep(Duration::from_millis(1)).await;
        }
        // Whoever holds it that long is stopped, and does neither.
        place.make()
    }

    fn new(
        listener: std::os::unix::net::UnixListener,
        made: Made,
        name: String,
        place: &Place,
    ) -> io::Result<Self> {
        let socket = filesystem::status_at(&made.directory, &name)?;
        let socket = socket.ok_or(io::ErrorKind::NotFound)?;
        filesystem::unlock(&made.directory)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            made,
            place: place.clone(),
            name,
            socket,
            owner: place.uid,
            patience: PATIENCE,
        })
    }

    /// The socket's path.
    pub fn path(&self) -> PathBuf {
        self.place.path().join(&self.name)
    }

    /// Serves for as long as it is polled. Nobody waits for a slow client but that client.
    pub async fn serve(&self, desk: &impl Desk) {
        let mut open: Vec<Connection<'_>> = Vec::new();
        loop {
            tokio::select! {
                // Whoever came is heard before others come: many that say nothing keep nobody out.
                biased;
                () = one_ended(&mut open) => {}
                stream = self.accept() => self.admit(stream, desk, &mut open),
            }
        }
    }

    async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                // No descriptors, no memory: others have to end first.
                Err(_) => sleep(REST).await,
            }
        }
    }

    fn admit<'a>(&self, stream: UnixStream, desk: &'a impl Desk, open: &mut Vec<Connection<'a>>) {
        let by = match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => {
                let mut gids = socket::peer_groups(&stream).unwrap_or_default();
                gids.push(peer.gid());
                Peer {
                    pid: peer.pid().unwrap_or(0),
                    uid: peer.uid(),
                    gids,
                }
            }
            Ok(peer) => return refuse(&stream, Exit::Denied, &not_yours(self.owner, peer.uid())),
            // It is gone already.
            Err(_) => return,
        };
        if open.len() >= PLACES {
            // Whoever has said nothing for longest makes room.
            match open.iter().position(|connection| !connection.heard.get()) {
                Some(silent) => drop(open.remove(silent)),
                None => return refuse(&stream, Exit::Deadline, BUSY),
            }
        }
        let heard = Rc::new(Cell::new(false));
        open.push(Connection {
            heard: Rc::clone(&heard),
            work: Box::pin(attend(stream, by, heard, self.patience, desk)),
        });
    }
}

impl Server {
    /// Takes the name away, and the directory if it was the last.
    fn leave(&self) -> io::Result<()> {
        let locked = filesystem::try_lock(&self.made.directory)?;
        let standing = filesystem::status_at(&self.made.directory, &self.name)?;
        let ours = standing.is_some_and(|found| {
            (found.device, found.inode) == (self.socket.device, self.socket.inode)
        });
        if ours {
            filesystem::unlink_at(&self.made.directory, &self.name)?;
        }
        if locked {
            self.place.remove(&self.made)?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.leave().is_err() {
            // Others have sockets there; or the next start, or `ps`, removes what is left.
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::AddrInUse || kind == io::ErrorKind::AlreadyExists
}

const BUSY: &str = "16 others wait for this launcher's answer; try again later";

fn not_yours(owner: u32, uid: u32) -> String {
    format!("this launcher is that of uid {owner}: only it and root may ask, and you are uid {uid}")
}

/// A connection and what is done for it.
struct Connection<'a> {
    /// It has said what it wants.
    heard: Rc<Cell<bool>>,
    work: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// Drives all connections, and ends when one of them has.
async fn one_ended(open: &mut Vec<Connection<'_>>) {
    poll_fn(|context| {
        let before = open.len();
        open.retain_mut(|connection| connection.work.as_mut().poll(context).is_pending());
        if open.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// One client: hears it, answers it.
async fn attend(
    mut stream: UnixStream,
    by: Peer,
    heard: Rc<Cell<bool>>,
    patience: Duration,
    desk: &impl Desk,
) {
    let Ok(Ok(line)) = timeout(patience, hear(&mut stream)).await else {
        return;
    };
    heard.set(true);
    if line.is_empty() {
        // Somebody looked whether a launcher lives.
        return;
    }
    let reply = match Asked::parse(&line) {
        Ok(asked) => tokio::select! {
            biased;
            reply = desk.answer(asked, by) => reply,
            () = gone(&mut stream) => return,
        },
        Err(error) => refusal(Exit::Usage, &error.to_string()),
    };
    if let Ok(Err(_)) | Err(_) = timeout(patience, stream.write_all(&reply.to_line())).await {
        // It went away, or does not read: nobody is left to be told.
    }
}

/// Reads a line, to its end or the stream's, or as much as shows that it is too long.
async fn hear(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let from = line.len();
        if stream.read_buf(&mut line).await? == 0 || line.len() > LONGEST_REQUEST + 1 {
            return Ok(line);
        }
        if let Some(end) = line[from..].iter().position(|byte| *byte == b'\n') {
            line.truncate(from + end + 1);
            return Ok(line);
        }
    }
}

/// Ends when the other side has closed. What it says beyond its request is not heard.
async fn gone(stream: &mut UnixStream) {
    let mut more = [0; 512];
    while stream.read(&mut more).await.is_ok_and(|count| count > 0) {}
}

fn refusal(exit: Exit, message: &str) -> Reply {
    Reply::refused(exit, message)
}

/// Without waiting: a refusal fits into the socket's buffer.
fn refuse(stream: &UnixStream, exit: Exit, message: &str) {
    if stream.try_write(&refusal(exit, message).to_line()).is_err() {
        // It is gone already.
    }
}

/// Removes sockets on which nobody listens, also those that never got their name. To be called with the
/// directory locked: between bind(2) and listen(2), a socket looks dead.
pub(super) fn sweep(directory: &OwnedFd) -> io::Result<()> {
    for name in places::swept(directory)? {
        let connected = socket::connect_at(directory, &name);
        if connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            filesystem::unlink_at(directory, &name)?;
        }
    }
    Ok(())
}
