//! The end of a notify socket that systemd has.

use std::fs::File;
use std::io::IoSliceMut;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use crate::harness::deadline;

/// A bound socket; its name goes with it.
pub struct FakeSystemd {
    socket: UnixDatagram,
    path: PathBuf,
}

/// What somebody said.
pub struct Message {
    /// The text.
    pub text: String,
    /// Who, as the kernel tells.
    pub pid: i32,
    /// What came with it.
    pub fds: Vec<File>,
}

impl FakeSystemd {
    /// Everybody may speak to it, as to the real one.
    pub fn listen(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).expect("the test's place is new");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("it is ours");
        setsockopt(&socket, sockopt::PassCred, &true).expect("credentials can be asked for");
        Self { socket, path }
    }

    /// Its name.
    pub fn name(&self) -> &Path {
        &self.path
    }

    /// It goes away.
    pub fn vanish(self) {
        // A child that another test is just starting may hold the socket open for a moment.
        let shut = self.socket.shutdown(Shutdown::Both);
        shut.expect("it is a socket");
        std::fs::remove_file(&self.path).expect("it is there");
    }

    /// The next message.
    pub fn hears(&self) -> Message {
        self.within(deadline()).expect("systemd is told something")
    }

    /// The next message's text.
    pub fn hears_text(&self) -> String {
        self.hears().text
    }

    /// All that was said, when nobody speaks any more.
    pub fn rest(&self) -> Vec<String> {
        let next = || self.within(Duration::from_millis(1));
        std::iter::from_fn(next)
            .map(|message| message.text)
            .collect()
    }

    fn within(&self, time: Duration) -> Option<Message> {
        self.socket
            .set_read_timeout(Some(time))
            .expect("a timeout can be set");
        let mut bytes = [0; 8192];
        let mut space = nix::cmsg_space!(libc::ucred, [i32; 253]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(fd, &mut parts, Some(&mut space), flags).ok()?;
        let (mut pid, mut fds) = (0, Vec::new());
        for control in received.cmsgs().expect("there is room for all") {
            match control {
                ControlMessageOwned::ScmCredentials(who) => pid = who.pid(),
                ControlMessageOwned::ScmRights(numbers) => {
                    #[allow(unsafe_code)]
                    // SAFETY: the kernel gave them to us, and to nobody else.
                    let owned = |number| unsafe { OwnedFd::from_raw_fd(number) };
                    fds.extend(numbers.into_iter().map(owned).map(File::from));
                }
                _ => {}
            }
        }
        let length = received.bytes;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        Some(Message { text, pid, fds })
    }
}
