//! Programs that cannot be started.

use super::{launch, refused};
use crate::harness::Hushpipe;

/// A launch of this program, by both modes.
fn both(make: impl Fn() -> Hushpipe, program: &str, code: i32, said: &str) {
    for mode in [&["--"][..], &["--exec", "--"]] {
        let hushpipe = make().args(mode.iter().copied()).arg(program);
        let said = format!("hushpipe: error: {said}\n");
        refused(hushpipe, code).stderr_is(&said);
    }
}

#[test]
fn one_that_is_missing() {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr…";
    let said = format!(
        "\"no-such-program\" was not found in PATH\n  help: install it, or give its full path; PATH is {path}"
    );
    both(|| launch(""), "no-such-program", 127, &said);
    let said = "\"{place}/nowhere\" was not found: no such file\n  help: check the path; a relative one starts at \
                run.cwd";
    both(|| launch(""), "{place}/nowhere", 127, said);
}

#[test]
fn one_that_is_not_executable() {
    let make = || launch("").file("plain", "#!/bin/sh\n");
    let said = "{place}/plain is not executable; if it is the right file: chmod +x";
    both(make, "{place}/plain", 126, said);
}

#[test]
fn one_that_is_a_directory() {
    let said = "{place}/s is a directory, not a program";
    both(|| launch(""), "{place}/s", 126, said);
}

#[test]
fn a_script_without_an_interpreter() {
    let make = || {
        let script = launch("").file("script", "touch \"$TEST_PLACE\"/started\n");
        script.mode("script", 0o755)
    };
    let said = "{place}/script is neither a program for this machine nor a script: add a first line such as #!/bin/sh";
    both(make, "{place}/script", 126, said);
}

#[test]
fn a_script_whose_interpreter_is_missing() {
    let make = || {
        let script = launch("").file("script", "#!/nowhere/python3 -u\n");
        script.mode("script", 0o755)
    };
    let said = "{place}/script cannot run: its #! line names the interpreter /nowhere/python3, \
                which is missing";
    both(make, "{place}/script", 126, said);
}

/// Only execve(2) itself finds out that this is no program: by then the files are in their places.
#[test]
fn a_failed_exec_takes_the_files_away() {
    for (isolation, mode) in [
        ("private", &["--"][..]),
        ("shared", &["--"]),
        ("private", &["--exec", "--"]),
    ] {
        let hushpipe = launch(&format!(
            "deliver: [{{ file: /run/test/a/b, secret: token }}]\nisolation: {isolation}"
        ));
        let hushpipe = hushpipe.file("script", "x").mode("script", 0o755);
        let hushpipe = hushpipe.args(mode.iter().copied()).arg("{place}/script");
        refused(hushpipe, 126).stderr_has("{place}/script is neither a program for this machine");
    }
}

#[test]
fn a_failed_exec_as_another_user_says_what_stays() {
    let hushpipe = launch(
        "deliver: [{ file: /run/test/b, secret: token }]\nisolation: private\n\
         run: { command: ['{place}/script'], user: daemon }",
    );
    let hushpipe = hushpipe.file("script", "x").mode("script", 0o755);
    super::alone("", hushpipe.arg("--exec"))
        .code(97)
        .stderr_has("/run/test: cannot unmount it");
}

#[test]
fn a_user_that_does_not_exist() {
    let hushpipe = launch("run: { command: [touch, '{place}/started'], user: no-such-user }");
    refused(hushpipe, 78)
        .stderr_has("unknown user \"no-such-user\" (neither in /etc/passwd")
        .stderr_has("create it, or give a number");
    let hushpipe = launch("run: { command: [touch, '{place}/started'], group: no-such-group }");
    refused(hushpipe, 78).stderr_has("\"no-such-group\"");
}

#[test]
fn a_user_that_hushpipe_may_not_become() {
    let hushpipe = launch("run: { command: [touch, '{place}/started'], user: daemon }");
    super::refused_on(super::AS_USER, super::given(hushpipe), 71)
        .stderr_has("hushpipe runs as user 1000 and cannot become user 1, group 1")
        .stderr_has("start it as root, or remove run.user");
}

#[test]
fn a_working_directory_that_is_missing() {
    let hushpipe = launch("run: { command: [touch, '{place}/started'], cwd: '{place}/nowhere' }");
    refused(hushpipe, 71)
        .stderr_has("cannot use {place}/nowhere as run.cwd")
        .stderr_has("No such file or directory");
    let hushpipe = launch("run: { command: [touch, '{place}/started'], cwd: '{place}/s/token' }");
    refused(hushpipe, 71)
        .stderr_has("cannot use {place}/s/token as run.cwd")
        .stderr_has("not a directory");
}

#[test]
fn a_program_that_is_not_the_pinned_one() {
    for mode in [&[][..], &["--exec"]] {
        let digest = "0".repeat(64);
        let hushpipe = launch(&format!(
            "stores: {{ s: {{ type: directory, path: '{{place}}/nowhere' }} }}\n\
             run: {{ command: [/usr/bin/touch, '{{place}}/started'], sha256: '{digest}' }}"
        ))
        .args(mode.iter().copied());
        // Nothing is said of the store, which is not there: it was not asked.
        refused(hushpipe, 77)
            .stderr_has("/usr/bin/touch has the SHA-256 ")
            .stderr_has(&format!(
                "but run.sha256 is {digest}; if the program was updated"
            ))
            .says_nothing_of("nowhere");
    }
}
