use super::*;

#[test]
fn directory_and_mask_are_set() {
    let mut spec = shell("pwd; umask");
    spec.cwd = Some(text("/proc"));
    spec.umask = Some(0o027);
    assert_eq!(run_to_end(spec).0, "/proc\n0027\n");
}

#[test]
fn a_missing_directory_is_named() {
    let mut spec = shell("");
    spec.cwd = Some(text("/nonexistent/place"));
    let error = fails(spec);
    assert_eq!(error.step, Step::Cwd("/nonexistent/place".into()));
    assert!(error.to_string().contains("/nonexistent/place"), "{error}");
}

#[test]
fn no_new_privs_is_as_asked() {
    let seen = |wanted| {
        let mut spec = shell("exec grep NoNewPrivs /proc/self/status");
        spec.no_new_privs = wanted;
        run_to_end(spec).0
    };
    assert_eq!(seen(true), "NoNewPrivs:\t1\n");
    assert_eq!(seen(false), "NoNewPrivs:\t0\n");
}

#[test]
fn limits_are_set() {
    let mut spec = shell("ulimit -n; ulimit -Hn; ulimit -f");
    spec.limits = vec![
        Limit::new("nofile", Some(77), Some(88)).unwrap(),
        Limit::new("fsize", Some(512), None).unwrap(),
    ];
    assert_eq!(run_to_end(spec).0, "77\n88\n1\n");
}

#[test]
fn a_limit_that_cannot_be_set_is_named() {
    let error = apart(|| {
        become_nobody();
        let mut spec = shell("");
        spec.limits = vec![Limit::new("nice", Some(40), Some(40)).unwrap()];
        fails(spec)
    });
    assert_eq!(error.step, Step::Limit("nice"));
    assert_eq!(error.errno, Errno::PERM);
}

#[test]
fn a_core_limit_of_one_stops_piped_handlers_too() {
    let limits = || shell("exec grep 'core file' /proc/self/limits");
    let mut spec = limits();
    spec.limits = vec![Limit::new("core", None, None).unwrap()];
    let (output, _) = run_to_end(spec);
    let words: Vec<_> = output.split_whitespace().collect();
    assert_eq!(words, ["Max", "core", "file", "size", "1", "1", "bytes"]);
    let mut spec = limits();
    spec.core_dumps = true;
    let allowed = run_to_end(spec).0;
    assert_ne!(allowed, output);
}

#[test]
fn the_signals_are_as_the_caller_had_them_and_none_is_as_hushpipe_has_it() {
    let set = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap()
    };
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert!(set(&own, "SigIgn") & bit(libc::SIGPIPE) != 0, "{own}");
    // SAFETY: SIG_IGN and SIG_DFL are valid; nothing else in the tests uses SIGUSR2.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    let output = apart(|| {
        std::mem::forget(BlockedSignals::all());
        let mut spec = shell("exec cat /proc/self/status");
        spec.mask = Mask::of(&[libc::SIGURG]);
        run_to_end(spec).0
    });
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_DFL) };
    assert_eq!(set(&output, "SigBlk"), bit(libc::SIGURG));
    assert_eq!(set(&output, "SigPnd") | set(&output, "SigCgt"), 0);
    let own = bit(libc::SIGPIPE) | bit(libc::SIGCHLD);
    let ignored = set(&output, "SigIgn") & (own | bit(libc::SIGUSR2));
    assert_eq!(ignored, bit(libc::SIGUSR2));
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[test]
fn the_callers_mask_is_as_it_was() {
    let mask = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("SigBlk"))
            .unwrap();
        line.to_owned()
    };
    let before = mask();
    run_to_end(shell("exit 0"));
    assert_eq!(mask(), before);
}

#[test]
fn the_group_is_as_asked() {
    let group_of = |group| {
        let mut spec = shell("exit 0");
        spec.group = group;
        let staged = stage(spec).unwrap();
        let pid = Pid::from_raw(staged.pid()).unwrap();
        let found = rustix::process::getpgid(Some(pid)).unwrap();
        wait(&staged.start().unwrap());
        (pid, found)
    };
    let (pid, own) = group_of(Group::Own);
    assert_eq!(own, pid);
    assert_eq!(group_of(Group::Shared).1, rustix::process::getpgrp());
}

#[test]
fn the_death_of_the_parent_is_told_even_after_a_change_of_user() {
    // The kernel's parent of a child is the thread that forked it.
    let child = apart(|| {
        let mut spec = shell("exec sleep 1000");
        spec.parent_death = Some(libc::SIGTERM);
        if is_root() {
            spec.identity = Some(Identity {
                uid: NOBODY,
                gid: NOBODY,
                groups: Vec::new(),
            });
        }
        stage(spec).unwrap().start().unwrap()
    });
    assert_eq!(wait(&child), 128 + libc::SIGTERM);
}

#[test]
fn the_terminal_is_handed_over() {
    let code = in_a_process_of_its_own(|| {
        let terminal = nix::pty::openpty(None, None).unwrap();
        rustix::process::setsid().unwrap();
        rustix::process::ioctl_tiocsctty(&terminal.slave).unwrap();
        let us = rustix::process::getpgrp();
        assert_eq!(rustix::termios::tcgetpgrp(&terminal.slave), Ok(us));
        // Of /proc/PID/stat: the process group, and the terminal's foreground group.
        let mut spec = shell("set -- $(cat /proc/$$/stat); test $5 = $$ && test $8 = $$");
        spec.group = Group::OwnForeground;
        let code = wait(&stage(spec).unwrap().start().unwrap());
        // Closing it would send SIGHUP to this process, its session's leader.
        std::mem::forget(terminal);
        code
    });
    assert_eq!(code, 0);
}

#[test]
fn without_a_terminal_there_is_none_to_hand_over() {
    let code = in_a_process_of_its_own(|| {
        rustix::process::setsid().unwrap();
        let mut spec = shell("");
        spec.group = Group::OwnForeground;
        i32::from(fails(spec).step == Step::Foreground)
    });
    assert_eq!(code, 1);
}

#[test]
fn a_child_whose_parent_is_gone_already_ends() {
    let mut spec = shell("exit 0");
    spec.parent_death = Some(libc::SIGTERM);
    let mut prepared = Prepared::new(spec).unwrap();
    prepared.parent = Pid::INIT;
    let code = in_a_process_of_its_own(|| {
        finish::finish(&mut prepared, None);
        0
    });
    assert_eq!(code, 126);
}
