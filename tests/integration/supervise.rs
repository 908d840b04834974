//! The supervisor, as the program, the shell and the container around it see it.

mod confined;
mod directory;
mod inherited;
mod leftovers;
mod signals;
mod terminal;
mod tmux;
mod unread;

use nix::sys::signal::Signal;

use crate::harness::{Hushpipe, Running};

/// hushpipe with `run:` of this, in YAML's flow style, in front of a program.
fn supervise(run: &str, command: &[&str]) -> Hushpipe {
    let manifest = format!("version: 1\nservice: test\nrun: {{ {run} }}\n");
    Hushpipe::new()
        .manifest(&manifest)
        .args(["run", "--"])
        .args(command.iter().copied())
}

/// The program is a shell script.
fn script(run: &str, text: &str) -> Hushpipe {
    supervise(run, &["bash", "-c", text])
}

/// The probe, ready for signals.
fn serving(run: &str) -> Running {
    let running = supervise(run, &["{probe}", "on", "TERM", "exit:9", "serve"]).spawn();
    running.wait_for_line("ready");
    running
}

#[test]
fn every_exit_code_is_the_programs() {
    for code in (0..=255).step_by(5).chain([1, 126, 127, 128, 254]) {
        script("", &format!("exit {code}")).run().code(code);
    }
}

#[test]
fn a_death_by_a_signal_is_told_as_shells_do() {
    let lethal = (1..=31).filter(|n| {
        !matches!(
            Signal::try_from(*n),
            Ok(Signal::SIGCHLD
                | Signal::SIGCONT
                | Signal::SIGURG
                | Signal::SIGWINCH
                | Signal::SIGSTOP
                | Signal::SIGTSTP
                | Signal::SIGTTIN
                | Signal::SIGTTOU)
        )
    });
    for number in lethal.chain([34, 64]) {
        // Not bash, which ignores SIGQUIT.
        let kill = format!("kill -{number} $$");
        supervise("", &["sh", "-c", &kill]).run().code(128 + number);
    }
}

#[test]
fn when_hushpipe_is_killed_the_program_is_too() {
    let running = serving("");
    let program = running.program();
    running.signal(Signal::SIGKILL);
    running.until("the program is gone", || {
        (!crate::harness::is_alive(program)).then_some(())
    });
    running.wait().killed_by(Signal::SIGKILL);
}

#[test]
fn a_program_that_stops_itself_without_a_terminal_leaves_hushpipe_at_work() {
    let running = script("", "kill -STOP $$; exit 6").spawn();
    let program = running.program();
    running.until("it is stopped", || {
        let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).ok()?;
        stat.contains(") T ").then_some(())
    });
    running.signal(Signal::SIGCONT);
    running.wait().code(6);
}
