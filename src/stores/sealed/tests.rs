use std::time::Duration;

use super::*;
use crate::model::{Refresh, ValueFormat};

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
        };
        SealedStore::open(name(), &spec)
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
        version,
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
            "store local, tokem: not there: no such secret",
        ),
        ("token", Some(7), "not there: version 7"),
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
    fs::remove_file(fixture.store.versions(&key).file(2)).unwrap();
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
    assert!(
        error.contains("cannot be opened with identity file"),
        "{error}"
    );

    let own = fixture.store.own_recipients().unwrap();
    let error = fixture.store.rekey(&[], &own).unwrap_err().to_string();
    assert!(error.contains("would lock you out"), "{error}");
    let before = fs::metadata(fixture.store.versions(&key).file(1)).unwrap();

    let done = fixture.store.rekey(&[other], &[]).unwrap();
    assert_eq!((done.secrets, done.versions, done.recipients), (2, 3, 2));
    assert!(theirs.get(&key, Some(1)).unwrap().0.expose() == b"1");
    let after = fs::metadata(fixture.store.versions(&key).file(1)).unwrap();
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
    fs::remove_file(&path).unwrap();
    let other = identity_file(&path);
    fs::write(recipients::file(fixture.store.path()), other).unwrap();
    fixture.set("one", b"2");
    assert_eq!(fixture.get("one", None).unwrap(), b"2");
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
