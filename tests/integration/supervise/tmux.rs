//! What people run in a shell, in a real terminal: an editor, psql, a server to develop with.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::ports::free_port;
use crate::harness::postgres::{PASSWORD, Postgres};
use crate::harness::tmux::Tmux;
use crate::harness::{Place, is_alive, wait_until};

#[test]
fn an_editor_follows_the_windows_size_and_comes_back_from_a_stop() {
    let tmux = Tmux::new();
    tmux.line("$H vim.tiny --clean -N -n text");
    tmux.expect("\n~\n");
    tmux.resize(100, 30);
    tmux.asks(":set columns?", "columns=100");
    tmux.types("ifrom the editor");
    tmux.expect("from the editor");
    tmux.press("Escape");
    tmux.press("C-z");
    tmux.expect("Stopped");
    tmux.prompt();
    tmux.clear();
    tmux.line("stty size");
    tmux.expect("30 100");
    tmux.resize(90, 20);
    tmux.line("fg");
    tmux.expect("from the editor");
    tmux.asks(":set columns?", "columns=90");
    tmux.line(":wq");
    tmux.expect_code(0);
    assert_eq!(tmux.place().read("text"), "from the editor\n");
}

#[test]
fn ctrl_c_in_psql_cancels_the_statement_once_and_psql_goes_on() {
    let postgres = Postgres::start();
    let place = Place::new();
    place.write("secrets/password", PASSWORD);
    let manifest = "version: 1\nservice: test\n\
        stores: { dir: { type: directory, path: '{place}/secrets' } }\n\
        secrets: { password: { store: dir, key: password } }\n\
        deliver:\n\
        \x20 - { file: '{place}/private/pgpass', content: '*:*:*:*:{{ password | pgpass }}' }\n\
        isolation: private\n\
        run: { env: { set: { PGPASSFILE: '{place}/private/pgpass', PAGER: cat } } }\n";
    let tmux = Tmux::within(place, manifest);
    let port = postgres.port();
    tmux.line(&format!("$H psql -X -h 127.0.0.1 -p {port} -U postgres"));
    tmux.expect("postgres=#");
    tmux.line("select pg_sleep(1000);");
    let active = "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
    wait_until(|| (postgres.query(active) == "1").then_some(())).expect("it sleeps");
    tmux.press("C-c");
    tmux.expect("canceling statement due to user request");
    tmux.line("select 'still ' || 'here';");
    tmux.expect("still here");
    assert_eq!(tmux.screen().matches("Cancel request sent").count(), 1);
    tmux.press("C-z");
    tmux.expect("Stopped");
    tmux.prompt();
    tmux.line("fg");
    tmux.line("select 6 * 7;");
    tmux.expect("42");
    tmux.line("\\q");
    tmux.expect_code(0);
}

/// A terminal where hushpipe is in front of a web server that gives `served`.
fn with_server() -> (Tmux, u16) {
    let tmux = Tmux::new();
    tmux.place().write("index.html", "served");
    let port = free_port();
    tmux.line(&format!(
        "$H python3 -m http.server --bind 127.0.0.1 {port}"
    ));
    tmux.expect("Serving HTTP");
    (tmux, port)
}

#[test]
fn ctrl_c_ends_a_server_once_and_the_shell_gets_its_code() {
    let (tmux, port) = with_server();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("served"), "{answer}");
    tmux.press("C-c");
    tmux.expect("Keyboard interrupt received, exiting.");
    tmux.expect_code(0);
    let screen = tmux.screen();
    assert_eq!(screen.matches("Keyboard interrupt").count(), 1, "{screen}");
    assert!(!screen.contains("Traceback"), "{screen}");
}

#[test]
fn a_server_is_stopped_and_goes_on_in_the_background_and_the_foreground() {
    let (tmux, port) = with_server();
    tmux.press("C-z");
    tmux.expect("Stopped");
    tmux.line("bg");
    tmux.expect("&");
    // In the background it serves, and the shell has the terminal.
    tmux.line(&format!("curl --silent http://127.0.0.1:{port}/"));
    tmux.expect("served");
    tmux.clear();
    tmux.line("fg");
    tmux.expect("http.server");
    tmux.press("C-c");
    tmux.expect("Keyboard interrupt received, exiting.");
    tmux.expect_code(0);
}

#[test]
fn a_pipeline_with_hushpipe_in_its_middle_is_stopped_and_continued_as_one() {
    let tmux = Tmux::new();
    // What is typed before the line runs would be lost.
    tmux.line("cat | $H sh -c 'echo r\"\"eady >&2; exec sed -u s/^/=/' | sed -u s/$/./");
    tmux.expect("\nready");
    tmux.line("first");
    tmux.expect("=first.");
    tmux.press("C-z");
    tmux.expect("Stopped");
    tmux.clear();
    tmux.line("fg");
    tmux.expect("cat | $H");
    tmux.line("second");
    tmux.expect("=second.");
    tmux.press("C-d");
    tmux.expect_code(0);
    // Who reads no more ends who writes, as without hushpipe.
    tmux.clear();
    tmux.line("$H yes | head -n 1; echo ${PIPESTATUS[*]}.");
    tmux.expect("y\n141 0.");
}

#[test]
fn a_shell_under_hushpipe_has_jobs_of_its_own_in_a_window() {
    let tmux = Tmux::new();
    tmux.line("$H bash --norc");
    tmux.clear();
    tmux.line("sh -c 'echo f\"\"irst; exec sleep 1000'");
    tmux.expect("\nfirst");
    tmux.press("C-z");
    tmux.expect("Stopped");
    tmux.line("bg; jobs");
    tmux.expect("Running");
    tmux.line("kill %1; wait");
    tmux.clear();
    tmux.line("sh -c 'echo s\"\"econd; exec sleep 1000'");
    tmux.expect("\nsecond");
    tmux.press("C-c");
    tmux.expect_code(130);
    tmux.line("exit 7");
    tmux.expect_code(7);
}

/// Waits for the process ids of the program and of hushpipe, which the program writes.
fn pids(place: &Place) -> [i32; 2] {
    let read = || {
        let text = fs::read_to_string(place.join("pids")).ok()?;
        let (program, hushpipe) = text.strip_suffix('\n')?.split_once(' ')?;
        Some([program.parse().ok()?, hushpipe.parse().ok()?])
    };
    wait_until(read).expect("the program writes its process id")
}

const PROGRAM: &str = "sh -c 'echo $$ $PPID > pids; exec sleep 1000'";

#[test]
fn when_the_terminal_hangs_up_the_program_ends_and_nobody_stays() {
    for start in [
        format!("$H {PROGRAM}"),
        format!("$H {PROGRAM} &"),
        format!("echo | $H {PROGRAM} | cat"),
    ] {
        let tmux = Tmux::new();
        tmux.line(&start);
        let pids = pids(tmux.place());
        tmux.close();
        let gone = || pids.iter().all(|pid| !is_alive(*pid));
        wait_until(|| gone().then_some(())).unwrap_or_else(|| panic!("{start}: it stays"));
    }
}

#[test]
fn nohup_keeps_hushpipe_and_the_program_when_the_terminal_hangs_up() {
    let tmux = Tmux::new();
    // bash sends no SIGHUP to what it has disowned; the kernel sends it to the foreground's group.
    tmux.line(&format!("nohup $H {PROGRAM}"));
    let [program, hushpipe] = pids(tmux.place());
    let shell = fs::read_to_string(format!("/proc/{hushpipe}/stat")).unwrap();
    let (_, rest) = shell.rsplit_once(')').unwrap();
    let shell: i32 = rest
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    tmux.close();
    wait_until(|| (!is_alive(shell)).then_some(())).expect("the shell ends");
    assert!(is_alive(program) && is_alive(hushpipe));
    kill(Pid::from_raw(hushpipe), Signal::SIGTERM).unwrap();
    let gone = || !is_alive(program) && !is_alive(hushpipe);
    wait_until(|| gone().then_some(())).expect("it still can be ended");
}
