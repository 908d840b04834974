//! Datagrams between processes with credentials and descriptors: unix(7), as sd_notify(3) uses it.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::task::{Context, Poll};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How many descriptors the kernel lets travel with one datagram (`SCM_MAX_FD`).
const MOST_FDS: usize = 253;

/// One datagram.
#[derive(Debug)]
pub struct Datagram {
    /// What it says.
    pub bytes: Vec<u8>,
    /// The sender's process id, told by the kernel; 0: it is outside of our PID namespace.
    pub sender: i32,
    /// The sender's real user id, as the kernel tells it.
    pub uid: u32,
    /// What came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// It was longer than expected, or descriptors were lost on the way.
    pub cut: bool,
}

/// An address: a path, or `@` and a name in the abstract namespace, as `NOTIFY_SOCKET` has them.
/// Fails with EINVAL for anything else, and where it is too long.
fn address(name: &OsStr) -> io::Result<SocketAddrUnix> {
    match name.as_bytes() {
        [b'@', rest @ ..] if !rest.is_empty() => Ok(SocketAddrUnix::new_abstract_name(rest)?),
        path @ [b'/', ..] => Ok(SocketAddrUnix::new(path)?),
        _ => Err(Errno::INVAL.into()),
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        flags,
        None,
    )?)
}

/// Where datagrams arrive.
#[derive(Debug)]
pub struct Receiver {
    socket: AsyncFd<OwnedFd>,
    longest: usize,
}

impl Receiver {
    /// Binds a new socket to a name; a datagram may have `longest` bytes. Needs a tokio runtime with
    /// I/O.
    pub fn bind(name: &OsStr, longest: usize) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        rustix::net::bind(&socket, &address(name)?)?;
        // SAFETY: the registration owns the descriptor, and nothing closes it before.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { socket, longest })
    }

    /// Waits for the next one. Can be dropped while it waits.
    pub async fn receive(&self) -> io::Result<Datagram> {
        loop {
            let mut ready = self.socket.readable().await?;
            match self.try_receive()? {
                Some(datagram) => return Ok(datagram),
                None => ready.clear_ready(),
            }
        }
    }

    /// The next one, if it is there.
    pub fn try_receive(&self) -> io::Result<Option<Datagram>> {
        match receive(self.socket.get_ref().as_fd(), self.longest) {
            Ok(datagram) => Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// recvmsg(2), by the C library: rustix takes a sender of process id 0 for impossible.
fn receive(socket: BorrowedFd<'_>, longest: usize) -> io::Result<Datagram> {
    let mut bytes = vec![0; longest];
    let mut control = [MaybeUninit::<u64>::uninit(); control_words()];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all zero is a valid msghdr: no name, no parts, no control data.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    let received = loop {
        // SAFETY: the header points to memory of ours, of the lengths that it says.
        match unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) }
        {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            received => break received as usize,
        }
    };
    bytes.truncate(received);
    // SAFETY: the kernel filled the header and the control data it points to.
    let (credentials, fds) = unsafe { ancillary(&header) };
    Ok(Datagram {
        bytes,
        sender: credentials.map_or(0, |sender| sender.pid),
        uid: credentials.map_or(u32::MAX, |sender| sender.uid),
        fds,
        cut: header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    })
}

/// Room for credentials and as many descriptors as there can be, aligned as cmsg(3) wants it.
const fn control_words() -> usize {
    // SAFETY: the macro only computes with lengths.
    let bytes = unsafe {
        libc::CMSG_SPACE(size_of::<libc::ucred>() as u32)
            + libc::CMSG_SPACE((MOST_FDS * size_of::<RawFd>()) as u32)
    };
    (bytes as usize).div_ceil(size_of::<u64>())
}

/// Takes over what came with a message. To be called once for it: the descriptors are owned then.
unsafe fn ancillary(header: &libc::msghdr) -> (Option<libc::ucred>, Vec<OwnedFd>) {
    let (mut sender, mut fds) = (None, Vec::new());
    // SAFETY: the header is as recvmsg left it; the macros stay within its control data, whose
    // lengths the kernel wrote.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !next.is_null() {
        // SAFETY: as above; data need not be aligned, and is read as such. Each descriptor in it
        // is new and nobody else's.
        unsafe {
            let one = &*next;
            let data = libc::CMSG_DATA(next);
            let length = one.cmsg_len as usize - (data as usize - next as usize);
            match (one.cmsg_level, one.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    sender = Some(data.cast::<libc::ucred>().read_unaligned());
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let bytes = std::slice::from_raw_parts(data, length);
                    let (numbers, _) = bytes.as_chunks();
                    for number in numbers {
                        fds.push(OwnedFd::from_raw_fd(RawFd::from_ne_bytes(*number)));
                    }
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    (sender, fds)
}

/// Sends datagrams to one address.
#[derive(Debug)]
pub struct Sender(AsyncFd<OwnedFd>);

impl Sender {
    /// Connects a new socket. ENOENT or ECONNREFUSED: nobody listens there. Needs a tokio runtime
    /// with I/O.
    pub fn connect(name: &OsStr) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::connect(&socket, &address(name)?)?;
        // SAFETY: the registration owns the descriptor, and nothing closes it before.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::WRITABLE) }?;
        Ok(Self(socket))
    }

    /// Sends one datagram without waiting. `false`: the other side has to read first.
    pub fn send(&self, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<bool> {
        let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(Errno::TOOMANYREFS.into());
        }
        let parts = [io::IoSlice::new(bytes)];
        let sent = retry_on_intr(|| {
            rustix::net::sendmsg(self.0.get_ref(), &parts, &mut control, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Ready when there may be room.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(ready) = self.0.poll_write_ready(context) else {
            return Poll::Pending;
        };
        let mut ready = ready?;
        if has_room(self.0.get_ref())? {
            return Poll::Ready(Ok(()));
        }
        // What was said before is stale: the kernel says it again when there is room.
        ready.clear_ready();
        match self.0.poll_write_ready(context) {
            Poll::Ready(ready) => Poll::Ready(ready.map(drop)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn has_room(socket: &OwnedFd) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Ok(poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&now))? > 0)
}

/// Whether a socket of this name was left by a process that is gone.
pub fn is_abandoned(name: &OsStr) -> bool {
    let connected = socket().and_then(|socket| {
        let address = address(name)?;
        Ok(rustix::net::connect(&socket, &address)?)
    });
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn a_datagram_comes_with_its_sender_and_its_descriptors() {
        runtime().block_on(async {
            let place = tempfile::tempdir().unwrap();
            let name = place.path().join("socket");
            let receiver = Receiver::bind(name.as_os_str(), 64).unwrap();
            assert!(receiver.try_receive().unwrap().is_none());
            let sender = Sender::connect(name.as_os_str()).unwrap();
            let file = place.path().join("file");
            std::fs::write(&file, "content").unwrap();
            let fds: Vec<OwnedFd> = (0..3)
                .map(|_| std::fs::File::open(&file).unwrap().into())
                .collect();
            assert!(sender.send(b"READY=1", &fds).unwrap());
            let datagram = receiver.receive().await.unwrap();
            assert_eq!(datagram.bytes, b"READY=1");
            assert_eq!(datagram.sender, std::process::id() as i32);
            assert_eq!(datagram.uid, rustix::process::getuid().as_raw());
            assert_eq!(datagram.fds.len(), 3);
            assert!(!datagram.cut);
            for fd in datagram.fds {
                let flags = rustix::io::fcntl_getfd(&fd).unwrap();
                assert_eq!(flags, rustix::io::FdFlags::CLOEXEC);
                let mut text = String::new();
                std::fs::File::from(fd).read_to_string(&mut text).unwrap();
                assert_eq!(text, "content");
            }
        });
    }

    #[test]
    fn an_abstract_name_works_and_a_long_datagram_is_cut() {
        runtime().block_on(async {
            let name = format!("@hushpipe-test-{}", std::process::id());
            let receiver = Receiver::bind(name.as_ref(), 4).unwrap();
            let sender = Sender::connect(name.as_ref()).unwrap();
            assert!(sender.send(b"12345", &[]).unwrap());
            let datagram = receiver.receive().await.unwrap();
            assert_eq!(datagram.bytes, b"1234");
            assert!(datagram.cut);
        });
    }

    #[test]
    fn a_full_receiver_is_waited_for() {
        runtime().block_on(async {
            let place = tempfile::tempdir().unwrap();
            let name = place.path().join("socket");
            let receiver = UnixDatagram::bind(&name).unwrap();
            let sender = Sender::connect(name.as_os_str()).unwrap();
            let mut sent = 0;
            while sender.send(b"x", &[]).unwrap() {
                sent += 1;
            }
            assert!(sent > 0);
            let read = async {
                tokio::task::yield_now().await;
                for _ in 0..sent {
                    receiver.recv(&mut [0; 1]).unwrap();
                }
            };
            let write = async {
                while !sender.send(b"y", &[]).unwrap() {
                    std::future::poll_fn(|context| sender.poll_room(context))
                        .await
                        .unwrap();
                }
            };
            tokio::join!(write, read);
            assert_eq!(receiver.recv(&mut [0; 1]).unwrap(), 1);
        });
    }

    #[test]
    fn nobody_there_is_an_error_and_so_is_a_strange_address() {
        runtime().block_on(async {
            let code = |name: &str| Sender::connect(name.as_ref()).unwrap_err().raw_os_error();
            assert_eq!(code("/nonexistent/socket"), Some(libc::ENOENT));
            assert_eq!(code("@hushpipe-nobody"), Some(libc::ECONNREFUSED));
            for strange in ["", "@", "vsock:2:1234", "relative"] {
                assert_eq!(code(strange), Some(libc::EINVAL), "{strange}");
            }
            let place = tempfile::tempdir().unwrap();
            let name = place.path().join("socket");
            drop(UnixDatagram::bind(&name).unwrap());
            assert_eq!(code(name.to_str().unwrap()), Some(libc::ECONNREFUSED));
        });
    }
}
