use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::model::{Refresh, ValueFormat, VersionRef};
use crate::sys::durable;

fn name() -> StoreName {
    StoreName::new("local").unwrap()
}

/// A store with one recipient, whose identity file it has.
struct Fixture {
    dir: tempfile::TempDir,
    store: SealedStore,
}

fn identity_file(path: &Path) -> String {
    use age::secrecy::ExposeSecret;
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string();
    durable::create(path, secret.expose_secret().as_bytes(), 0o600).unwrap();
    identity.to_public().to_string()
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recipient = identity_file(&dir.path().join("identity"));
        let store = Self::with(&dir, "identity");
        store.create(&[recipient]).unwrap();
        Self { dir, store }
    }

    fn with(dir: &tempfile::TempDir, identity: &str) -> SealedStore {
        let spec = Spec {
            path: dir.path().join("store"),
            identity_file: dir.path().join(identity),
            accept: false,
        };
        let mut store = SealedStore::open(name(), &spec, Rc::new(()));
        store.memory = Memory::below(Some(dir.path().join("state")), &spec.path);
        store
    }

    fn versions(&self, key: &Key) -> Versions {
        self.store.versions(key).ok().unwrap()
    }

    fn set(&self, key: &str, value: &[u8]) -> u64 {
        let value = SecretBytes::new(value.to_vec());
        self.store.set(&Key::parse(key).unwrap(), &value).unwrap()
    }

    fn get(&self, key: &str, version: Option<u64>) -> Result<Vec<u8>, String> {
        let got = self.store.get(&Key::parse(key).unwrap(), version);
        got.map(|(bytes, _)| bytes.expose().to_vec())
            .map_err(|error| error.to_string())
    }
}

fn source(key: &str, version: Option<u64>) -> Source {
    Source {
        store: name(),
        key: Some(key.to_owned()),
        version: version.map(VersionRef::from),
        request: None,
        format: ValueFormat::Raw,
    }
}

#[test]
fn values_come_back_byte_for_byte() {
    let fixture = Fixture::new();
    for value in [&b""[..], b"x", b"with\0nul\nand newline\n", &[0xff; 3000]] {
        let version = fixture.set("a/b", value);
        assert_eq!(fixture.get("a/b", None).unwrap(), value);
        assert_eq!(fixture.get("a/b", Some(version)).unwrap(), value);
    }
    assert_eq!(fixture.get("a/b", Some(2)).unwrap(), b"x");
}

#[test]
fn what_is_missing_is_said() {
    let fixture = Fixture::new();
    fixture.set("token", b"x");
    for (key, version, expected) in [
        (
            "tokem",
            None,
            "store local, tokem: not found: no such secret",
        ),
        ("token", Some(7), "not found: version 7"),
        ("token/inner", None, "no such secret"),
    ] {
        let error = fixture.get(key, version).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    fs::remove_dir_all(fixture.store.path()).unwrap();
    let error = fixture.get("token", None).unwrap_err();
    assert!(
        error.contains("cannot read") && error.contains("store/secrets"),
        "{error}"
    );
}

#[test]
fn a_dangling_current_is_a_fault_and_no_older_version() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    fixture.set("token", b"two");
    let key = Key::parse("token").unwrap();
    fs::remove_file(fixture.versions(&key).file(2)).unwrap();
    assert!(fixture.get("token", None).unwrap_err().contains("2.age"));
}

#[test]
fn listing_and_history_know_versions_and_no_values() {
    let fixture = Fixture::new();
    fixture.set("b", b"1");
    fixture.set("a/x", b"1");
    fixture.set("a/x", b"2");
    let key = Key::parse("a/x").unwrap();
    assert_eq!(fixture.store.rollback(&key, None).unwrap(), (2, 1));
    let error = fixture.store.rollback(&key, None).unwrap_err().to_string();
    assert!(error.contains("version 1 is the oldest one"), "{error}");
    let listed: Vec<_> = fixture.store.list().unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|one| (one.key.as_str(), one.current, one.versions))
        .collect();
    assert_eq!(listed, [("a/x", 1, 2), ("b", 1, 1)]);
    let (history, current) = fixture.store.history(&key).unwrap();
    assert_eq!((history.len(), current), (3, 1));
    assert_eq!(fixture.store.remove(&key).unwrap(), 2);
    assert!(fixture.store.remove(&key).is_err());
    assert_eq!(fixture.store.list().unwrap().len(), 1);
}

#[test]
fn a_rekey_lets_the_new_one_in_and_the_removed_one_not() {
    let fixture = Fixture::new();
    fixture.set("one", b"1");
    fixture.set("one", b"2");
    fixture.set("two", b"3");
    let other = identity_file(&fixture.dir.path().join("other"));
    let theirs = Fixture::with(&fixture.dir, "other");
    let key = Key::parse("one").unwrap();
    let error = theirs.get(&key, None).err().unwrap().to_string();
    assert!(error.contains("does not open"), "{error}");

    let own = fixture.store.own_recipients().unwrap();
    let error = fixture.store.rekey(&[], &own).unwrap_err().to_string();
    assert!(error.contains("would lock you out"), "{error}");
    let before = fs::metadata(fixture.versions(&key).file(1)).unwrap();

    let done = fixture.store.rekey(&[other], &[]).unwrap();
    assert_eq!((done.secrets, done.versions, done.recipients), (2, 3, 2));
    assert!(theirs.get(&key, Some(1)).unwrap().0.expose() == b"1");
    let after = fs::metadata(fixture.versions(&key).file(1)).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());

    theirs.rekey(&[], &own).unwrap();
    assert!(fixture.get("one", None).is_err());
    assert!(theirs.get(&key, None).unwrap().0.expose() == b"2");
}

#[test]
fn an_identity_file_that_was_replaced_is_read_again() {
    let fixture = Fixture::new();
    fixture.set("one", b"1");
    assert_eq!(fixture.get("one", None).unwrap(), b"1");
    let path = fixture.dir.path().join("identity");
    let other = identity_file(&fixture.dir.path().join("other"));
    let own = fixture.store.own_recipients().unwrap();
    fixture.store.rekey(&[other], &[]).unwrap();
    let theirs = Fixture::with(&fixture.dir, "other");
    theirs.rekey(&[], &own).unwrap();
    fs::rename(fixture.dir.path().join("other"), &path).unwrap();
    assert_eq!(fixture.get("one", None).unwrap(), b"1");
}

#[test]
fn a_store_that_is_there_is_not_made_again() {
    let fixture = Fixture::new();
    let error = fixture.store.create(&[]).unwrap_err();
    assert!(error.to_string().contains("recipients.txt"), "{error}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn watched(sources: &[Source]) -> Vec<Watched> {
    let watched = |source: &Source| Watched {
        reads: true,
        source: source.clone(),
        refresh: Refresh::Store,
    };
    sources.iter().map(watched).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(5), future)
        .await
        .ok()
}

#[test]
fn a_watch_tells_of_a_new_current_version_and_of_nothing_else() {
    let fixture = Fixture::new();
    fixture.set("watched", b"1");
    fixture.set("other", b"1");
    let sources = [source("watched", None), source("other", Some(1))];
    runtime().block_on(async {
        let mut watch = fixture.store.watch(&watched(&sources)).unwrap().unwrap();
        fixture.set("other", b"2");
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err(), "told of a version that is pinned");
        fixture.set("watched", b"2");
        soon(watch.changed()).await.unwrap().unwrap();
        let version = fixture.store.version(&sources[0]).await.unwrap();
        assert_eq!(version.0, "v2");
        let key = Key::parse("watched").unwrap();
        fixture.store.rollback(&key, None).unwrap();
        soon(watch.changed()).await.unwrap().unwrap();
    });
}

#[test]
fn a_watch_goes_on_when_a_secret_is_removed_and_comes_again() {
    let fixture = Fixture::new();
    fixture.set("deep/down/token", b"1");
    let sources = [source("deep/down/token", None)];
    runtime().block_on(async {
        let mut watch = fixture.store.watch(&watched(&sources)).unwrap().unwrap();
        let key = Key::parse("deep/down/token").unwrap();
        fixture.store.remove(&key).unwrap();
        soon(watch.changed()).await.unwrap().unwrap();
        fixture.set("deep/down/token", b"2");
        let again = async {
            while fixture.store.version(&sources[0]).await.is_err() {
                watch.changed().await.unwrap();
            }
            fixture.set("deep/down/token", b"3");
            while fixture.store.version(&sources[0]).await.unwrap().0 != "v2" {
                watch.changed().await.unwrap();
            }
            watch.changed().await.unwrap();
        };
        soon(again).await.unwrap();
    });
}

#[test]
fn a_store_that_takes_the_place_of_another_is_followed() {
    let fixture = Fixture::new();
    fixture.set("token", b"1");
    let sources = [source("token", None)];
    let store = fixture.store.path().to_owned();
    let (old, new) = (store.with_extension("old"), store.with_extension("new"));
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&store, &new])
        .status();
    assert!(copied.unwrap().success());
    runtime().block_on(async {
        let mut watch = fixture.store.watch(&watched(&sources)).unwrap().unwrap();
        std::fs::rename(&store, &old).unwrap();
        std::fs::rename(&new, &store).unwrap();
        soon(watch.changed()).await.unwrap().unwrap();
        fixture.store.fetch(&sources[0]).await.unwrap();
        // What is there now is watched, and what is away is not.
        std::fs::remove_dir_all(&old).unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(1_200), watch.changed()).await;
        assert!(quiet.is_err(), "the old store is watched");
        fixture.set("token", b"2");
        soon(watch.changed()).await.unwrap().unwrap();
    });
}

#[test]
fn whatever_comes_last_of_a_store_that_is_brought_is_seen() {
    let fixture = Fixture::new();
    fixture.set("token", b"1");
    let sources = [source("token", None)];
    let store = fixture.store.path().to_owned();
    let directory = store.join("secrets/token");
    runtime().block_on(async {
        let mut watch = fixture.store.watch(&watched(&sources)).unwrap().unwrap();
        for last in [
            store.join("index"),
            directory.join("1.age"),
            directory.join("current.age"),
        ] {
            let away = last.with_extension("away");
            std::fs::rename(&last, &away).unwrap();
            assert_eq!(
                fixture.store.fetch(&sources[0]).await.is_ok(),
                last.ends_with("current.age")
            );
            // What was there before is over.
            while tokio::time::timeout(Duration::from_millis(1_200), watch.changed())
                .await
                .is_ok()
            {}
            std::fs::rename(&away, &last).unwrap();
            soon(watch.changed())
                .await
                .unwrap_or_else(|| panic!("{}", last.display()))
                .unwrap();
            fixture.store.fetch(&sources[0]).await.unwrap();
        }
    });
}

#[test]
fn fields_are_read_in_the_format_that_is_asked_for() {
    let fixture = Fixture::new();
    fixture.set("db", br#"{"user":"app","port":5432}"#);
    let mut asked = source("db", None);
    asked.format = ValueFormat::Json;
    let fetched = runtime().block_on(fixture.store.fetch(&asked)).unwrap();
    assert!(fetched.value.field("user").unwrap().expose() == b"app");
    asked.format = ValueFormat::Dotenv;
    let error = runtime()
        .block_on(fixture.store.fetch(&asked))
        .err()
        .unwrap();
    assert!(!error.to_string().contains("app"), "{error}");
}

/// What another host knows of the store.
fn elsewhere(fixture: &Fixture, identity: &str, host: &str) -> SealedStore {
    let mut store = Fixture::with(&fixture.dir, identity);
    store.memory = Memory::below(Some(fixture.dir.path().join(host)), store.path());
    store
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What is said of a secret by a process that was just started.
fn said(fixture: &Fixture, accept: bool) -> Result<Vec<u8>, String> {
    let store = Fixture::with(&fixture.dir, "identity");
    store.accepts.set(accept);
    let got = store.get(&Key::parse("token").unwrap(), None);
    got.map(|(bytes, _)| bytes.expose().to_vec())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn refused_with(fixture: &Fixture, expected: &str) {
    let error = said(fixture, false).unwrap_err();
    assert!(error.contains(expected), "{error}");
    let error = fixture.get("token", None).unwrap_err();
    assert!(error.contains(expected), "a running process: {error}");
}

#[test]
fn an_older_copy_of_the_store_is_refused_until_a_person_accepts_it() {
    let fixture = Fixture::new();
    let (path, kept) = (fixture.store.path(), fixture.dir.path().join("kept"));
    fixture.set("token", b"one");
    copy(path, &kept);
    fixture.set("token", b"two");
    copy(&kept, path);
    refused_with(&fixture, "it is older than before");
    assert_eq!(said(&fixture, true).unwrap(), b"one");
    assert_eq!(said(&fixture, false).unwrap(), b"one");
    // Accepting once is not accepting what comes later.
    let running = Fixture::with(&fixture.dir, "identity");
    running.accepts.set(true);
    let key = Key::parse("token").unwrap();
    running.get(&key, None).unwrap();
    fixture.set("token", b"three");
    copy(&kept, path);
    assert!(running.get(&key, None).is_err());
}

#[test]
fn an_older_copy_is_noticed_by_every_way_to_it() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let (store, old) = (
        fixture.store.path().to_owned(),
        fixture.dir.path().join("old"),
    );
    copy(&store, &old);
    fixture.set("token", b"two");
    fs::create_dir(fixture.dir.path().join("sub")).unwrap();
    let name = store.file_name().unwrap();
    std::os::unix::fs::symlink(fixture.dir.path(), fixture.dir.path().join("link")).unwrap();
    let state = || Some(fixture.dir.path().join("state"));
    let ways = [
        fixture.dir.path().join("sub/..").join(name),
        fixture.dir.path().join("link").join(name),
    ];
    let known = Memory::below(state(), &store).recall().unwrap().unwrap();
    for way in &ways {
        let found = Memory::below(state(), way).recall().unwrap().unwrap();
        assert_eq!(found, known, "{}", way.display());
    }
    // A way that led to the store leads to the old copy now.
    let way = fixture.dir.path().join("way");
    std::os::unix::fs::symlink(&store, &way).unwrap();
    Memory::below(state(), &way)
        .remember(&known, false)
        .unwrap();
    fs::remove_file(&way).unwrap();
    std::os::unix::fs::symlink(&old, &way).unwrap();
    assert_eq!(Memory::below(state(), &way).recall().unwrap(), Some(known));
}

#[test]
fn a_writer_that_forks_off_an_older_copy_is_refused() {
    let fixture = Fixture::new();
    let (path, kept) = (fixture.store.path(), fixture.dir.path().join("kept"));
    fixture.set("token", b"one");
    copy(path, &kept);
    fixture.set("token", b"two");
    copy(&kept, path);
    let other = elsewhere(&fixture, "identity", "other");
    let key = Key::parse("token").unwrap();
    other
        .set(&key, &SecretBytes::new(b"fork".to_vec()))
        .unwrap();
    refused_with(&fixture, "it is another state than before");
}

#[test]
fn files_that_are_removed_replaced_swapped_or_added_are_refused() {
    let file = |fixture: &Fixture, key: &str, version: u64| {
        let versions = fixture.versions(&Key::parse(key).unwrap());
        versions.file(version)
    };
    let stocked = || {
        let fixture = Fixture::new();
        fixture.set("token", b"one");
        fixture.set("token", b"two");
        fixture.set("other", b"of another");
        fixture
    };
    let fixture = stocked();
    fs::remove_file(file(&fixture, "token", 2)).unwrap();
    refused_with(&fixture, "2.age is gone");

    let fixture = stocked();
    fs::copy(file(&fixture, "token", 1), file(&fixture, "token", 2)).unwrap();
    refused_with(&fixture, "2.age is not the file that the index has");

    let fixture = stocked();
    fs::copy(file(&fixture, "other", 1), file(&fixture, "token", 2)).unwrap();
    refused_with(&fixture, "2.age is not the file that the index has");

    let fixture = stocked();
    fs::copy(file(&fixture, "token", 1), file(&fixture, "token", 9)).unwrap();
    refused_with(&fixture, "9.age is not in the index");

    let fixture = stocked();
    fs::remove_file(fixture.store.path().join(state::INDEX)).unwrap();
    refused_with(&fixture, "its index is gone");
}

#[test]
fn an_index_that_was_edited_or_signed_by_a_stranger_is_refused() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    fixture.set("token", b"two");
    let path = fixture.store.path().join(state::INDEX);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("current 2 token", "current 1 token")).unwrap();
    refused_with(&fixture, "the signature of its index is wrong");
    fs::write(&path, &text).unwrap();

    // A stranger, who lets herself in.
    let stranger = identity_file(&fixture.dir.path().join("stranger"));
    let theirs = elsewhere(&fixture, "stranger", "other");
    fs::write(recipients::file(fixture.store.path()), stranger).unwrap();
    theirs.accepts.set(true);
    let key = Key::parse("token").unwrap();
    let value = SecretBytes::new(b"hers".to_vec());
    let error = theirs.set(&key, &value).unwrap_err().to_string();
    assert!(
        error.contains("only its recipients can write it"),
        "{error}"
    );
    let signers = theirs.identities().ok().unwrap().signers().ok().unwrap();
    let mut index = index::Signed::parse(&text).unwrap().index;
    index.admit(signers[0].recipient(), &signers[0]).unwrap();
    fs::write(&path, index.sign(&signers[0]).unwrap()).unwrap();
    refused_with(&fixture, "whom no recipient that this host knows let in");
}

#[test]
fn who_was_let_in_can_write_and_who_was_taken_out_cannot_come_back() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let key = Key::parse("token").unwrap();
    let other = identity_file(&fixture.dir.path().join("other"));
    let host = elsewhere(&fixture, "identity", "host");
    host.get(&key, None).unwrap();
    fixture
        .store
        .rekey(std::slice::from_ref(&other), &[])
        .unwrap();
    let theirs = elsewhere(&fixture, "other", "theirs");
    let value = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    theirs.set(&key, &value("theirs")).unwrap();
    // A host that knows the one who let the other in believes both.
    assert!(host.get(&key, None).unwrap().0.expose() == b"theirs");
    let with_both =
        index::Signed::parse(&fs::read_to_string(fixture.store.path().join(state::INDEX)).unwrap());
    fixture.store.rekey(&[], &[other]).unwrap();
    host.get(&key, None).unwrap();
    let mut index = with_both.unwrap().index;
    index.number += 5;
    let signers = theirs.identities().ok().unwrap().signers().ok().unwrap();
    let text = index.sign(&signers[0]).unwrap();
    fs::write(fixture.store.path().join(state::INDEX), text).unwrap();
    let error = host.get(&key, None).err().unwrap().to_string();
    assert!(
        error.contains("whom no recipient that this host knows"),
        "{error}"
    );
}

#[test]
fn another_store_in_its_place_is_refused() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let theirs = elsewhere(&fixture, "identity", "theirs");
    fs::remove_dir_all(theirs.path()).unwrap();
    theirs.create(&theirs.own_recipients().unwrap()).unwrap();
    theirs
        .set(
            &Key::parse("token").unwrap(),
            &SecretBytes::new(b"x".to_vec()),
        )
        .unwrap();
    refused_with(&fixture, "another store is there");
}

#[test]
fn a_new_recipient_in_the_file_gets_nothing_before_a_rekey() {
    let fixture = Fixture::new();
    let other = identity_file(&fixture.dir.path().join("other"));
    let file = recipients::file(fixture.store.path());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{other}\n")).unwrap();
    fixture.set("token", b"one");
    let key = Key::parse("token").unwrap();
    let theirs = Fixture::with(&fixture.dir, "other");
    assert!(theirs.get(&key, None).is_err());
    let third = identity_file(&fixture.dir.path().join("third"));
    let error = fixture.store.rekey(&[third], &[]).unwrap_err().to_string();
    assert!(
        error.contains("also names") && error.contains(&other),
        "{error}"
    );
    assert_eq!(fixture.store.rekey(&[], &[]).unwrap().new, [other]);
    theirs.get(&key, None).unwrap();
}

#[test]
fn a_store_of_an_older_hushpipe_is_signed_by_a_rekey_after_a_look() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let key = Key::parse("token").unwrap();
    // As an older hushpipe left it: age files without a binding, no index.
    let recipients: Vec<_> = fixture.store.recipients().ok().unwrap().texts();
    let recipient: age::x25519::Recipient = recipients[0].parse().unwrap();
    let sealed = age::encrypt(&recipient, b"before").unwrap();
    fs::write(fixture.versions(&key).file(1), sealed).unwrap();
    fs::remove_file(fixture.store.path().join(state::INDEX)).unwrap();
    fs::remove_dir_all(fixture.dir.path().join("state")).unwrap();
    let error = said(&fixture, false).unwrap_err();
    assert!(
        error.contains("it has no index") && error.contains("--accept-store"),
        "{error}"
    );
    assert_eq!(said(&fixture, true).unwrap(), b"before");
    assert!(said(&fixture, false).is_err());
    let store = Fixture::with(&fixture.dir, "identity");
    store.accepts.set(true);
    store.rekey(&[], &[]).unwrap();
    assert_eq!(said(&fixture, false).unwrap(), b"before");
}

#[test]
fn a_host_that_cannot_remember_still_checks_the_signature() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let mut host = Fixture::with(&fixture.dir, "identity");
    host.memory = Memory::below(None, host.path());
    let key = Key::parse("token").unwrap();
    host.get(&key, None).unwrap();
    let path = host.path().join(state::INDEX);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("number 2", "number 9")).unwrap();
    let error = host.get(&key, None).err().unwrap().to_string();
    assert!(
        error.contains("the signature of its index is wrong"),
        "{error}"
    );
}

#[test]
fn what_others_can_write_is_refused_wherever_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let root = fixture.store.path().to_owned();
    for (path, named) in [
        ("", "store"),
        ("index", "index"),
        ("secrets", "secrets"),
        ("secrets/token", "token"),
        ("secrets/token/1.age", "1.age"),
    ] {
        let path = if path.is_empty() {
            root.clone()
        } else {
            root.join(path)
        };
        let before = fs::metadata(&path).unwrap().permissions();
        for bits in [0o002, 0o022] {
            let mode = before.mode() | bits;
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = said(&fixture, false).unwrap_err();
            assert!(error.contains("can write to"), "{path:?}: {error}");
            assert!(error.contains(named) && error.contains("chmod"), "{error}");
            let value = SecretBytes::new(b"x".to_vec());
            let key = Key::parse("token").unwrap();
            let store = Fixture::with(&fixture.dir, "identity");
            if !path.ends_with("1.age") {
                assert!(store.set(&key, &value).is_err(), "{path:?}");
            }
            fs::set_permissions(&path, before.clone()).unwrap();
        }
    }
    let recipients = recipients::file(&root);
    fs::set_permissions(&recipients, PermissionsExt::from_mode(0o666)).unwrap();
    let value = SecretBytes::new(b"x".to_vec());
    let set = fixture.store.set(&Key::parse("token").unwrap(), &value);
    assert!(set.unwrap_err().to_string().contains("recipients.txt"));
}

/// All that is in a directory, or in a file.
fn content(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut todo = vec![path.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = todo.pop() {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let bytes = if kind.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            Vec::new()
        } else if kind.is_symlink() {
            fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        found.push((path, bytes));
    }
    found.sort();
    found
}

/// An operation that writes; whether it was done.
type Writer<'a> = Box<dyn Fn(&SealedStore) -> bool + 'a>;

/// Each operation that writes.
fn writers(other: &str) -> Vec<(&'static str, Writer<'_>)> {
    let key = |name| Key::parse(name).unwrap();
    let value = || SecretBytes::new(b"another one".to_vec());
    vec![
        (
            "set",
            Box::new(move |store| store.set(&key("token"), &value()).is_ok()),
        ),
        (
            "set below",
            Box::new(move |store| store.set(&key("ns/x"), &value()).is_ok()),
        ),
        (
            "rollback",
            Box::new(move |store| store.rollback(&key("token"), None).is_ok()),
        ),
        (
            "finish",
            Box::new(move |store| store.finish(&key("token")).is_ok()),
        ),
        (
            "remove",
            Box::new(move |store| store.remove(&key("token")).is_ok()),
        ),
        (
            "remove below",
            Box::new(move |store| store.remove(&key("ns/x")).is_ok()),
        ),
        (
            "rekey",
            Box::new(move |store| store.rekey(&[other.to_owned()], &[]).is_ok()),
        ),
        (
            "rekey of what is there",
            Box::new(move |store| {
                store.accepts.set(true);
                store.rekey(&[], &[]).is_ok()
            }),
        ),
        (
            "create",
            Box::new(move |store| store.create(&[other.to_owned()]).is_ok()),
        ),
    ]
}

#[test]
fn nothing_is_written_through_a_link_in_the_store() {
    let keys = tempfile::tempdir().unwrap();
    let other = identity_file(&keys.path().join("other"));
    for name in [
        "secrets",
        "secrets/ns",
        "secrets/token",
        "secrets/token/.history",
        "secrets/token/1.age",
        "secrets/token/.3.age.new",
        "index",
        "index.new",
        "recipients.txt",
    ] {
        for (what, write) in writers(&other) {
            let fixture = Fixture::new();
            fixture.set("token", b"one");
            fixture.set("token", b"two");
            let (link, outside) = (
                fixture.store.path().join(name),
                fixture.dir.path().join("outside"),
            );
            if link.exists() {
                fs::rename(&link, &outside).unwrap();
            } else if link.extension().is_some_and(|end| end == "new") {
                fs::write(&outside, "of somebody else").unwrap();
            } else {
                fs::create_dir(&outside).unwrap();
            }
            symlink(&outside, &link).unwrap();
            let before = content(&outside);
            let done = write(&Fixture::with(&fixture.dir, "identity"));
            assert_eq!(content(&outside), before, "{what} by {name}");
            let is_on_the_way = ["secrets", "secrets/token", "secrets/token/.history"];
            assert!(
                !(done && what == "set" && is_on_the_way.contains(&name)),
                "{name}"
            );
        }
    }
}

#[test]
fn a_link_that_leads_to_nothing_is_refused_at_once() {
    let fixture = Fixture::new();
    let nowhere = fixture.dir.path().join("nowhere");
    symlink(&nowhere, fixture.store.path().join("secrets/ns")).unwrap();
    for key in ["ns", "ns/k", "ns/k/deep"] {
        let value = SecretBytes::new(b"x".to_vec());
        let set = fixture.store.set(&Key::parse(key).unwrap(), &value);
        let error = set.unwrap_err().to_string();
        assert!(error.contains("ns is a symbolic link"), "{error}");
    }
    symlink(&nowhere, fixture.dir.path().join("link")).unwrap();
    for path in ["link", "link/x", "link/x/y"] {
        let path = fixture.dir.path().join(path);
        let spec = Spec {
            path: path.clone(),
            identity_file: fixture.dir.path().join("identity"),
            accept: false,
        };
        let mut store = SealedStore::open(name(), &spec, Rc::new(()));
        let error = store.create(&fixture.store.own_recipients().unwrap());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("a symbolic link leads to it"), "{error}");
        store = Fixture::with(&fixture.dir, "identity");
        store.memory = Memory::below(Some(path), store.path());
        assert!(store.verify().is_ok());
        let state = store.state().ok().unwrap().to_remember().unwrap();
        assert!(store.memory.remember(&state, true).is_err());
    }
    assert!(!nowhere.exists());
}

#[test]
fn verify_names_a_current_age_that_is_not_the_current_version() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    fixture.set("token", b"two");
    let directory = fixture.store.path().join("secrets/token");
    let current = directory.join(versions::CURRENT);
    fixture.store.verify().unwrap();
    for target in ["1.age", "/etc/shadow"] {
        fs::remove_file(&current).unwrap();
        symlink(target, &current).unwrap();
        let error = fixture.store.verify().unwrap_err().to_string();
        let expected = format!("current.age leads to {target}, and the current version is 2");
        assert!(error.contains(&expected), "{error}");
    }
    fs::remove_file(&current).unwrap();
    fixture.store.verify().unwrap();
    fs::copy(directory.join("2.age"), &current).unwrap();
    fixture.store.verify().unwrap();
    fs::copy(directory.join("1.age"), &current).unwrap();
    assert!(fixture.store.verify().is_err());
}

#[test]
fn a_history_that_is_no_file_or_has_no_end_is_an_error() {
    let fixture = Fixture::new();
    fixture.set("token", b"one");
    let key = Key::parse("token").unwrap();
    let history = fixture.store.path().join("secrets/token/.history");
    let fails = |expected: &str| {
        let error = fixture.store.history(&key).unwrap_err();
        let text = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(text.contains(expected), "{text}");
    };
    fs::File::options()
        .write(true)
        .open(&history)
        .unwrap()
        .set_len(3 << 30)
        .unwrap();
    fails("too large");
    fs::remove_file(&history).unwrap();
    symlink("/dev/zero", &history).unwrap();
    fails("symbolic link");
    fs::remove_file(&history).unwrap();
    nix::unistd::mkfifo(&history, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fails("no regular file");
}
