//! `fd` and `stdin` deliveries: sealed memfds and filled pipes.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::error::system;
use super::kept::Kept;
use super::{DeliveryError, DeliveryFault, Owner, describe};
use crate::model::{Delivery, DeliveryKind, FdKind, FileMode, Plan};
use crate::secret::SecretBytes;
use crate::sys::{filesystem, memfd, pipe};

/// What the program inherits, and what must still be written into it.
#[derive(Default)]
pub struct Handover {
    /// Each descriptor, and the number that the program sees it under; 0 is its stdin.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Pipes that did not take all at once. Each is to be driven until it ends.
    pub feeds: Vec<Feed>,
    /// What is weaker than it should be.
    pub weaker: Vec<String>,
}

/// The rest of a pipe: kept in a `secret::Buffer`, written as the program reads.
pub struct Feed {
    what: String,
    end: OwnedFd,
    rest: Kept,
}

/// Makes the descriptors of the plan's `fd` and `stdin` deliveries, each for its owner. With
/// `exec_mode` nobody stays to feed a pipe: one that cannot take its whole payload is an error. Every
/// fault in one go.
pub fn prepare_fds(
    plan: &Plan,
    payloads: &[SecretBytes],
    owners: &[Owner],
    exec_mode: bool,
) -> Result<Handover, Vec<DeliveryError>> {
    let mut handover = Handover::default();
    let mut errors = Vec::new();
    for ((delivery, payload), owner) in plan.deliveries.iter().zip(payloads).zip(owners) {
        let (number, kind, mode) = match delivery.kind {
            DeliveryKind::Fd {
                number, kind, mode, ..
            } => (number, kind, mode),
            DeliveryKind::Stdin => (0, FdKind::Pipe, FileMode::default()),
            DeliveryKind::File(_)
            | DeliveryKind::Fifo { .. }
            | DeliveryKind::Credential(_)
            | DeliveryKind::Getenv { .. } => continue,
        };
        let made = match kind {
            FdKind::Memfd => memfd::sealed(payload.expose())
                .map(|fd| (fd, None))
                .map_err(system("cannot make a sealed memfd")),
            FdKind::Pipe => filled(delivery, payload.expose(), exec_mode),
        };
        let given = made.and_then(|(fd, feed)| {
            let weaker =
                give(&fd, kind, *owner, mode).map_err(system("cannot give it to its owner"))?;
            Ok((fd, feed, weaker))
        });
        match given {
            Ok((fd, feed, weaker)) => {
                let what = describe(&delivery.kind);
                handover
                    .weaker
                    .extend(weaker.map(|why| format!("{what}: {why}")));
                handover.fds.push((fd, number));
                handover.feeds.extend(feed);
            }
            Err(fault) => errors.push(DeliveryError::of(delivery, fault)),
        }
    }
    if errors.is_empty() {
        Ok(handover)
    } else {
        Err(errors)
    }
}

/// Makes it the owner's, so that the program can open /dev/fd/N and /dev/stdin as its user. Who may
/// change its user, but no file's owner (CAP_SETUID without CAP_CHOWN), opens a memfd to all: nobody
/// else has it.
fn give(fd: &OwnedFd, kind: FdKind, owner: Owner, mode: FileMode) -> io::Result<Option<String>> {
    if kind == FdKind::Memfd && mode.bits() == memfd::MODE && owner.is_own() {
        return Ok(None);
    }
    match filesystem::change_owner(fd, owner.uid, owner.gid) {
        Ok(()) => {
            filesystem::change_mode(fd, mode.bits())?;
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            filesystem::change_mode(fd, 0o444)?;
            let why = "it stays hushpipe's own and has mode 0444, as hushpipe has no CAP_CHOWN";
            Ok(Some(why.to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn filled(
    delivery: &Delivery,
    payload: &[u8],
    exec_mode: bool,
) -> Result<(OwnedFd, Option<Feed>), DeliveryFault> {
    let (read, write) = pipe::new().map_err(system("cannot make a pipe"))?;
    if exec_mode && pipe::enlarge(&write, payload.len()).is_err() {
        return Err(too_small(delivery, payload.len()));
    }
    let done = pipe::fill(&write, payload).map_err(system("cannot fill a pipe"))?;
    if done == payload.len() {
        return Ok((read, None));
    }
    if exec_mode {
        return Err(too_small(delivery, payload.len()));
    }
    let feed = Feed {
        what: describe(&delivery.kind),
        end: write,
        rest: Kept::new(&payload[done..]).map_err(system("cannot keep the rest of a pipe"))?,
    };
    Ok((read, Some(feed)))
}

fn too_small(delivery: &Delivery, bytes: usize) -> DeliveryFault {
    let instead = match delivery.kind {
        DeliveryKind::Fd { .. } => "use `as: memfd`, which has no limit, or `mode: supervise`",
        _ => "use `mode: supervise`, or an fd with `as: memfd`, which has no limit",
    };
    DeliveryFault::Host(format!(
        "its {bytes} bytes do not fit into a pipe, and in exec mode hushpipe does not remain to \
         feed it: {instead}"
    ))
}

impl Feed {
    /// What it feeds: `fd 3`, `stdin`.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Writes the rest as room comes. Ends when all is written, or when the reader went away: that
    /// is the program's choice. Needs a tokio runtime with I/O.
    pub async fn run(self) -> Result<(), DeliveryError> {
        let fed = async {
            let end = pipe::Writer::new(self.end)?;
            self.rest.feed(&end).await
        };
        fed.await
            .map(|_| ())
            .map_err(DeliveryError::system(self.what, "cannot feed its pipe"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::super::fixtures::{fd, file, payloads, plan, runtime, secret};
    use super::*;

    fn large() -> Vec<u8> {
        (0..10 << 20).map(|index| (index % 251) as u8).collect()
    }

    fn read(fd: OwnedFd) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut read = Vec::new();
            File::from(fd).read_to_end(&mut read).unwrap();
            read
        })
    }

    fn prepare(
        plan: &Plan,
        payloads: &[SecretBytes],
        exec_mode: bool,
    ) -> Result<Handover, Vec<DeliveryError>> {
        let owners = vec![Owner::default(); payloads.len()];
        prepare_fds(plan, payloads, &owners, exec_mode)
    }

    #[test]
    fn each_descriptor_holds_its_payload_under_its_number() {
        let plan = plan(vec![
            (fd(7, FdKind::Memfd), secret("x")),
            (file("/run/s/x"), secret("x")),
            (DeliveryKind::Stdin, secret("x")),
            (fd(5, FdKind::Pipe), secret("x")),
        ]);
        let values = payloads(&[b"a\0\n", b"none", b"", b"b"]);
        let handover = prepare(&plan, &values, false).ok().unwrap();
        assert!(handover.feeds.is_empty());
        let read = handover
            .fds
            .into_iter()
            .map(|(fd, number)| (number, read(fd).join().unwrap()));
        let expected = [
            (7, b"a\0\n".to_vec()),
            (0, b"".to_vec()),
            (5, b"b".to_vec()),
        ];
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_large_payload_is_fed_as_it_is_read() {
        let plan = plan(vec![(fd(3, FdKind::Pipe), secret("x"))]);
        let mut handover = prepare(&plan, &payloads(&[&large()]), false).ok().unwrap();
        let feed = handover.feeds.pop().unwrap();
        assert_eq!(feed.what(), "fd 3");
        let reader = read(handover.fds.pop().unwrap().0);
        runtime().block_on(feed.run()).unwrap();
        assert!(reader.join().unwrap() == large());
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_feed() {
        let plan = plan(vec![(DeliveryKind::Stdin, secret("x"))]);
        let mut handover = prepare(&plan, &payloads(&[&large()]), false).ok().unwrap();
        let (reader, _) = handover.fds.pop().unwrap();
        let feed = handover.feeds.pop().unwrap();
        runtime().block_on(async {
            let leave = async {
                tokio::task::yield_now().await;
                drop(reader);
            };
            let (fed, ()) = tokio::join!(feed.run(), leave);
            fed.unwrap();
        });
    }

    #[test]
    fn in_exec_mode_a_pipe_holds_all_or_the_plan_is_refused() {
        let plan = plan(vec![(fd(3, FdKind::Pipe), secret("x"))]);
        let bytes = vec![7; 256 << 10];
        let mut handover = prepare(&plan, &payloads(&[&bytes]), true).ok().unwrap();
        assert!(handover.feeds.is_empty());
        assert!(read(handover.fds.pop().unwrap().0).join().unwrap() == bytes);

        let huge = payloads(&[&vec![7; 3 << 30 >> 5]]);
        let Err(errors) = prepare(&plan, &huge, true) else {
            return; // With CAP_SYS_RESOURCE a pipe may be that large.
        };
        let text = errors[0].to_string();
        assert!(text.contains("use `as: memfd`"), "{text}");
    }
}
