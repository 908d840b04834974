//! Files that are read as trusted, and whom they belong to.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::VALUE;
use crate::harness::{Hushpipe, Output};

/// A manifest of one store and its secret.
fn manifest(store: &str, secret: &str) -> String {
    format!(
        "version: 1\nservice: x\nstores: {{ s: {store} }}\nsecrets: {{ token: {secret} }}\n\
         deliver: [{{ fd: 3, as: memfd, secret: token }}]\nrun: {{ command: [cat, /dev/fd/3] }}\n"
    )
}

fn vault(rest: &str) -> String {
    let store = format!(
        "{{ type: vault, address: 'https://127.0.0.1:1', retry: {{ deadline: 1s }}, {rest} }}"
    );
    manifest(&store, "{ store: s, path: kv/data/app }")
        .replace("secret: token }", "secret: token.x }")
}

/// Each key that names a file, with a manifest in which it is `{place}/t/file`.
fn kinds() -> Vec<(&'static str, String)> {
    let file = "'{place}/t/file'";
    let approle = format!(
        "auth: {{ method: approle, role_id_file: '{{place}}/good', secret_id_file: {file} }}"
    );
    let shown = format!("auth: {{ method: cert }}, client_cert: {file}, client_key: {file}");
    let token = "auth: { method: token, file: '{place}/good' }";
    let directory = "{ type: directory, path: '{place}/t' }";
    let sealed = format!("{{ type: sealed, path: '{{place}}/store', identity_file: {file} }}");
    let wrapping = vault(token).replace(
        "path: kv/data/app",
        &format!("path: sys/wrapping/unwrap, token_file: {file}"),
    );
    vec![
        ("directory", manifest(directory, "{ store: s, key: file }")),
        (
            "identity_file",
            manifest(&sealed, "{ store: s, key: token }"),
        ),
        (
            "role_id_file",
            vault(&format!(
                "auth: {{ method: approle, role_id_file: {file} }}"
            )),
        ),
        ("secret_id_file", vault(&approle)),
        (
            "token",
            vault(&format!("auth: {{ method: token, file: {file} }}")),
        ),
        (
            "jwt_file",
            vault(&format!(
                "auth: {{ method: jwt, role: x, jwt_file: {file} }}"
            )),
        ),
        (
            "password_file",
            vault(&format!(
                "auth: {{ method: userpass, username: x, password_file: {file} }}"
            )),
        ),
        ("ca_file", vault(&format!("ca_file: {file}, {token}"))),
        ("client_cert", vault(&shown)),
        ("token_file", wrapping),
    ]
}

fn launch(manifest: &str) -> Hushpipe {
    let hushpipe = Hushpipe::new()
        .sealed(&[("token", VALUE)])
        .manifest(manifest);
    let hushpipe = hushpipe
        .directory("t")
        .file("t/file", "a-token-of-somebody")
        .file("good", "good");
    hushpipe
        .mode("t/file", 0o600)
        .mode("good", 0o600)
        .args(["run"])
}

fn refused(kind: &str, hushpipe: Hushpipe, words: &str) -> Output {
    let output = hushpipe.run();
    let said = output.stderr();
    let words = output.place().fill(words);
    assert!(
        said.contains(&words),
        "{kind}: expected {words:?}, and it said: {said}"
    );
    assert!(!output.status.success(), "{kind}");
    output
}

#[test]
fn what_another_user_can_change_is_trusted_in_no_kind_of_file() {
    for (kind, manifest) in kinds() {
        let made = |prepare: &dyn Fn(&Path)| {
            let hushpipe = launch(&manifest);
            prepare(&hushpipe.place().join("t"));
            hushpipe
        };
        let give = |path: &Path| chown(path, Some(4242), None).unwrap();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let foreign = made(&|t| give(&t.join("file")));
        refused(kind, foreign, "t/file belongs to uid 4242")
            .code(77)
            .stderr_has("trust: { owners: [4242] }");
        let foreign = made(&|t| give(t));
        refused(kind, foreign, "{place}/t belongs to uid 4242").code(77);
        let loose = made(&|t| open(&t.join("file"), 0o666));
        refused(
            kind,
            loose,
            "others can write to {place}/t/file (mode 0666)",
        )
        .code(77);
        let loose = made(&|t| open(t, 0o777));
        refused(kind, loose, "others can write to {place}/t (mode 0777)").code(77);
    }
}

#[test]
fn what_is_no_file_or_has_no_end_keeps_nobody_waiting() {
    for (kind, manifest) in kinds() {
        let instead = |make: &dyn Fn(&Path), words: &str| {
            let hushpipe = launch(&manifest);
            let file = hushpipe.place().join("t/file");
            fs::remove_file(&file).unwrap();
            make(&file);
            refused(kind, hushpipe, words);
        };
        let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        instead(&fifo, "a FIFO");
        instead(&|path| fs::create_dir(path).unwrap(), "a directory");
        let huge = |path: &Path| {
            fs::File::create(path).unwrap().set_len(1 << 31).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        };
        instead(&huge, "is larger than");
        if kind != "directory" {
            instead(&|path| symlink("/dev/zero", path).unwrap(), "a device");
        }
    }
}

#[test]
fn an_owner_that_the_manifest_names_is_trusted() {
    let store = "{ type: directory, path: '{place}/t', trust: { owners: [4242] } }";
    let hushpipe = launch(&manifest(store, "{ store: s, key: file }"));
    chown(hushpipe.place().join("t/file"), Some(4242), None).unwrap();
    hushpipe.run().success().stdout_is("a-token-of-somebody");
    // The next problem is the server: the files were read.
    let (_, login) = kinds().swap_remove(3);
    let login = login.replace("retry:", "trust: { owners: [4242] }, retry:");
    let hushpipe = launch(&login);
    chown(hushpipe.place().join("t/file"), Some(4242), None).unwrap();
    hushpipe.run().code(69).stderr_has("127.0.0.1:1");
}

#[test]
fn a_secret_that_is_mounted_read_only_keeps_its_owner() {
    let store = "{ type: directory, path: '{place}/t' }";
    let bind = |options: &str| {
        format!(
            "mount --bind \"$TEST_PLACE/t\" \"$TEST_PLACE/t\" && mount -o remount,bind{options} \"$TEST_PLACE/t\" && exec \"$@\""
        )
    };
    for (options, is_given) in [(",ro", true), ("", false)] {
        let script = bind(options);
        let words = ["unshare", "--mount", "--", "sh", "-c", &script, "sh"];
        let hushpipe = launch(&manifest(store, "{ store: s, key: file }"));
        chown(hushpipe.place().join("t/file"), Some(4242), None).unwrap();
        let output = hushpipe.through(&words).run();
        if is_given {
            output.success().stdout_is("a-token-of-somebody");
        } else {
            output.code(77).stderr_has("belongs to uid 4242");
        }
    }
}

#[test]
fn a_volume_in_one_that_all_can_write_to_is_read() {
    // As Kubernetes mounts a secret below an emptyDir.
    let script = "chmod 777 \"$TEST_PLACE/v\" && mount -t tmpfs -o mode=1777 none \"$TEST_PLACE/v/t\" \
         && mkdir \"$TEST_PLACE/v/t/..1\" && printf volume >\"$TEST_PLACE/v/t/..1/key\" \
         && ln -s ..1 \"$TEST_PLACE/v/t/..data\" && ln -s ..data/key \"$TEST_PLACE/v/t/key\" && exec \"$@\"";
    let words = ["unshare", "--mount", "--", "sh", "-c", script, "sh"];
    let store = "{ type: directory, path: '{place}/v/t' }";
    let hushpipe = launch(&manifest(store, "{ store: s, key: key }")).directory("v/t");
    hushpipe.through(&words).run().success().stdout_is("volume");
    // A directory that was made there could be another one in a moment.
    let hushpipe = launch(&manifest(store, "{ store: s, key: key }")).directory("v/t");
    fs::write(hushpipe.place().join("v/t/key"), "x").unwrap();
    hushpipe
        .mode("v", 0o777)
        .run()
        .code(77)
        .stderr_has("others can write to {place}/v");
}

#[test]
fn root_runs_no_manifest_that_others_can_change() {
    let store = "{ type: directory, path: '{place}/t' }";
    let text = manifest(store, "{ store: s, key: file }");
    let hushpipe = launch(&text);
    let path = hushpipe.place().join("hushpipe.yaml");
    chown(&path, Some(4242), None).unwrap();
    let output = hushpipe
        .run()
        .code(77)
        .stderr_has("hushpipe.yaml belongs to uid 4242");
    output.stderr_has("-m - <FILE");
    refused(
        "manifest",
        launch(&text).mode("hushpipe.yaml", 0o666),
        "others can write to",
    );
    // Its own user runs it as before.
    let other = launch(&text).user(4242);
    other.run().success().stdout_is("a-token-of-somebody");
}
