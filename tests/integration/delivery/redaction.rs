//! `run.redact`: values that the program writes to its output do not leave hushpipe.

use super::{SERVE, STOPPED, VALUE, launch};
use crate::harness::postgres::{PASSWORD, Postgres};
use crate::harness::terminal::{CTRL_C, CTRL_D, CTRL_Z, Terminal};
use crate::harness::tmux::Tmux;
use crate::harness::{Hushpipe, Place, untold, wait_until};

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

const ON_TERMINAL: &str = "version: 1\nservice: t\n\
    stores: { dir: { type: directory, path: \"{place}/secrets\" } }\n\
    secrets: { token: { store: dir, key: token } }\ndeliver: [{ fd: 3, secret: token }]\n\
    run: { redact: {} }\n";

fn place() -> Place {
    let place = Place::new();
    place.write("secrets/token", VALUE);
    place.write("hushpipe.yaml", place.fill(ON_TERMINAL));
    place
}

#[test]
fn a_program_on_a_terminal_has_one_of_its_own() {
    let hushpipe = env!("CARGO_BIN_EXE_hushpipe");
    let script = "test -t 0 && test -t 1 && test -t 2 && echo three; read -r v <&3; echo $v; echo $v >/dev/tty; \
                  echo on; while read -r line; do echo \"got $line\"; stty size; done; \
                  echo the end; exit 7";
    let command = [hushpipe, "run", "--", "/bin/bash", "-c", script];
    let mut terminal = Terminal::within(place(), &command);
    terminal.expect("three");
    terminal.expect("[redacted:token]");
    terminal.expect("[redacted:token]");
    terminal.expect("on");
    terminal.line("a line");
    terminal.expect("got a line");
    terminal.resize(31, 101);
    wait_until(|| {
        terminal.line("size");
        terminal.expect("got size");
        terminal.all().contains("31 101").then_some(())
    })
    .expect("it has the new size");
    terminal.line(VALUE);
    terminal.expect("got [redacted:token]");
    terminal.send(CTRL_D);
    terminal.expect("the end");
    assert_eq!(terminal.ends(), Some(7));
    assert!(!terminal.all().contains(VALUE), "{}", terminal.all());
    assert!(terminal.all().contains("the program wrote secret token"));
}

#[test]
fn keys_of_jobs_work_where_the_program_has_a_terminal_of_its_own() {
    let mut shell = Terminal::within(place(), &["bash", "--norc", "--noediting", "-i"]);
    shell.expect("PROMPT> ");
    shell.run("stty -echo");
    shell.line("$H /bin/bash -c 'read -r v <&3; echo \"one $v\"; cat; echo over $?'");
    shell.expect("one [redacted:token]");
    shell.line("typed");
    shell.expect("typed");
    for _ in 0..2 {
        shell.send(CTRL_Z);
        shell.expect("Stopped");
        shell.expect("PROMPT> ");
        shell.line("stty -a | tr -d '\\n'");
        shell.expect(" icanon");
        shell.expect("PROMPT> ");
        shell.line("fg");
        shell.expect("bash -c");
        shell.line("once more");
        shell.expect("once more");
    }
    // A job in the background that comes back without having been stopped.
    shell.send(CTRL_Z);
    shell.expect("PROMPT> ");
    shell.run("bg");
    shell.line("fg");
    shell.expect("bash -c");
    shell.line("after all");
    shell.expect("after all");
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
    shell.line("stty -a | tr -d '\\n'");
    shell.expect(" icanon");
}

#[test]
fn a_part_of_a_job_writes_to_a_pipe_which_is_reported() {
    let script = "test -t 1 || echo no terminal; read -r v <&3; echo $v";
    let place = place();
    place.write("script", format!("$H /bin/sh -c '{script}'\n"));
    let mut shell = Terminal::within(place, &["bash", "--norc", "--noediting", "-i"]);
    shell.expect("PROMPT> ");
    shell.line("bash script");
    shell.expect("stdout is a terminal");
    shell.expect("no terminal");
    shell.expect("[redacted:token]");
    shell.expect_code(0);
    assert!(!shell.all().contains(VALUE), "{}", shell.all());
}

#[test]
fn editors_pagers_and_bars_work_under_it() {
    let place = place();
    let lines: Vec<String> = (0..200).map(|line| format!("line {line} of it")).collect();
    place.write("text", format!("{}\n{VALUE}\n", lines.join("\n")));
    let tmux = Tmux::within(place, ON_TERMINAL);
    tmux.line("$H vim.tiny --clean -N -n text");
    tmux.expect("line 3 of it");
    tmux.resize(100, 30);
    tmux.asks(":set columns?", "columns=100");
    tmux.press("G");
    tmux.expect("[redacted:token]");
    tmux.press("C-z");
    tmux.expect("Stopped");
    tmux.prompt();
    tmux.line("fg");
    tmux.expect("line 199 of it");
    tmux.line(":q!");
    tmux.expect_code(0);
    tmux.clear();
    tmux.line("$H less text");
    tmux.expect("line 3 of it");
    tmux.press("G");
    tmux.expect("[redacted:token]");
    tmux.press("q");
    tmux.expect_code(0);
    tmux.clear();
    tmux.line("$H top -d 1");
    tmux.expect("PID USER");
    tmux.press("q");
    tmux.expect_code(0);
    tmux.clear();
    let bar = "read -r v <&3; for i in 1 2 3 4 5; do printf \"\\r%s of 5 %s\" $i $v; sleep 0.1; done; echo";
    tmux.line(&format!("$H bash -c '{bar}'"));
    tmux.expect("\n5 of 5 [redacted:token]");
    tmux.expect_code(0);
    assert!(!tmux.screen().contains(VALUE));
}

#[test]
fn psql_works_under_it() {
    let postgres = Postgres::start();
    let place = Place::new();
    place.write("secrets/token", PASSWORD);
    let manifest = ON_TERMINAL.replace("fd: 3, secret: token", "getenv: PGPASSWORD, secret: token");
    let tmux = Tmux::within(place, &manifest);
    let port = postgres.port();
    tmux.line(&format!("$H psql -X -h 127.0.0.1 -p {port} -U postgres"));
    tmux.expect("postgres=#");
    tmux.line(&format!("select '{PASSWORD}' as password;"));
    tmux.expect("[redacted:token]");
    tmux.line("select pg_sleep(1000);");
    let active = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
    wait_until(|| (postgres.query(active) == "1").then_some(())).expect("it sleeps");
    tmux.press("C-c");
    tmux.expect("canceling statement due to user request");
    tmux.line("\\q");
    tmux.expect_code(0);
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
