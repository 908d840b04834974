//! Job control: hushpipe in an interactive shell, in a pipeline, and as the leader of a session.

use std::process::Command;

use crate::harness::terminal::{CTRL_C, CTRL_D, CTRL_Z, Terminal};
use crate::harness::{Place, is_alive, wait_until};

#[test]
fn ctrl_c_ends_the_program_and_the_shell_is_told() {
    let mut shell = Terminal::shell();
    shell.line("$H sh -c 'echo ready; exec sleep 1000'");
    shell.expect("ready");
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
}

/// Root's shell, where a program of another user runs: supervised, and in hushpipe's place.
#[test]
fn a_program_of_another_user_cannot_type_into_the_shell_of_root() {
    let mut shell = Terminal::shell();
    let probe = shell.place.probe();
    let probe = probe.to_str().unwrap();
    for (mode, no_new_privs) in [("supervise", true), ("exec", true), ("supervise", false)] {
        shell.place.write(
            "hushpipe.yaml",
            format!(
                "version: 1\nservice: t\nmode: {mode}\n\
                 run: {{ command: [\"{probe}\", type, \"echo injected\\n\"], user: '1000', \
                 group: '1000', no_new_privs: {no_new_privs} }}\n"
            ),
        );
        let hushpipe = env!("CARGO_BIN_EXE_hushpipe");
        shell.line(&format!("{hushpipe} run"));
        shell.expect("EPERM");
        shell.expect("PROMPT> ");
        assert!(!shell.all().contains("injected"), "{mode}: {}", shell.all());
    }
}

#[test]
fn ctrl_z_stops_both_and_fg_and_bg_continue_both() {
    let mut shell = Terminal::shell();
    shell.line("$H cat");
    shell.line("one");
    shell.expect("one");
    shell.suspend();
    shell.expect_code(148);
    shell.line("jobs");
    shell.expect("Stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("two");
    shell.expect("two");
    shell.suspend();
    // In the background it reads the terminal, is stopped for it, and the shell is told.
    shell.run("bg");
    shell.line("until jobs | grep -q Stopped; do sleep 0.05; done; echo job stopped");
    shell.expect("job stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("three");
    shell.expect("three");
    shell.send(CTRL_D);
    shell.expect("PROMPT> ");
    shell.expect_code(0);
}

#[test]
fn a_job_from_the_background_gets_the_terminal_with_fg() {
    let mut shell = Terminal::shell();
    shell.run("$H cat &");
    shell.line("until jobs | grep -q Stopped; do sleep 0.05; done; echo job stopped");
    shell.expect("job stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("four");
    shell.expect("four");
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
    // It runs on in the background, and wants the terminal only after fg, of which no signal tells.
    shell.run("$H sh -c 'read x < go; read y; echo got $y' & mkfifo go");
    shell.run("sh -c 'sleep 0.2; echo > go' &");
    shell.line("fg %1");
    shell.line("five");
    shell.expect("got five");
    shell.expect("PROMPT> ");
}

/// As gVisor, some containers and some seccomp filters have it: an errno that tcgetpgrp(3) does not
/// name.
#[test]
fn a_terminal_that_does_not_answer_is_told_of_and_ends_nothing() {
    let place = Place::new();
    let (probe, binary) = (place.fill("{probe}"), env!("CARGO_BIN_EXE_hushpipe"));
    let enxio = libc::ENXIO.to_string();
    let text = "kill -TSTP $$; echo it goes on; exit 6";
    place.write("hushpipe.yaml", "version: 1\nservice: test\n");
    let words = [
        probe.as_str(),
        "refuse-terminal",
        &enxio,
        binary,
        "run",
        "--",
    ];
    let words = [&words[..], &["sh", "-c", text]].concat();
    let mut terminal = Terminal::within(place, &words);
    terminal.expect("cannot ask the terminal whose turn it is");
    terminal.expect("it goes on");
    let status = terminal.child.wait().unwrap();
    assert_eq!(status.code(), Some(6));
}

#[test]
fn a_shell_under_hushpipe_has_job_control_of_its_own() {
    let mut shell = Terminal::shell();
    shell.run("$H bash --norc --noediting -i");
    shell.line("sh -c 'echo ready; exec sleep 1000'");
    shell.expect("ready");
    shell.suspend();
    shell.resume();
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    // It suspends itself: the outer shell has the terminal again.
    shell.line("suspend");
    shell.expect("Stopped");
    shell.expect("PROMPT> ");
    shell.line("fg");
    shell.line("exit 7");
    shell.expect("exit");
    shell.expect("PROMPT> ");
    shell.expect_code(7);
}

#[test]
fn a_pipeline_is_one_job_and_gets_each_signal_once() {
    let mut shell = Terminal::shell();
    shell.line("echo first | $H sh -c 'cat; exec sleep 1000' | cat");
    shell.expect("first");
    shell.suspend();
    shell.resume();
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");

    let counter = "import signal, time\n\
        n = []\n\
        signal.signal(signal.SIGINT, lambda *_: n.append(1))\n\
        print('ready', flush=True)\n\
        while not n: time.sleep(0.01)\n\
        time.sleep(0.5)\n\
        print('ints', len(n), '.')\n";
    shell.place.write("counter.py", counter);
    shell.line("echo | $H python3 counter.py");
    shell.expect("ready");
    shell.send(CTRL_C);
    shell.expect("ints 1 .");
    shell.expect("PROMPT> ");
}

#[test]
fn a_script_and_what_it_runs_are_one_job() {
    let mut shell = Terminal::shell();
    shell
        .place
        .write("script.sh", "$H sh -c 'echo ready; exec sleep 1000'\n");
    shell.line("sh script.sh");
    shell.expect("ready");
    shell.suspend();
    shell.resume();
    shell.send(CTRL_C);
    shell.expect("PROMPT> ");
    shell.expect_code(130);
}

#[test]
fn a_session_leader_gives_the_terminal_and_passes_a_hang_up_on() {
    let hushpipe = env!("CARGO_BIN_EXE_hushpipe");
    let mut terminal = Terminal::of(&[hushpipe, "run"]);
    terminal.line("one");
    terminal.expect("one\r\none");
    // Nobody could continue it.
    terminal.send(CTRL_Z);
    terminal.line("two");
    terminal.expect("two\r\ntwo");
    terminal.send(CTRL_C);
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));

    let mut terminal = Terminal::of(&[
        hushpipe,
        "run",
        "--",
        "sh",
        "-c",
        "echo $$.; exec sleep 1000",
    ]);
    terminal.expect(".");
    // setsid(1) has become hushpipe.
    let hushpipe = terminal.child.id() as i32;
    let program = crate::harness::children(hushpipe)[0];
    // The reader's copy keeps the terminal open: a hang-up as the kernel tells the session's leader.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(hushpipe),
        nix::sys::signal::Signal::SIGHUP,
    )
    .unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(129));
    wait_until(|| (!is_alive(program)).then_some(())).unwrap();
}

/// Counts its signals by name until signal 34 comes, then says how many there were.
const COUNTER: &str = "import signal, time\n\
    seen = {}\n\
    def note(number, frame):\n\
    \x20 name = signal.Signals(number).name\n\
    \x20 seen[name] = seen.get(name, 0) + 1\n\
    for n in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT):\n\
    \x20 signal.signal(n, note)\n\
    done = []\n\
    signal.signal(34, lambda *_: done.append(1))\n\
    print('ready', flush=True)\n\
    while not done: time.sleep(0.01)\n\
    seen['SIGCONT'] = min(seen['SIGCONT'], 1)\n\
    print('seen', *sorted(f'{n}={c}' for n, c in seen.items()), '.')\n";

#[test]
fn each_signal_of_the_terminal_comes_once() {
    // SIGCONT at least: hushpipe's own may come beside the shell's, and continues what goes on already.
    for start in [
        "$H python3 counter.py",
        "sh -c \"trap : INT QUIT; $H python3 counter.py; :\"",
        "echo | $H python3 counter.py",
        "$H python3 counter.py | sh -c 'trap \"\" INT QUIT; cat'",
    ] {
        let mut shell = Terminal::shell();
        shell.place.write("counter.py", COUNTER);
        shell.line(start);
        shell.expect("ready");
        shell.send(CTRL_C);
        shell.send("\x1c");
        shell.resize(40, 100);
        shell.suspend();
        shell.resume();
        // Passed on after all others that hushpipe may have: the lowest number comes first.
        let last = ["-34".to_owned(), shell.program("hushpipe").to_string()];
        assert!(Command::new("kill").args(last).status().unwrap().success());
        shell.expect("seen SIGCONT=1 SIGINT=1 SIGQUIT=1 SIGWINCH=1 .");
    }
}

#[test]
fn pipes_on_both_sides_end_as_without_hushpipe() {
    let mut shell = Terminal::shell();
    let mut check = |line: &str, shown: &str, codes: &str| {
        shell.line(&format!("{line}; echo codes=${{PIPESTATUS[*]}}."));
        shell.expect(shown);
        shell.expect(&format!("codes={codes}."));
        shell.expect("PROMPT> ");
    };
    check("printf 'a\\nb\\n' | $H cat | tail -1", "b", "0 0 0");
    check("false | $H sh -c 'cat; exit 3' | cat", "", "1 3 0");
    check("$H yes | head -1", "y", "141 0");
    check("yes | $H head -1", "y", "141 0");
    check(
        "$H sh -c 'yes; echo >&2 yes=$?' | head -1",
        "yes=141",
        "0 0",
    );
    check("$H sh -c 'kill -SEGV $$' | cat", "", "139 0");
}

#[test]
fn a_job_in_the_background_writes_is_killed_and_waited_for() {
    let mut shell = Terminal::shell();
    shell.line("$H sh -c 'echo from the back; exec sleep 1000' &");
    shell.expect("from the back");
    shell.line("kill %1; wait %1; echo waited=$?.");
    shell.expect("waited=143.");
    shell.line("$H sh -c 'exit 9' & wait $!; echo waited=$?.");
    shell.expect("waited=9.");
    shell.run("jobs");
}
