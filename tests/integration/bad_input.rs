//! What users get wrong, and what hosts refuse: said with what, where, why and what to do; nothing
//! is started, and nothing stays behind.

use crate::harness::untold::MARK;
use crate::harness::{Hushpipe, Output};

mod commands;
mod deliveries;
mod hosts;
mod manifests;
mod programs;
mod stores;
mod trusted;
mod values;

/// The one secret's value: 8 bytes or more, so that it is looked for in the open.
const VALUE: &str = MARK;

/// Runs "$@" where nobody else is: with a /dev/shm, a /run and a /tmp of its own, in which nothing
/// may stay behind. The place stays where it is. `SETUP` changes the host further, or "$@".
const ALONE: &str = r#"
cd "$TEST_PLACE" || exit 98
for directory in /dev/shm /run /tmp; do
    mount -t tmpfs -o mode=1777 none "$directory" || exit 98
done
mkdir -p "$TEST_PLACE" && mount -c --bind . "$TEST_PLACE" && cd "$TEST_PLACE" || exit 98
SETUP
found() { find /dev/shm /run /tmp -mindepth 1 -path "$TEST_PLACE" -prune -o -print; }
before=$(found)
"$@"
code=$?
[ "$before" = "$(found)" ] || { echo "left behind:" $(found) >&2; exit 97; }
exit $code
"#;

/// A manifest of these parts; what is not among them is: a directory store with the secret `token`,
/// which fd 3 delivers, and a program that would leave `started`.
fn launch(parts: &str) -> Hushpipe {
    let usual = [
        (
            "stores:",
            "stores: { s: { type: directory, path: '{place}/s' } }",
        ),
        ("secrets:", "secrets: { token: { store: s, key: token } }"),
        ("deliver:", "deliver: [{ fd: 3, as: memfd, secret: token }]"),
        ("run:", "run: { command: [touch, '{place}/started'] }"),
    ];
    let mut manifest = format!("version: 1\nservice: test\n{parts}\n");
    for (key, part) in usual {
        if !parts.lines().any(|line| line.starts_with(key)) {
            manifest.push_str(part);
            manifest.push('\n');
        }
    }
    Hushpipe::new()
        .directory("s")
        .file("s/token", VALUE)
        .manifest(&manifest)
        .arg("run")
}

/// Runs it alone, on a host changed by these lines of shell; nothing may stay behind.
fn alone(setup: &str, hushpipe: Hushpipe) -> Output {
    let script = ALONE.replace("SETUP", setup);
    let before = hushpipe.place().entries();
    let hushpipe = hushpipe.through(&["unshare", "--mount", "/bin/sh", "-c", &script, "sh"]);
    let output = hushpipe.run();
    let said = output.stderr();
    assert_eq!(output.place().entries(), before, "{said}");
    assert_eq!(output.place().processes(), Vec::<i32>::new(), "{said}");
    output.says_nothing_of(VALUE)
}

/// hushpipe refuses with this code before anything is started.
fn refused(hushpipe: Hushpipe, code: i32) -> Output {
    refused_on("", hushpipe, code)
}

/// As [`refused`], on a changed host.
fn refused_on(setup: &str, hushpipe: Hushpipe, code: i32) -> Output {
    alone(setup, hushpipe).code(code).stdout_is("")
}

/// As user 1000, to whom the place is given.
const AS_USER: &str = "set -- setpriv --reuid=1000 --regid=1000 --clear-groups -- \"$@\"";

/// For [`AS_USER`].
fn given(hushpipe: Hushpipe) -> Hushpipe {
    hushpipe.place().give_to(1000);
    hushpipe
}
