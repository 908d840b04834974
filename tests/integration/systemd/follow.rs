//! MAINPID: another process in the program's place.

use nix::sys::signal::Signal;

use super::start;
use crate::harness::descendants;

/// Starts a child in a session of its own that ends with 7 at SIGTERM.
const CHILD: &str = "child = os.fork()\n\
    if child == 0:\n    \
        os.setsid()\n    \
        tell('child', os.getpid())\n    \
        wait_for(signal.SIGTERM)\n    \
        tell('child ends')\n    \
        os._exit(7)\n";

#[test]
fn a_named_process_is_the_program_from_then_on() {
    let program = format!("{CHILD}say('MAINPID=%d\\nREADY=1' % child)\ntime.sleep(0.05)\n");
    let (running, systemd) = start("", "", &program);
    let line = running.wait_for_line("child");
    let child: i32 = line.trim_start_matches("child ").parse().unwrap();
    // systemd's main process stays hushpipe.
    assert_eq!(systemd.hears_text(), "READY=1");
    running.wait_for_stderr(&format!("the program is process {child}"));
    running.until("the first process is gone", || {
        (descendants(running.pid()) == [child]).then_some(())
    });
    let output = running.stop().code(7).stdout_has("child ends");
    assert_eq!(
        output.stderr().matches("ended with code").count(),
        1,
        "{}",
        output.stderr()
    );
    assert_eq!(systemd.rest(), [""; 0]);
}

#[test]
fn its_end_is_the_programs_end_even_where_another_reaps_it() {
    let program = format!(
        "{CHILD}say('MAINPID=%d' % child)\n\
         pid, status = os.waitpid(child, 0)\n\
         tell('reaped', os.waitstatus_to_exitcode(status))\n\
         wait_for(signal.SIGTERM)\nsys.exit(5)"
    );
    let (running, _systemd) = start("", "", &program);
    let first = running.program();
    running.wait_for_stderr("the program is process");
    running.signal(Signal::SIGTERM);
    running.wait_for_line("reaped 7");
    // Its parent is the program again, and is to stop as well.
    running.wait_for_stderr(&format!("the program is process {first}"));
    running.wait().code(5);
}

#[test]
fn what_does_not_descend_from_the_program_is_not_followed() {
    let program = "say('MAINPID=1')\nsay('MAINPID=%d' % os.getppid())\nsay('MAINPID=4194303')\n\
                   say('MAINPID=%d' % os.getpid())\nsay('READY=1')\nwait_for(signal.SIGTERM)";
    let (running, systemd) = start("", "", program);
    assert_eq!(systemd.hears_text(), "READY=1");
    let output = running.stop().success();
    let stderr = output.stderr();
    assert_eq!(stderr.matches("it is not followed").count(), 3, "{stderr}");
    assert!(!stderr.contains("the program is process"), "{stderr}");
}

#[test]
fn a_program_that_names_others_without_an_end_does_not_fill_the_log() {
    let program = "for _ in range(100): say('MAINPID=1')\nsay('READY=1')\nwait_for(signal.SIGTERM)";
    let (running, systemd) = start("", "", program);
    assert_eq!(systemd.hears_text(), "READY=1");
    let stderr = running.stop().success().stderr();
    assert_eq!(stderr.matches("it is not followed").count(), 8, "{stderr}");
    assert_eq!(stderr.matches("more of them are not reported").count(), 1);
}

#[test]
fn children_are_heard_until_the_program_forbids_it() {
    let program = "def child(text):\n    \
        pid = os.fork()\n    \
        if pid == 0:\n        say(text)\n        os._exit(0)\n    \
        os.waitpid(pid, 0)\n\
        say('READY=1')\nchild('STATUS=one')\nsay('NOTIFYACCESS=main')\nchild('STATUS=two')\n\
        say('STATUS=three')";
    let (running, systemd) = start("", "", program);
    running.wait().success();
    let heard = systemd.rest();
    // A child that is gone before hushpipe looks cannot be told from a stranger.
    assert!(
        heard == ["READY=1", "STATUS=one", "STATUS=three"] || heard == ["READY=1", "STATUS=three"],
        "{heard:?}"
    );
}
