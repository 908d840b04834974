//! Unix sockets at a name in a directory that is open (unix(7)), reached by its descriptor alone
//! ([`held::by_path`]). None of them blocks, and all of them are closed in the program.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{AtFlags, Mode, chmodat};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::filesystem;
use super::held;

/// Connections that wait to be accepted; the kernel refuses more with EAGAIN.
const BACKLOG: i32 = 64;

/// Listens at a name that is not taken (EEXIST), in a directory that nobody else may enter. The socket
/// is bound to `before`, a name for that alone, and gets its own one when it listens: whoever finds it
/// can connect. Its mode is 0600.
pub fn listen_at(directory: impl AsFd, before: &str, name: &str) -> io::Result<UnixListener> {
    let socket = stream_socket()?;
    held::by_path(&directory, before, |path| {
        Ok(net::bind(&socket, &SocketAddrUnix::new(path)?)?)
    })?;
    let mode = Mode::from_raw_mode(0o600);
    let listening = chmodat(&directory, before, mode, AtFlags::empty())
        .and_then(|()| net::listen(&socket, BACKLOG))
        .map_err(io::Error::from)
        .and_then(|()| filesystem::rename_new_at(&directory, before, name));
    if let Err(error) = listening {
        filesystem::unlink_at(directory, before)?;
        return Err(error);
    }
    Ok(socket.into())
}

/// Connects to the socket of that name. ECONNREFUSED: nobody listens there any more. EAGAIN: too many
/// wait already.
pub fn connect_at(directory: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<UnixStream> {
    let socket = stream_socket()?;
    held::by_path(directory, name, |path| {
        Ok(net::connect(&socket, &SocketAddrUnix::new(path)?)?)
    })?;
    Ok(socket.into())
}

/// How many bytes of a TCP socket the other side's kernel has not acknowledged: tcp(7), `SIOCOUTQ`.
pub fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the request writes one int, and `count` is one.
    let done = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Whether the other side has ended the connection, or it broke. What it said before is not read.
pub fn is_closed(socket: impl AsFd) -> bool {
    use rustix::net::RecvFlags;
    let mut byte = [0];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match net::recv(socket, &mut byte, flags) {
        Ok((_, count)) => count == 0,
        Err(errno) => !matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
    }
}

fn stream_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// The supplementary groups of who connected, as they were then: SO_PEERGROUPS (socket(7), Linux 4.13).
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let fd = socket.as_fd().as_raw_fd();
    // The kernel says how much it needs; a peer's groups do not change any more.
    let mut groups = vec![0_u32; 64];
    loop {
        let mut length =
            libc::socklen_t::try_from(size_of_val(&*groups)).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: the kernel writes at most `length` bytes to the vector's memory, which has that many, and
        // any bytes are numbers.
        let result = unsafe {
            libc::getsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::sys::filesystem::open_directory;

    fn exchange(path: &Path) {
        let directory = open_directory(path).unwrap();
        let listener = listen_at(&directory, "a.new", "a.sock").unwrap();
        let mut client = connect_at(&directory, "a.sock").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        let mode = std::fs::metadata(path.join("a.sock")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        // The name is taken, by a listener that is dead: nothing is removed by itself.
        drop(listener);
        let again = listen_at(&directory, "a.new", "a.sock").unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::EEXIST));
        assert!(!path.join("a.new").exists());
        // A child that another test forks has the listener, too, until it executes its program.
        let dead = (0..50).find_map(|_| {
            let refused = connect_at(&directory, "a.sock").err();
            if refused.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            refused
        });
        assert_eq!(dead.unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
    }

    #[test]
    fn what_is_acknowledged_and_who_is_gone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        while unacknowledged(&client).unwrap() > 0 {
            std::thread::yield_now();
        }
        assert!(!is_closed(&client) && !is_closed(&server));
        drop(server);
        while !is_closed(&client) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_groups_of_who_connected_are_the_kernels_word() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut found = peer_groups(&one).unwrap();
        let mut own: Vec<u32> = nix::unistd::getgroups()
            .unwrap()
            .into_iter()
            .map(nix::unistd::Gid::as_raw)
            .collect();
        found.sort_unstable();
        own.sort_unstable();
        assert_eq!(found, own);
    }

    #[test]
    fn who_connects_is_heard() {
        exchange(tempfile::tempdir().unwrap().path());
    }

    #[test]
    fn a_path_may_be_longer_than_an_address() {
        let temporary = tempfile::tempdir().unwrap();
        let long = temporary.path().join("x".repeat(200));
        std::fs::create_dir(&long).unwrap();
        exchange(&long);
    }

    #[test]
    fn whoever_finds_a_socket_can_connect() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = open_directory(temporary.path()).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        // All of them listen to the end: who found one just before its name went connects as well.
        let mut listeners = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    match connect_at(&directory, "a.sock") {
                        // Nothing is accepted: once for each name, so that the backlog is never full.
                        Ok(_) => while temporary.path().join("a.sock").exists() {},
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
                    }
                }
            });
            for _ in 0..200 {
                let listener = listen_at(&directory, "a.new", "a.sock").unwrap();
                filesystem::unlink_at(&directory, "a.sock").unwrap();
                listeners.push(listener);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn nothing_waits() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = open_directory(temporary.path()).unwrap();
        let listener = listen_at(&directory, "a.new", "a.sock").unwrap();
        let nobody = listener.accept().unwrap_err();
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
        let mut waiting = Vec::new();
        let full = loop {
            match connect_at(&directory, "a.sock") {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(waiting.len() >= BACKLOG as usize, "{}", waiting.len());
    }
}
