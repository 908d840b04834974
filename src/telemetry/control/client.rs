//! The side of who asks.

use std::fmt;
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
use crate::model::control::{Reply, Request};
use crate::sys::{beneath, filesystem, socket};

/// How long a reply may be, in bytes.
const LONGEST_REPLY: usize = 16 << 20;
/// A launcher that has too many waiting is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A socket on which a launcher listens, or did a moment ago.
#[derive(Clone, Debug)]
pub struct Launcher {
    directory: Rc<OwnedFd>,
    /// The socket's path.
    pub path: PathBuf,
    /// Whose place it is in; `None` for one that was named by its path.
    pub owner: Option<u32>,
    /// The process id that its name tells.
    pub pid: Option<u32>,
}

/// Why there is no reply.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens there.
    Gone,
    /// The system does not let this user connect.
    Denied,
    /// No reply in time; it may be stopped, or still be at it.
    Silent(Duration),
    /// The connection was closed without one: the launcher has ended.
    Closed,
    /// Who listens there is not who the place belongs to.
    Impostor,
    /// What came is no reply of this version.
    NotUnderstood,
    /// The system refused.
    System(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("no launcher listens there"),
            Self::Denied => f.write_str("it belongs to another user: only they and root may ask"),
            Self::Silent(patience) => {
                let patience = crate::model::format_duration(*patience);
                write!(f, "no answer within {patience}: is it stopped (SIGSTOP)?")
            }
            Self::Closed => f.write_str("it ended without an answer"),
            Self::Impostor => {
                f.write_str("a process of another user than the directory's listens there")
            }
            Self::NotUnderstood => {
                f.write_str("its answer is not understood: is it of another version?")
            }
            Self::System(_) => f.write_str("it cannot be asked"),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System(source) => Some(source),
            _ => None,
        }
    }
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
        Ok(Self {
            directory: Rc::new(directory),
            path: path.to_owned(),
            owner: None,
            pid: None,
        })
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        UnixStream::from_std(socket::connect_at(&*self.directory, parent, name)?)
    }
}

/// Every socket in these places; those of dead launchers are removed, and places that are empty then.
/// Places that are not there are left out.
pub fn look(places: &[Place]) -> Result<Vec<Launcher>, Unusable> {
    let mut found = Vec::new();
    for place in places {
        let directory = match place.open() {
            Ok(directory) => Rc::new(directory),
            Err(Unusable::System(_, error)) if is_absent(&error) => continue,
            // Somebody else's doing: launchers of this user are not there either.
            Err(Unusable::Foreign(..)) => continue,
            Err(fault) => return Err(fault),
        };
        let path = place.path();
        let system = |error| Unusable::System(path.clone(), error);
        // Whoever holds the lock sweeps, or is about to listen.
        if filesystem::try_lock(&*directory).map_err(system)? {
            sweep(&directory, &path).map_err(system)?;
            if filesystem::remove_directory(&path).is_ok() {
                // The last one there had died.
                continue;
            }
            filesystem::unlock(&*directory).map_err(system)?;
        }
        let names = places::sockets(&directory).map_err(system)?;
        found.extend(names.into_iter().map(|name| Launcher {
            directory: Rc::clone(&directory),
            path: path.join(&name),
            owner: Some(place.uid),
            pid: places::pid_of(&name),
        }));
    }
    Ok(found)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// Asks, and waits for the reply as long as patience lasts.
pub async fn ask(
    launcher: &Launcher,
    request: &Request,
    patience: Duration,
) -> Result<Reply, AskError> {
    timeout(patience, exchange(launcher, request))
        .await
        .unwrap_or(Err(AskError::Silent(patience)))
}

async fn exchange(launcher: &Launcher, request: &Request) -> Result<Reply, AskError> {
    let mut stream = loop {
        match launcher.connect() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(TRY_AGAIN).await,
            connected => break connected?,
        }
    };
    let listener = stream.peer_cred()?.uid();
    if launcher.owner.is_some_and(|owner| owner != listener) {
        return Err(AskError::Impostor);
    }
    if stream.write_all(&request.to_line()).await.is_err() {
        // Refused before it was heard: the reply says why.
    }
    let line = hear(&mut stream).await?;
    serde_json::from_slice(&line).map_err(|_| AskError::NotUnderstood)
}

async fn hear(stream: &mut UnixStream) -> Result<Vec<u8>, AskError> {
    let mut line = Vec::new();
    loop {
        let from = line.len();
        match stream.read_buf(&mut line).await {
            Ok(0) => return Err(AskError::Closed),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(AskError::Closed);
            }
            Err(error) => return Err(error.into()),
            Ok(_) if line.len() > LONGEST_REPLY => return Err(AskError::NotUnderstood),
            Ok(_) => {}
        }
        if let Some(end) = line[from..].iter().position(|byte| *byte == b'\n') {
            line.truncate(from + end);
            return Ok(line);
        }
    }
}
