//! `run.redact`: values that the program writes to its output do not leave hushpipe.

use super::{SERVE, STOPPED, VALUE, launch};
use crate::harness::terminal::Terminal;
use crate::harness::{Hushpipe, Place, untold};

/// With characters that each encoder writes in its own way.
const HARD: &str = "pa ss/w\"ö\\rd+<&>=1234%";

fn redacted(rest: &str) -> Hushpipe {
    launch(&format!(
        "deliver:\n  - {{ fd: 3, secret: token }}\nrun:\n  redact: {{}}\n{rest}"
    ))
}

/// Writes the value to both streams as others encode it, in pieces of so many bytes.
const WRITER: &str = r#"
import base64, html, json, os, sys, time, urllib.parse
value = os.read(3, 1000)
text = value.decode()
forms = [value, value.hex().encode(), value.hex().upper().encode()]
for before in (b"", b"x", b"xy"):
    forms += [base64.b64encode(before + value), base64.urlsafe_b64encode(before + value + b"end")]
forms += [json.dumps({"k": text}).encode(), json.dumps(text, ensure_ascii=False).encode()]
forms += [urllib.parse.quote(text).encode(), urllib.parse.quote_plus(text).encode(),
          urllib.parse.quote(text, safe="").encode()]
forms += [b"".join(bytes([b]) + b"\x1b[3%dm" % (b % 8) for b in value)]
size = int(sys.argv[1])
for fd in (1, 2):
    for form in forms:
        line = b"<" + form + b">\n"
        for at in range(0, len(line), size):
            os.write(fd, line[at:at + size])
print("done", len(forms))
"#;

#[test]
fn what_encoders_write_is_replaced_however_it_is_split() {
    for size in ["1", "3", "1000"] {
        let output = redacted("")
            .file("secrets/token", HARD)
            .args(["--", "/usr/bin/python3", "-c", WRITER, size])
            .run()
            .success()
            .stdout_has("<[redacted:token]>\n")
            .stdout_has("done 15\n")
            .stderr_has("the program wrote secret token to stdout: ")
            .stderr_has("the program wrote secret token to stderr: ");
        let (stdout, stderr) = (output.stdout(), output.stderr());
        let told = untold::told(HARD, &[stdout.as_bytes(), stderr.as_bytes()]);
        assert_eq!(told, None, "{stdout}\n{stderr}");
        let lines = stdout
            .lines()
            .filter(|line| line.contains("[redacted:token]"));
        assert_eq!(lines.count(), 15, "{stdout}");
    }
}

#[test]
fn the_last_words_arrive_and_the_exit_code_stays() {
    redacted("")
        .args(["--", "/bin/sh", "-c", "printf 'no line end, c'; exit 3"])
        .run()
        .code(3)
        .stdout_is("no line end, c");
}

#[test]
fn one_stream_alone_is_searched_where_one_is_named() {
    let script = "read -r v <&3; echo $v; echo $v >&2";
    launch("deliver:\n  - { fd: 3, secret: token }\nrun:\n  redact: { streams: [stdout] }\n")
        .args(["--", "/bin/sh", "-c", script])
        .run()
        .success()
        .stdout_is("[redacted:token]\n")
        .stderr_has(VALUE);
}

#[test]
fn values_of_before_and_after_a_rotation_are_replaced() {
    let script = "trap 'cat \"$F\"; echo' HUP; trap 'exit 0' TERM; cat \"$F\"; echo \" old\"; old=$(cat \"$F\"); \
                  while [ \"$(cat \"$F\")\" = \"$old\" ]; do sleep 0.02; done; echo \"$old and $(cat \"$F\")\"; \
                  while :; do sleep 0.05; done";
    let running = launch(
        "deliver:\n  - { file: secret, secret: token }\nrun:\n  redact: {}\n  env: { set: { F: \"{{ files }}/secret\" } }\n\
         on_rotate: { do: signal, signal: HUP, settle: 0s }\n",
    )
    .controlled()
    .args(["--", "/bin/sh", "-c", script])
    .spawn();
    running.wait_for_line("[redacted:token] old");
    running.place().write("secrets/token", "another-value");
    running.rotate("token");
    running.wait_for_line("[redacted:token] and [redacted:token]");
    let output = running.stop().success();
    for value in [VALUE, "another-value"] {
        assert!(!output.stdout().contains(value), "{}", output.stdout());
    }
}

#[test]
fn a_program_whose_output_nobody_reads_any_more_ends() {
    redacted("")
        .args(["--", "/usr/bin/yes"])
        .through(&["/bin/sh", "-c", "\"$@\" | head -n 1", "sh"])
        .run()
        .success()
        .stdout_is("y\n");
}

#[test]
fn another_user_can_open_its_standard_output() {
    redacted("  user: nobody\n")
        .args(["--", "/bin/sh", "-c", "echo fine >/dev/stdout"])
        .run()
        .success()
        .stdout_is("fine\n");
}

#[test]
fn a_terminal_becomes_a_pipe_which_is_reported() {
    let place = Place::new();
    place.write("secrets/token", VALUE);
    place.write(
        "hushpipe.yaml",
        "version: 1\nservice: t\nstores: { dir: { type: directory, path: secrets } }\n\
         secrets: { token: { store: dir, key: token } }\ndeliver: [{ fd: 3, secret: token }]\n\
         run: { redact: {} }\n",
    );
    let script = "test -t 1 || echo no terminal; read -r v <&3; echo $v";
    let hushpipe = env!("CARGO_BIN_EXE_hushpipe");
    let mut terminal = Terminal::within(place, &[hushpipe, "run", "--", "/bin/sh", "-c", script]);
    terminal.expect("stdout is a terminal");
    terminal.expect("no terminal");
    terminal.expect("[redacted:token]");
    assert_eq!(terminal.ends(), Some(0));
    assert!(!terminal.all().contains(VALUE), "{}", terminal.all());
}

#[test]
fn a_service_ends_as_without_it() {
    let running = redacted("").args(SERVE).spawn();
    running.wait_for_line("ready");
    running.stop().code(STOPPED);
}

#[test]
fn it_needs_hushpipe_to_stay() {
    redacted("")
        .args(["--exec", "--", "/bin/true"])
        .run()
        .code(78)
        .stderr_has("`redact` does not work with --exec");
}
