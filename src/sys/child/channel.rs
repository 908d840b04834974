//! The channel between hushpipe and its child: a close-on-exec socket pair that keeps messages whole.
//! The child sends a directory for each private mount, then at most one fault; the parent sends one
//! word. A successful execve(2) closes the child's end.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::error::Fault;

const DIRECTORY: u8 = 0;
const DIRECTORY_MAY_SWAP: u8 = 0xff;
const LISTENER: u8 = 1;
const GO: [u8; 1] = *b"g";

/// One end.
pub(super) struct Channel(OwnedFd);

/// What a child has to say.
pub(super) enum Report {
    /// A private mount's root, and whether it is kept out of swap.
    Directory(OwnedFd, bool),
    /// What the system calls of its tree wait at.
    Listener(OwnedFd),
    /// It could not go on.
    Fault(Fault),
    /// It is the program now, or is gone.
    Closed,
}

impl Channel {
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(ours), Self(theirs)))
    }

    /// This end's fd, which may have to make room for one that is handed over.
    pub const fn socket(&mut self) -> &mut OwnedFd {
        &mut self.0
    }

    pub fn send_directory(&self, directory: &OwnedFd, noswap: bool) -> Result<(), Errno> {
        let word = if noswap {
            DIRECTORY
        } else {
            DIRECTORY_MAY_SWAP
        };
        self.send_fd(word, directory)
    }

    pub fn send_listener(&self, listener: &OwnedFd) -> Result<(), Errno> {
        self.send_fd(LISTENER, listener)
    }

    fn send_fd(&self, word: u8, fd: &OwnedFd) -> Result<(), Errno> {
        let word = [word];
        let fds = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::NOBUFS);
        }
        let parts = [IoSlice::new(&word)];
        retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL).map(drop)
        })
    }

    /// Tells the parent. When that fails the parent is gone, and nobody is left to tell.
    pub fn send_fault(&self, fault: Fault) {
        let bytes = fault.to_bytes();
        retry_on_intr(|| rustix::net::send(&self.0, &bytes, SendFlags::NOSIGNAL)).ok();
    }

    pub fn send_go(&self) -> Result<(), Errno> {
        retry_on_intr(|| rustix::net::send(&self.0, &GO, SendFlags::NOSIGNAL)).map(drop)
    }

    /// Waits for the word; false when the other end is gone.
    pub fn wait_for_go(&self) -> bool {
        let mut word = [0; 1];
        let got = retry_on_intr(|| rustix::net::recv(&self.0, &mut word, RecvFlags::empty()));
        matches!(got, Ok((1, _))) && word == GO
    }

    pub fn receive(&self) -> Result<Report, Errno> {
        let mut bytes = [0; 9];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.0, &mut parts, &mut control, flags) {
                // The child ended with a word of ours unread, which is said once: what it sent before
                // comes next.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                received => break received?,
            }
        };
        match received.bytes {
            0 => Ok(Report::Closed),
            9 => Fault::from_bytes(bytes)
                .map(Report::Fault)
                .ok_or(Errno::PROTO),
            _ => match first_fd(&mut control) {
                Some(listener) if bytes[0] == LISTENER => Ok(Report::Listener(listener)),
                Some(directory) => Ok(Report::Directory(directory, bytes[0] == DIRECTORY)),
                // The kernel drops an fd that does not fit under the limit of open files.
                None if received.flags.contains(ReturnFlags::CTRUNC) => Err(Errno::MFILE),
                None => Err(Errno::PROTO),
            },
        }
    }
}

fn first_fd(control: &mut RecvAncillaryBuffer<'_>) -> Option<OwnedFd> {
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    })
}
