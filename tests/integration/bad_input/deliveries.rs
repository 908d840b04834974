//! Deliveries that cannot be made.

use super::{launch, refused, refused_on};

#[test]
fn two_on_one_fd() {
    let hushpipe = launch(
        "deliver:\n- { fd: 3, as: memfd, secret: token }\n- { fd: 3, as: pipe, secret: token }",
    );
    refused(hushpipe, 78)
        .stderr_has("duplicate delivery to file descriptor 3")
        .stderr_has("hushpipe.yaml:5:9")
        .stderr_has("help: give one of them another number");
}

#[test]
fn two_on_one_path() {
    let hushpipe = launch(
        "deliver:\n- { file: /run/test/a, secret: token }\n- { fifo: /run/test/a, secret: token }",
    );
    refused(hushpipe, 78)
        .stderr_has("duplicate delivery path")
        .stderr_has("hushpipe.yaml:5:11")
        .stderr_has("help: give one of them another path");
}

#[test]
fn the_standard_fds() {
    for (number, said) in [
        (0, "help: use `stdin: true`"),
        (1, "help: use a number from 3 on"),
        (2, "help: use a number from 3 on"),
    ] {
        let hushpipe = launch(&format!(
            "deliver: [{{ fd: {number}, as: memfd, secret: token }}]"
        ));
        refused(hushpipe, 78)
            .stderr_has("hushpipe.yaml:3:17")
            .stderr_has(said);
    }
}

#[test]
fn an_fd_beyond_the_limit() {
    for mode in [&[][..], &["--exec"]] {
        let hushpipe = launch("deliver: [{ fd: 100, as: memfd, secret: token }]");
        let hushpipe = hushpipe.args(mode.iter().copied());
        refused_on("set -- prlimit --nofile=64 \"$@\"", hushpipe, 71)
            .stderr_has("hushpipe.yaml:3:13: fd 100: the limit of open files is 64: use a number")
            .stderr_has("or raise it (`ulimit -n`, LimitNOFILE=)");
    }
}

#[test]
fn a_directory_with_other_entries() {
    for isolation in ["auto", "private", "shared"] {
        let hushpipe = launch(&format!(
            "deliver: [{{ file: /run/test/a, secret: token }}]\nisolation: {isolation}"
        ));
        refused_on("mkdir /run/test; echo > /run/test/mine", hushpipe, 71)
            .stderr_has("hushpipe.yaml:3:13: /run/test: ")
            .stderr_has("the directory has other entries (\"mine\"), and hushpipe covers none")
            .stderr_has("deliver to a relative path");
    }
}
