use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::model::{Exit, Refresh, ValueFormat};
use crate::stores::WatchEvent;

fn store(path: &Path) -> Directory {
    let spec = DirectoryStore {
        path: path.to_owned(),
    };
    Directory::new(StoreName::new("dir").unwrap(), &spec, &[])
}

fn source(key: &str) -> Source {
    Source {
        store: StoreName::new("dir").unwrap(),
        key: Some(key.to_owned()),
        version: None,
        request: None,
        format: ValueFormat::Raw,
    }
}

fn text(answer: &Result<Fetched, StoreError>) -> String {
    match answer {
        Ok(fetched) => String::from_utf8(fetched.value.raw().unwrap().expose().to_vec()).unwrap(),
        Err(error) => format!("error: {error}"),
    }
}

fn read(path: &Path, key: &str) -> String {
    text(&store(path).read_all(&[&source(key)])[0])
}

fn fault(path: &Path, key: &str) -> StoreError {
    store(path)
        .read_all(&[&source(key)])
        .remove(0)
        .err()
        .unwrap()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory as kubelet makes it: files behind `..data`.
fn kubernetes() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), "..1", "one");
    symlink("..1", dir.path().join("..data")).unwrap();
    for key in ["user", "password"] {
        symlink(format!("..data/{key}"), dir.path().join(key)).unwrap();
    }
    dir
}

fn write_set(dir: &Path, name: &str, value: &str) {
    fs::create_dir(dir.join(name)).unwrap();
    for key in ["user", "password"] {
        fs::write(dir.join(name).join(key), value).unwrap();
    }
}

fn flip_to(dir: &Path, name: &str) {
    symlink(name, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

#[test]
fn a_file_is_a_secret_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("db")).unwrap();
    for (key, value) in [("a", "x\n"), ("db/password", "p\0\r\n"), ("empty", "")] {
        fs::write(dir.path().join(key), value).unwrap();
        assert_eq!(read(dir.path(), key), value);
    }
    let large = "z".repeat(10 << 20);
    fs::write(dir.path().join("large"), &large).unwrap();
    assert!(read(dir.path(), "large") == large);
    assert_eq!(read(kubernetes().path(), "user"), "one");
}

#[test]
fn files_of_unknown_size_are_read_to_their_end() {
    let file = fs::File::open("/proc/self/status").unwrap();
    assert_eq!(fstat(&file).unwrap().st_size, 0);
    let bytes = read_to_end(&file, 1 << 20).ok().unwrap();
    assert!(bytes.expose().starts_with(b"Name:") && bytes.expose().ends_with(b"\n"));
}

#[test]
fn a_value_is_read_in_its_format_and_faults_do_not_quote_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("j"), r#"{"user": "u"}"#).unwrap();
    fs::write(dir.path().join("bad"), "hunter2").unwrap();
    let json = |key: &str| Source {
        format: ValueFormat::Json,
        ..source(key)
    };
    let answers = store(dir.path()).read_all(&[&json("j"), &json("bad")]);
    let fetched = answers[0].as_ref().ok().unwrap();
    assert_eq!(fetched.value.field("user").unwrap().expose(), b"u");
    assert_eq!(
        text(&answers[1]),
        "error: store dir, bad: not usable as JSON: line 1, column 1: a syntax error"
    );
}

#[test]
fn keys_go_down_only() {
    let dir = tempfile::tempdir().unwrap();
    for key in [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a\nb",
        "a\0",
    ] {
        let error = fault(dir.path(), key);
        assert!(
            matches!(error.fault, Fault::Malformed { .. }),
            "{key:?}: {error}"
        );
    }
    symlink("/etc/hostname", dir.path().join("link")).unwrap();
    let error = fault(dir.path(), "link");
    assert_eq!(error.exit(), Exit::Denied);
    assert!(
        error.to_string().contains("leads out of the directory"),
        "{error}"
    );
}

#[test]
fn what_is_not_there_is_missing_and_a_missing_directory_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let error = fault(dir.path(), "absent");
    assert_eq!(error.exit(), Exit::Value);
    let expected = format!(
        "store dir, absent: not found: no file {}/absent: make it, or correct `key`",
        dir.path().display()
    );
    assert_eq!(error.to_string(), expected);
    let error = fault(&dir.path().join("no"), "absent");
    assert_eq!(error.exit(), Exit::Unreachable);
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(
        fault(&dir.path().join("file"), "a").exit(),
        Exit::Unreachable
    );
}

#[test]
fn only_regular_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    for (key, expected) in [
        ("sub", "a directory"),
        ("fifo", "a FIFO"),
        ("socket", "a socket"),
    ] {
        let error = fault(dir.path(), key);
        assert!(error.to_string().contains(expected), "{error}");
    }
    drop(socket);
}

#[test]
fn what_is_too_large_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("huge")).unwrap();
    file.set_len(100 << 30).unwrap();
    assert!(
        fault(dir.path(), "huge")
            .to_string()
            .contains("larger than 16 MiB")
    );
}

#[test]
fn what_others_can_change_is_refused_with_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a");
    fs::write(&file, "x").unwrap();
    chmod(&file, 0o646);
    let error = fault(dir.path(), "a");
    assert_eq!(error.exit(), Exit::Denied);
    let fix = format!("chmod o-w {}", file.display());
    assert!(error.to_string().ends_with(&fix), "{error}");
    chmod(&file, 0o664);
    assert_eq!(read(dir.path(), "a"), "x", "the group is hushpipe's own");

    chmod(dir.path(), 0o777);
    let fix = format!("chmod o-w {}", dir.path().display());
    assert!(fault(dir.path(), "a").to_string().ends_with(&fix));
    chmod(dir.path(), 0o1777);
    assert_eq!(
        read(dir.path(), "a"),
        "x",
        "sticky, as Kubernetes mounts are"
    );
    chmod(dir.path(), 0o755);

    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/b"), "x").unwrap();
    chmod(&dir.path().join("sub"), 0o777);
    assert!(fault(dir.path(), "sub/b").to_string().contains("chmod o-w"));
}

/// Gives a file or directory away; `None` where only root could.
fn give(path: &Path, uid: Option<u32>, gid: Option<u32>) -> Option<()> {
    std::os::unix::fs::chown(path, uid, gid).ok()
}

#[test]
fn a_foreign_owner_or_group_is_refused_until_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a");
    fs::write(&file, "x").unwrap();
    let Some(()) = give(&file, Some(4242), None) else {
        return;
    };
    let reason = fault(dir.path(), "a").to_string();
    assert!(
        reason.contains("belongs to uid 4242") && reason.contains("trust: { owners: [4242] }"),
        "{reason}"
    );
    let spec = DirectoryStore {
        path: dir.path().to_owned(),
    };
    let named = Directory::new(StoreName::new("dir").unwrap(), &spec, &[4242]);
    assert_eq!(text(&named.read_all(&[&source("a")])[0]), "x");
    // What the group can read is its own; what it can write is not.
    give(&file, Some(0), Some(424_242)).unwrap();
    chmod(&file, 0o640);
    assert_eq!(read(dir.path(), "a"), "x");
    chmod(&file, 0o660);
    let reason = fault(dir.path(), "a").to_string();
    assert!(
        reason.contains("group 424242") && reason.contains("chmod g-w"),
        "{reason}"
    );
}

#[test]
fn who_can_change_the_way_to_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (above, store) = (dir.path().join("above"), dir.path().join("above/store"));
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("a"), "x").unwrap();
    assert_eq!(read(&store, "a"), "x");
    chmod(&above, 0o777);
    let reason = fault(&store, "a").to_string();
    assert!(
        reason.contains("others can write to") && reason.contains("chmod o-w"),
        "{reason}"
    );
    chmod(&above, 0o1777);
    assert_eq!(read(&store, "a"), "x");
    chmod(&above, 0o755);
    let Some(()) = give(&above, Some(4242), None) else {
        return;
    };
    let reason = fault(&store, "a").to_string();
    assert!(reason.contains("above belongs to uid 4242"), "{reason}");
    give(&above, Some(0), None).unwrap();
    // Nor may they own a link on the way.
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    chmod(&shared, 0o1777);
    symlink(&store, shared.join("link")).unwrap();
    assert_eq!(read(&shared.join("link"), "a"), "x");
    std::os::unix::fs::lchown(shared.join("link"), Some(4242), None).unwrap();
    let reason = fault(&shared.join("link"), "a").to_string();
    assert!(reason.contains("link belongs to uid 4242"), "{reason}");
}

#[test]
fn a_version_changes_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "x").unwrap();
    let runtime = runtime();
    let version = |key: &str| {
        runtime
            .block_on(store(dir.path()).version(&source(key)))
            .ok()
            .unwrap()
    };
    let first = version("a");
    assert_eq!(first, version("a"));
    let fetched = runtime
        .block_on(store(dir.path()).fetch(&source("a")))
        .ok()
        .unwrap();
    assert_eq!(fetched.version, first);
    fs::write(dir.path().join("b"), "x").unwrap();
    fs::rename(dir.path().join("b"), dir.path().join("a")).unwrap();
    assert_ne!(version("a"), first);
}

#[test]
fn one_answer_is_never_half_of_two_sets() {
    let dir = kubernetes();
    let path = dir.path().to_owned();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flipping = std::thread::spawn({
        let stop = std::sync::Arc::clone(&stop);
        move || {
            let mut number = 1;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let (old, new) = (format!("..{}", number - 1), format!("..{number}"));
                write_set(&path, &new, &number.to_string());
                flip_to(&path, &new);
                fs::remove_dir_all(path.join(old)).unwrap();
            }
            number
        }
    });
    let (user, password) = (source("user"), source("password"));
    let store = store(dir.path());
    let mut seen = std::collections::BTreeSet::new();
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        let answers = store.read_all(&[&user, &password]);
        let both = (text(&answers[0]), text(&answers[1]));
        // Rarely it flips faster than it can be read, and says so.
        if !both.0.contains("/..data") {
            assert_eq!(both.0, both.1);
            assert!(!both.0.contains("error"), "{}", both.0);
            seen.insert(both.0);
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let flips = flipping.join().unwrap();
    assert!(
        flips > 10 && seen.len() > 3,
        "{flips} flips, {} sets",
        seen.len()
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Whether `act` wakes a watch of the keys.
fn wakes(watch: &mut Box<dyn Watch>, act: impl FnOnce()) -> bool {
    act();
    runtime_wait(watch, Duration::from_secs(5))
}

fn runtime_wait(watch: &mut Box<dyn Watch>, limit: Duration) -> bool {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            match tokio::time::timeout(limit, watch.changed()).await {
                Ok(result) => matches!(result.unwrap(), WatchEvent::Changed(_)),
                Err(_) => false,
            }
        })
    })
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = runtime();
}

/// After this long without an event, there is none: inotify queues before the call returns.
const QUIET: Duration = Duration::from_millis(20);

fn watch(path: &Path, keys: &[&str]) -> Box<dyn Watch> {
    let watched = |key: &&str| Watched {
        reads: true,
        source: source(key),
        refresh: Refresh::Store,
    };
    let sources: Vec<Watched> = keys.iter().map(watched).collect();
    store(path).watch(&sources).unwrap().unwrap()
}

#[test]
fn a_flip_wakes_again_and_again_and_its_preparation_does_not() {
    let dir = kubernetes();
    let mut watch = watch(dir.path(), &["user", "password"]);
    for number in 2..5 {
        let name = format!("..{number}");
        write_set(dir.path(), &name, "new");
        assert!(!runtime_wait(&mut watch, QUIET));
        assert!(wakes(&mut watch, || flip_to(dir.path(), &name)));
        fs::remove_dir_all(dir.path().join(format!("..{}", number - 1))).unwrap();
        assert!(!runtime_wait(&mut watch, QUIET));
    }
    // Also a write in place, where the link leads to now.
    assert!(wakes(&mut watch, || fs::write(
        dir.path().join("..4/user"),
        "x"
    )
    .unwrap()));
}

#[test]
fn writes_in_place_and_renames_wake_once_they_are_done() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("a"), "1").unwrap();
    fs::write(dir.path().join("sub/b"), "1").unwrap();
    let mut watch = watch(dir.path(), &["a", "sub/b"]);
    for file in ["a", "sub/b"] {
        let file = dir.path().join(file);
        assert!(wakes(&mut watch, || fs::write(&file, "2").unwrap()));
        let other = dir.path().join("sub/new");
        assert!(wakes(&mut watch, || {
            fs::write(&other, "3").unwrap();
            fs::rename(&other, &file).unwrap();
        }));
        // Taken away and made anew: told when the new one is closed, not when it is empty.
        fs::remove_file(&file).unwrap();
        let writer = fs::File::create(&file).unwrap();
        assert!(!runtime_wait(&mut watch, QUIET));
        assert!(wakes(&mut watch, || drop(writer)));
    }
    fs::write(dir.path().join("unrelated"), "x").unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    fs::write(dir.path().join("linked"), "x").unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    assert!(wakes(&mut watch, || {
        fs::hard_link(dir.path().join("linked"), dir.path().join("a")).unwrap();
    }));
}

#[test]
fn a_file_that_was_removed_and_does_not_come_back_wakes_once() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("secrets");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a"), "1").unwrap();
    let mut watch = watch(&dir, &["a"]);
    let replaced = Duration::from_millis(1_500);
    fs::remove_file(dir.join("a")).unwrap();
    fs::write(dir.join("a"), "1").unwrap();
    assert!(runtime_wait(&mut watch, QUIET));
    assert!(!runtime_wait(&mut watch, replaced));
    fs::remove_file(dir.join("a")).unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    assert!(runtime_wait(&mut watch, replaced));
    assert!(!runtime_wait(&mut watch, replaced));
    assert!(wakes(&mut watch, || fs::write(dir.join("a"), "1").unwrap()));
    assert!(wakes(&mut watch, || {
        fs::rename(&dir, outer.path().join("backup")).unwrap();
    }));
}

#[test]
fn a_directory_that_is_made_anew_is_followed() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("upper/secrets");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("a"), "1").unwrap();
    let mut watch = watch(&dir, &["a"]);
    fs::remove_dir_all(outer.path().join("upper")).unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    fs::create_dir(outer.path().join("upper")).unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    fs::create_dir(&dir).unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    assert!(wakes(&mut watch, || fs::write(dir.join("a"), "2").unwrap()));
    // Also as a whole, by a rename.
    let next = outer.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a"), "3").unwrap();
    assert!(wakes(&mut watch, || {
        fs::rename(&dir, outer.path().join("old")).unwrap();
        fs::rename(&next, &dir).unwrap();
    }));
    assert!(wakes(&mut watch, || fs::write(dir.join("a"), "4").unwrap()));
}

#[test]
fn a_directory_that_is_not_there_yet_can_be_waited_for() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("secrets");
    let mut watch = watch(&dir, &["a"]);
    let made = outer.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("a"), "1").unwrap();
    assert!(wakes(&mut watch, || symlink("made", &dir).unwrap()));
}

#[test]
fn a_directory_far_above_that_is_exchanged_is_followed() {
    let outer = tempfile::tempdir().unwrap();
    let make = |name: &str, value: &str| {
        let dir = outer.path().join(name).join("app/secrets");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("a"), value).unwrap();
    };
    make("now", "1");
    make("next", "2");
    let (now, next) = (outer.path().join("now"), outer.path().join("next"));
    let dir = now.join("app/secrets");
    let mut watch = watch(&dir, &["a"]);
    assert!(wakes(&mut watch, || {
        fs::rename(&now, outer.path().join("old")).unwrap();
        fs::rename(&next, &now).unwrap();
    }));
    assert!(wakes(&mut watch, || fs::write(dir.join("a"), "3").unwrap()));
    // What went away matters no more, and neither does what is beside it.
    fs::write(outer.path().join("old/app/secrets/a"), "x").unwrap();
    fs::write(outer.path().join("unrelated"), "x").unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    // Both at once, and one after the other with a pause.
    let old = outer.path().join("old");
    assert!(wakes(&mut watch, || {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &old, rustix::fs::CWD, &now, flags).unwrap();
    }));
    fs::rename(&now, &next).unwrap();
    assert!(!runtime_wait(&mut watch, QUIET));
    assert!(wakes(&mut watch, || fs::rename(&old, &now).unwrap()));
    assert!(wakes(&mut watch, || fs::write(dir.join("a"), "4").unwrap()));
}
