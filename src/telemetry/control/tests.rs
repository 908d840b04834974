//! Both sides, in one process.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::model::control::{Request, Status};
use crate::sys::{filesystem, process};

const LIMITS: Limits = Limits {
    patience: Duration::from_secs(5),
    reply: 1 << 16,
};

/// Answers `Status` at once, `Rotate` never, `Revoke` with who asked.
#[derive(Default)]
struct Clerk {
    asked: Cell<u32>,
}

impl Desk for Clerk {
    async fn answer(&self, asked: Asked, by: Peer) -> Reply {
        self.asked.set(self.asked.get() + 1);
        match asked.request {
            Request::Status => Reply::Status(Box::new(Status {
                pid: process::id() as u32,
                ..Status::default()
            })),
            Request::Revoke { .. } => Reply::Done {
                message: format!("{} {}", by.pid, by.uid),
                generation: 1,
            },
            _ => std::future::pending().await,
        }
    }
}

/// Answers with more than a socket holds.
struct Talker;
impl Desk for Talker {
    async fn answer(&self, _: Asked, _: Peer) -> Reply {
        Reply::Done {
            message: "x".repeat(8 << 20),
            generation: 1,
        }
    }
}

fn me() -> u32 {
    filesystem::effective_uid()
}

fn place_in(directory: &Path) -> Place {
    Place::new(directory, "hushpipe", me())
}

struct Open {
    server: Server,
    place: Place,
    _temporary: TempDir,
}

async fn open() -> Open {
    let temporary = tempfile::tempdir().unwrap();
    let place = place_in(temporary.path());
    let server = Server::open(std::slice::from_ref(&place)).await.unwrap();
    Open {
        server,
        place,
        _temporary: temporary,
    }
}

/// Does something while the server serves.
async fn beside<T>(server: &Server, desk: &impl Desk, work: impl Future<Output = T>) -> T {
    tokio::select! {
        () = server.serve(desk) => unreachable!("it serves for ever"),
        done = work => done,
    }
}

/// Sends bytes, and gives the reply line.
async fn say(server: &Server, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(server.path()).await.unwrap();
    // Who is refused before it spoke may find the connection closed; the reply is there.
    stream.write_all(bytes).await.ok();
    line(&mut stream).await
}

async fn line(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\n") && stream.read_buf(&mut text).await.unwrap_or(0) > 0 {}
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_launcher_is_found_and_asked() {
    let open = open().await;
    let found = look(std::slice::from_ref(&open.place)).unwrap().launchers;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, open.server.path());
    assert_eq!(found[0].pid, Some(process::id() as u32));
    let clerk = Clerk::default();
    let asking = ask(&found[0], &Request::Status, LIMITS);
    let reply = beside(&open.server, &clerk, asking).await.unwrap();
    assert!(matches!(reply, Reply::Status(status) if status.pid == process::id() as u32));
    let revoke = Request::Revoke {
        secret: "db".to_owned(),
    };
    let asking = ask(&found[0], &revoke, LIMITS);
    let Reply::Done { message, .. } = beside(&open.server, &clerk, asking).await.unwrap() else {
        panic!("it is done");
    };
    assert_eq!(message, format!("{} {}", process::id(), me()));
}

#[tokio::test]
async fn a_socket_is_its_users_alone_and_goes_with_its_launcher() {
    let open = open().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&open.place.path()), 0o700);
    assert_eq!(mode(&open.server.path()), 0o600);
    let path = open.server.path();
    let other = Server::open(std::slice::from_ref(&open.place)).await;
    drop(open.server);
    assert!(!path.exists());
    assert!(open.place.path().exists());
    // The last one takes the directory with it.
    drop(other);
    assert!(!open.place.path().exists());
}

#[tokio::test]
async fn another_ones_socket_of_the_same_name_stays() {
    let open = open().await;
    let path = open.server.path();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(open.server);
    assert!(path.exists());
}

#[tokio::test]
async fn what_dead_launchers_left_is_swept_and_what_is_not_theirs_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let place = place_in(temporary.path());
    fs::create_dir(place.path()).unwrap();
    let at = |name: &str| place.path().join(name);
    for name in ["1.sock", "2-3.sock", "8.sock.new", "x.sock", "notes"] {
        drop(UnixListener::bind(at(name)).unwrap());
    }
    fs::write(at("3.sock"), "").unwrap();
    symlink("notes", at("4.sock")).unwrap();
    let _alive = UnixListener::bind(at("5.sock")).unwrap();
    let server = Server::open(std::slice::from_ref(&place)).await.unwrap();
    let mut left: Vec<String> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let own = server.path().file_name().unwrap().to_owned();
    let mut expected = vec!["3.sock", "4.sock", "5.sock", "notes", "x.sock"];
    expected.push(own.to_str().unwrap());
    expected.sort_unstable();
    assert_eq!(left, expected);
    drop(server);
    drop(UnixListener::bind(at("6.sock")).unwrap());
    let found = look(std::slice::from_ref(&place)).unwrap().launchers;
    let pids: Vec<_> = found.iter().map(|launcher| launcher.pid).collect();
    assert_eq!(pids, [Some(5)]);
    assert!(!at("6.sock").exists());
    // The place goes with the last.
    for name in ["3.sock", "4.sock", "5.sock", "notes", "x.sock"] {
        fs::remove_file(at(name)).unwrap();
    }
    drop(UnixListener::bind(at("7.sock")).unwrap());
    assert!(
        look(std::slice::from_ref(&place))
            .unwrap()
            .launchers
            .is_empty()
    );
    assert!(!place.path().exists());
}

#[tokio::test]
async fn two_launchers_of_one_process_id_have_a_socket_each() {
    let open = open().await;
    let other = Server::open(std::slice::from_ref(&open.place)).await;
    let other = other.unwrap();
    assert_ne!(open.server.path(), other.path());
    assert_eq!(
        look(std::slice::from_ref(&open.place))
            .unwrap()
            .launchers
            .len(),
        2
    );
}

#[tokio::test]
async fn a_place_that_is_not_to_be_trusted_is_passed_over() {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    for name in ["target", "loose", "link", "file", "good"] {
        fs::create_dir(at(name)).unwrap();
    }
    symlink(at("target"), at("link/hushpipe")).unwrap();
    fs::write(at("file/hushpipe"), "").unwrap();
    fs::set_permissions(at("loose"), fs::Permissions::from_mode(0o777)).unwrap();
    let names = ["absent", "loose", "link", "file"];
    let mut places: Vec<Place> = names.iter().map(|name| place_in(&at(name))).collect();
    let foreign = Place::new(at("good"), "hushpipe", me() + 1);
    places.push(foreign);
    let none = Server::open(&places).await.err().unwrap().to_string();
    assert!(none.contains("loose: others may write to it"), "{none}");
    assert!(
        none.contains("good: it belongs to someone else") || me() == 0,
        "{none}"
    );
    places.push(place_in(&at("good")));
    let server = Server::open(&places).await.unwrap();
    assert!(server.path().starts_with(at("good")));
    assert!(fs::read_dir(at("target")).unwrap().next().is_none());
    // Nor is it looked into.
    assert_eq!(look(&places).unwrap().launchers.len(), 1);
}

#[test]
fn places_are_in_order() {
    let paths = |uid, runtime: Option<&str>| -> Vec<String> {
        let mut places = of_launcher(uid, runtime.map(Path::new));
        let last = places.pop().unwrap().path().display().to_string();
        let random = last.strip_prefix(&format!("/dev/shm/hushpipe-{uid}-"));
        assert_eq!(random.map(str::len), Some(16), "{last}");
        let paths = places.iter().map(Place::path);
        paths.map(|path| path.display().to_string()).collect()
    };
    assert_eq!(
        paths(7, Some("/x")),
        ["/x/hushpipe", "/run/user/7/hushpipe", "/dev/shm/hushpipe-7"]
    );
    assert_eq!(
        paths(7, Some("/run/user/7")),
        ["/run/user/7/hushpipe", "/dev/shm/hushpipe-7"]
    );
    assert_eq!(
        paths(0, Some("relative")),
        [
            "/run/hushpipe",
            "/run/user/0/hushpipe",
            "/dev/shm/hushpipe-0"
        ]
    );
}

#[tokio::test]
async fn garbage_is_refused_and_nothing_is_asked() {
    let open = open().await;
    let clerk = Clerk::default();
    let long = [vec![b'x'; 70_000], b"\n".to_vec()].concat();
    for bytes in [&b"{}\n"[..], b"\n", b"\0\xff\n", b"status\n", &long] {
        let reply = beside(&open.server, &clerk, say(&open.server, bytes)).await;
        assert!(
            reply.starts_with(r#"{"reply":"refused","exit":64,"#),
            "{reply}"
        );
    }
    assert_eq!(clerk.asked.get(), 0);
    // A line without an end is one when nothing follows; more than a line is not heard.
    let reply = beside(&open.server, &clerk, async {
        let mut stream = UnixStream::connect(open.server.path()).await.unwrap();
        stream.write_all(br#"{"command":"status"}"#).await.unwrap();
        stream.shutdown().await.unwrap();
        line(&mut stream).await
    });
    assert!(reply.await.starts_with(r#"{"reply":"status""#));
    let twice = Request::Status.to_line().repeat(2);
    beside(&open.server, &clerk, say(&open.server, &twice)).await;
    assert_eq!(clerk.asked.get(), 2);
}

#[tokio::test]
async fn many_that_say_nothing_keep_nobody_out() {
    let open = open().await;
    let clerk = Clerk::default();
    beside(&open.server, &clerk, async {
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(UnixStream::connect(open.server.path()).await.unwrap());
            tokio::task::yield_now().await;
        }
        let reply = say(&open.server, &Request::Status.to_line()).await;
        assert!(reply.starts_with(r#"{"reply":"status""#), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn who_waits_is_not_sent_away_and_a_seventeenth_is_told() {
    let open = open().await;
    let clerk = Clerk::default();
    let rotate = Request::Rotate { secret: None }.to_line();
    beside(&open.server, &clerk, async {
        let mut waiting = Vec::new();
        for number in 1..=16 {
            let mut stream = UnixStream::connect(open.server.path()).await.unwrap();
            stream.write_all(&rotate).await.unwrap();
            while clerk.asked.get() < number {
                tokio::task::yield_now().await;
            }
            waiting.push(stream);
        }
        let reply = say(&open.server, &rotate).await;
        assert!(
            reply.starts_with(r#"{"reply":"refused","exit":75,"#),
            "{reply}"
        );
        // One goes away: there is room again.
        waiting.pop();
        loop {
            let reply = say(&open.server, &Request::Status.to_line()).await;
            if reply.starts_with(r#"{"reply":"status""#) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_says_nothing_or_does_not_listen_is_dropped() {
    let mut open = open().await;
    assert_eq!(open.server.patience, Duration::from_secs(10));
    open.server.patience = Duration::from_millis(30);
    beside(&open.server, &Clerk::default(), async {
        let mut stream = UnixStream::connect(open.server.path()).await.unwrap();
        stream.write_all(b"{").await.unwrap();
        assert_eq!(line(&mut stream).await, "");
    })
    .await;
    beside(&open.server, &Talker, async {
        let mut stream = UnixStream::connect(open.server.path()).await.unwrap();
        stream.write_all(&Request::Status.to_line()).await.unwrap();
        // Others are served meanwhile.
        let reply = say(&open.server, b"{}\n").await;
        assert!(reply.contains("refused"), "{reply}");
        while !stream
            .ready(tokio::io::Interest::READABLE)
            .await
            .unwrap()
            .is_read_closed()
        {
            tokio::task::yield_now().await;
        }
        let mut cut = Vec::new();
        stream.read_to_end(&mut cut).await.unwrap();
        assert!(cut.len() < 8 << 20 && !cut.ends_with(b"\n"));
    })
    .await;
}

#[tokio::test]
async fn a_client_waits_no_longer_than_its_patience() {
    let open = open().await;
    let found = look(std::slice::from_ref(&open.place)).unwrap().launchers;
    let patience = Limits {
        patience: Duration::from_millis(50),
        ..LIMITS
    };
    // The server is there, but does nothing, as one that is stopped.
    let silence = ask(&found[0], &Request::Status, patience).await;
    assert!(matches!(silence, Err(AskError::Silent(_))), "{silence:?}");
    let full = loop {
        match crate::sys::socket::connect_at(
            filesystem::open_directory(&open.place.path()).unwrap(),
            open.server.path().file_name().unwrap(),
        ) {
            Ok(stream) => std::mem::forget(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    let silence = ask(&found[0], &Request::Status, patience).await;
    assert!(matches!(silence, Err(AskError::Silent(_))), "{silence:?}");
    drop(open.server);
    let gone = ask(&found[0], &Request::Status, LIMITS).await;
    assert!(matches!(gone, Err(AskError::Gone)), "{gone:?}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_understood() {
    let temporary = tempfile::tempdir().unwrap();
    let (listener, launcher) = listener_in(temporary.path(), process::id());
    for (answer, understood) in [
        (&b"{}\n"[..], false),
        (b"\n", false),
        (
            b"{\"reply\":\"done\",\"message\":\"\",\"generation\":1}\n",
            true,
        ),
    ] {
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            line(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        };
        let (reply, ()) = tokio::join!(ask(&launcher, &Request::Status, LIMITS), serving);
        match reply {
            Ok(_) => assert!(understood),
            Err(error) => assert!(matches!(error, AskError::NotUnderstood) && !understood),
        }
    }
    let closing = async { drop(listener.accept().await) };
    let (reply, ()) = tokio::join!(ask(&launcher, &Request::Status, LIMITS), closing);
    assert!(matches!(reply, Err(AskError::Closed)), "{reply:?}");
}

/// What listens at a name as a launcher's of that process id.
fn listener_in(directory: &Path, pid: i32) -> (tokio::net::UnixListener, Launcher) {
    let path = directory.join(format!("{pid}.sock"));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    (listener, Launcher::at(&path).unwrap())
}

#[tokio::test]
async fn who_listens_in_the_name_of_another_process_is_sent_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (listener, launcher) = listener_in(temporary.path(), process::id() + 1);
    let heard = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        line(&mut stream).await
    };
    let revoke = Request::Revoke {
        secret: "db".to_owned(),
    };
    let (reply, heard) = tokio::join!(ask(&launcher, &revoke, LIMITS), heard);
    assert!(matches!(reply, Err(AskError::Impostor(_))), "{reply:?}");
    assert_eq!(heard, "");
    // Nor is one believed that says so in its answer.
    let (listener, launcher) = listener_in(temporary.path(), process::id());
    let other = Reply::Status(Box::new(Status {
        pid: 1,
        ..Status::default()
    }));
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        line(&mut stream).await;
        stream.write_all(&other.to_line()).await.unwrap();
    };
    let (reply, ()) = tokio::join!(ask(&launcher, &Request::Status, LIMITS), answering);
    assert!(matches!(reply, Err(AskError::Impostor(_))), "{reply:?}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_left_at_its_limit() {
    let temporary = tempfile::tempdir().unwrap();
    let (listener, launcher) = listener_in(temporary.path(), process::id());
    let talking = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = 0;
        while let Ok(count) = stream.write(&[b'x'; 4096]).await {
            sent += count;
        }
        sent
    };
    let (reply, sent) = tokio::join!(ask(&launcher, &Request::Status, LIMITS), talking);
    assert!(matches!(reply, Err(AskError::TooLong(_))), "{reply:?}");
    // What the socket's buffers hold on top.
    assert!(sent < 4 << 20, "{sent}");
}

/// Removes what a test made where everyone can.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn a_place_in_memory_that_somebody_else_took_has_another_name() {
    if me() != 0 {
        return; // only root can take it as another user
    }
    let uid = 61_234;
    let taken = Gone(PathBuf::from(format!("/dev/shm/hushpipe-{uid}")));
    fs::create_dir(&taken.0).unwrap();
    let other = Gone(PathBuf::from(format!(
        "/dev/shm/hushpipe-{uid}-0123456789abcdef"
    )));
    fs::create_dir(&other.0).unwrap();
    let found = |uid| -> Vec<PathBuf> { of_user(uid, None).iter().map(Place::path).collect() };
    // It belongs to root, not to the user whom its name tells.
    assert!(!found(uid).contains(&other.0));
    std::os::unix::fs::chown(&other.0, Some(uid), None).unwrap();
    assert!(found(uid).contains(&other.0));
    assert!(!found(6123).contains(&other.0));
}
