//! The side of who asks.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::places::{self, Place, Unusable};
use super::server::sweep;
use crate::model::control::{Asked, Reply};
use crate::model::format_duration;
use crate::sys::{beneath, filesystem, process, socket};

/// How long a reply may be, in bytes: room for some thousand secrets.
pub const LONGEST_REPLY: usize = 2 << 20;
/// The same for another user's launcher that is asked among many.
pub const LONGEST_OF_OTHERS: usize = 256 << 10;
/// A launcher that has too many waiting is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A socket on which a launcher listens, or did a moment ago.
#[derive(Clone, Debug)]
pub struct Launcher {
    directory: Rc<OwnedFd>,
    /// The socket's path.
    pub path: PathBuf,
    /// Whose place it is in.
    pub owner: u32,
    /// The process id that its name tells.
    pub pid: Option<u32>,
}

/// What was found in places.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that may be asked.
    pub launchers: Vec<Launcher>,
    /// Users who have more sockets than are looked at.
    pub crowded: Vec<u32>,
}

/// How long to wait for a reply, and for how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long.
    pub patience: Duration,
    /// How many bytes.
    pub reply: usize,
}

/// How a listener differs from what its socket tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impostor {
    /// It is of another user than the directory.
    #[error(
        "a process of uid {listens} listens there, and the directory is that of uid {owner}: it \
         is not asked"
    )]
    User {
        /// Its user.
        listens: u32,
        /// The directory's.
        owner: u32,
    },
    /// It is another process than the name tells.
    #[error("process {listens} listens there, not process {named}: it is not asked")]
    Process {
        /// Its process id.
        listens: u32,
        /// The name's.
        named: u32,
    },
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("no launcher listens there")]
    Gone,
    /// The system does not let this user connect.
    #[error("it belongs to another user: only they and root may ask")]
    Denied,
    /// No reply in time; it may be stopped, or still be at it.
    #[error("no answer within {}: is it stopped (SIGSTOP)?", format_duration(*.0))]
    Silent(Duration),
    /// The connection was closed without one: the launcher has ended.
    #[error("it ended without an answer")]
    Closed,
    /// Who listens there is not whom the place and the name tell.
    #[error(transparent)]
    Impostor(Impostor),
    /// The reply is longer than it may be.
    #[error("its answer is longer than {} KiB", .0 >> 10)]
    TooLong(usize),
    /// What came is no reply of this version.
    #[error("its answer is not understood: is it of another version?")]
    NotUnderstood,
    /// The system refused.
    #[error("it cannot be asked")]
    System(#[source] io::Error),
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Gone,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::System(error),
        }
    }
}

impl Launcher {
    /// By its socket's path.
    pub fn at(path: &Path) -> Result<Self, AskError> {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let directory = beneath::open_path(parent.unwrap_or_else(|| Path::new(".")))?;
        let name = path.file_name().and_then(|name| name.to_str());
        Ok(Self {
            owner: filesystem::status(&directory)?.uid,
            directory: Rc::new(directory),
            path: path.to_owned(),
            pid: name.and_then(places::pid_of),
        })
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let name = self.path.file_name().ok_or(io::ErrorKind::NotFound)?;
        UnixStream::from_std(socket::connect_at(&*self.directory, name)?)
    }

    /// Whoever listens is of the user that the directory belongs to, and the process that the socket's
    /// name tells, in its PID namespace or in this one.
    fn recognise(&self, stream: &UnixStream) -> Result<(), AskError> {
        let peer = stream.peer_cred()?;
        if peer.uid() != self.owner {
            return Err(AskError::Impostor(Impostor::User {
                listens: peer.uid(),
                owner: self.owner,
            }));
        }
        // 0: it is in a PID namespace that this one does not see.
        let listens = peer.pid().filter(|pid| *pid > 0);
        let (Some(listens), Some(named)) = (listens, self.pid) else {
            return Ok(());
        };
        if listens.unsigned_abs() == named || process::id_in_own_namespace(listens) == Some(named) {
            return Ok(());
        }
        Err(AskError::Impostor(Impostor::Process {
            listens: listens.unsigned_abs(),
            named,
        }))
    }
}

/// Every socket in these places. In those of this user, sockets of dead launchers are removed, and
/// places that are empty then. Places that are not there are left out, and those of others that cannot
/// be used.
pub fn look(places: &[Place]) -> Result<Found, Unusable> {
    let me = filesystem::effective_uid();
    let mut found = Found::default();
    for place in places {
        let looked = if place.uid == me {
            look_at_own(place)
        } else {
            look_at_other(place, &mut found.crowded)
        };
        let (directory, names) = match looked {
            Ok(Some(looked)) => looked,
            Err(Unusable::System(path, error)) if place.uid == me && !is_absent(&error) => {
                return Err(Unusable::System(path, error));
            }
            // Nothing is there, or somebody else's doing: launchers of this user are not.
            Ok(None) | Err(_) => continue,
        };
        let directory = Rc::new(directory);
        found
            .launchers
            .extend(names.into_iter().map(|name| Launcher {
                directory: Rc::clone(&directory),
                path: place.path().join(&name),
                owner: place.uid,
                pid: places::pid_of(&name),
            }));
    }
    Ok(found)
}

/// An open place, and the sockets in it.
type Looked = (OwnedFd, Vec<String>);

/// `None`: the last one there had died, and the place is gone.
fn look_at_own(place: &Place) -> Result<Option<Looked>, Unusable> {
    let made = place.open()?;
    let directory = &made.directory;
    let path = place.path();
    let system = |error| Unusable::System(path.clone(), error);
    // Whoever holds the lock sweeps, or is about to listen.
    if filesystem::try_lock(directory).map_err(system)? {
        sweep(directory).map_err(system)?;
        if place.remove(&made).is_ok() {
            return Ok(None);
        }
        filesystem::unlock(directory).map_err(system)?;
    }
    let names = places::sockets(directory).map_err(system)?;
    Ok(Some((made.directory, names)))
}

/// Another user's: nothing is removed there, and no more is looked at than a user needs.
fn look_at_other(place: &Place, crowded: &mut Vec<u32>) -> Result<Option<Looked>, Unusable> {
    let directory = place.open()?.directory;
    let (names, more) =
        places::some_sockets(&directory).map_err(|error| Unusable::System(place.path(), error))?;
    if more {
        crowded.push(place.uid);
    }
    Ok(Some((directory, names)))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// Asks, and waits for the reply within these limits. Nothing is sent to who is not whom the socket
/// tells.
pub async fn ask(
    launcher: &Launcher,
    asked: impl Into<Asked>,
    limits: Limits,
) -> Result<Reply, AskError> {
    let (patience, asked) = (limits.patience, asked.into());
    timeout(patience, exchange(launcher, &asked, limits.reply))
        .await
        .unwrap_or(Err(AskError::Silent(patience)))
}

async fn exchange(launcher: &Launcher, asked: &Asked, longest: usize) -> Result<Reply, AskError> {
    let mut stream = loop {
        match launcher.connect() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(TRY_AGAIN).await,
            connected => break connected?,
        }
    };
    launcher.recognise(&stream)?;
    if stream.write_all(&asked.to_line()).await.is_err() {
        // Refused before it was heard: the reply says why.
    }
    let line = hear(&mut stream, longest).await?;
    let reply = serde_json::from_slice(&line).map_err(|_| AskError::NotUnderstood)?;
    match (&reply, launcher.pid) {
        (Reply::Status(status), Some(named)) if status.pid != named => {
            Err(AskError::Impostor(Impostor::Process {
                listens: status.pid,
                named,
            }))
        }
        _ => Ok(reply),
    }
}

async fn hear(stream: &mut UnixStream, longest: usize) -> Result<Vec<u8>, AskError> {
    let mut line = Vec::new();
    loop {
        let from = line.len();
        match stream.read_buf(&mut line).await {
            Ok(0) => return Err(AskError::Closed),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(AskError::Closed);
            }
            Err(error) => return Err(error.into()),
            Ok(_) if line.len() > longest => return Err(AskError::TooLong(longest)),
            Ok(_) => {}
        }
        if let Some(end) = line[from..].iter().position(|byte| *byte == b'\n') {
            line.truncate(from + end);
            return Ok(line);
        }
    }
}
