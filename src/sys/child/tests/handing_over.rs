use super::*;

/// A pipe with this text in it, and no writer.
fn filled(content: &str) -> OwnedFd {
    let (reader, writer) = pipe();
    fs::File::from(writer)
        .write_all(content.as_bytes())
        .unwrap();
    reader.into()
}

/// The fd at a number from `least` on.
fn above(fd: &OwnedFd, least: RawFd) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(fd, least).unwrap()
}

#[test]
fn fds_arrive_at_their_numbers() {
    let mut spec = shell("cat <&0; cat <&7; cat <&9");
    spec.fds = vec![(filled("a"), 0), (filled("b"), 7), (filled("c"), 9)];
    assert_eq!(run_to_end(spec).0, "abc");
}

#[test]
fn fds_that_stand_in_each_others_place_arrive() {
    let (first, second) = (above(&filled("first"), 300), above(&filled("second"), 300));
    let third = above(&filled("third"), 300);
    let numbers = [first.as_raw_fd(), second.as_raw_fd(), third.as_raw_fd()];
    let [a, b, c] = numbers;
    let mut spec = shell(&format!("cat /dev/fd/{a} /dev/fd/{b} /dev/fd/{c}"));
    spec.fds = vec![(first, b), (second, c), (third, a)];
    assert_eq!(run_to_end(spec).0, "thirdfirstsecond");
}

#[test]
fn an_fd_that_is_at_its_number_already_stays_open() {
    let fd = above(&filled("here"), 350);
    let number = fd.as_raw_fd();
    let mut spec = shell(&format!("cat /dev/fd/{number}"));
    spec.fds = vec![(fd, number)];
    assert_eq!(run_to_end(spec).0, "here");
}

#[test]
fn the_channel_makes_room() {
    // The channel gets one of the low numbers, and all of them are to be something else's.
    let full = || {
        let fds = (3..200).map(|number| (above(&filled("x"), 600), number));
        fds.collect::<Vec<_>>()
    };
    let mut spec = shell("cat <&3; cat <&8; exit 5");
    spec.fds = full();
    let (output, code) = run_to_end(spec);
    assert_eq!((output.as_str(), code), ("xx", 5));
    let mut spec = shell("");
    spec.program = text("/nonexistent/program");
    spec.fds = full();
    assert_eq!(fails(spec).errno, Errno::NOENT);
}

#[test]
fn what_was_not_declared_is_closed() {
    let stray = above(&filled("stray"), 400);
    rustix::io::fcntl_setfd(&stray, rustix::io::FdFlags::empty()).unwrap();
    let mut spec = shell("for fd in /proc/$$/fd/*; do echo ${fd##*/}; done");
    spec.fds = vec![(filled("x"), 5)];
    let (output, _) = run_to_end(spec);
    let open: Vec<i32> = output.lines().map(|line| line.parse().unwrap()).collect();
    // The shell reads the directory itself by the lowest free number, and keeps copies from 10 on.
    let seen: Vec<_> = open
        .into_iter()
        .filter(|fd| *fd < 10 || *fd >= 300)
        .collect();
    assert_eq!(seen, [0, 1, 2, 3, 5]);
}

#[test]
fn without_close_range_it_is_closed_as_well() {
    let stray = above(&filled("stray"), 400);
    rustix::io::fcntl_setfd(&stray, rustix::io::FdFlags::empty()).unwrap();
    let number = stray.as_raw_fd();
    let output = apart(|| {
        refuse(libc::SYS_close_range, libc::ENOSYS);
        run_to_end(shell(&format!(
            "test -e /proc/$$/fd/{number} || echo closed"
        )))
        .0
    });
    assert_eq!(output, "closed\n");
}

#[test]
fn without_proc_every_number_is_tried() {
    let stray = above(&filled("stray"), 400);
    rustix::io::fcntl_setfd(&stray, rustix::io::FdFlags::empty()).unwrap();
    let number = stray.as_raw_fd();
    let output = apart(|| {
        let mut spec = shell(&format!("test -e /proc/$$/fd/{number} || echo closed"));
        spec.limits = vec![Limit::new("nofile", Some(1000), Some(1000)).unwrap()];
        refuse(libc::SYS_close_range, libc::EPERM);
        refuse(libc::SYS_getdents64, libc::ENOENT);
        run_to_end(spec).0
    });
    assert_eq!(output, "closed\n");
}

#[test]
fn an_exhausted_table_of_fds_is_told() {
    let error = in_a_process_of_its_own(|| {
        let limit = rustix::process::Rlimit {
            current: Some(64),
            maximum: Some(64),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let spec = shell("");
        let null = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        while let Ok(fd) = null.try_clone() {
            std::mem::forget(fd);
        }
        let error = stage(spec).err().unwrap();
        i32::from(error.errno == Errno::MFILE && error.to_string().contains("ulimit -n"))
    });
    assert_eq!(error, 1);
}

#[test]
fn standard_fds_that_are_closed_are_filled() {
    let opened = in_a_process_of_its_own(|| {
        let closed = filled("x").as_raw_fd();
        for number in 0..3 {
            // SAFETY: this process is about to end, and uses no standard stream before.
            unsafe { libc::close(number) };
        }
        crate::sys::fd::ensure_standard().unwrap();
        let is_open = |number: &i32| Path::new(&format!("/proc/self/fd/{number}")).exists();
        let next = filled("x").as_raw_fd();
        i32::from((0..3).all(|number| is_open(&number)) && next == closed)
    });
    assert_eq!(opened, 1);
}

#[test]
fn a_number_beyond_the_limit_is_refused_before_anything_is_forked() {
    let number = i32::try_from(crate::sys::limits::open_files().min(1 << 30)).unwrap();
    let mut spec = shell("");
    spec.fds = vec![(filled("x"), number)];
    let error = stage(spec).err().unwrap();
    assert_eq!(error.step, Step::Fd(number));
    assert!(error.to_string().contains("ulimit -n"), "{error}");
}

#[test]
fn the_highest_number_can_be_had() {
    let limit = crate::sys::limits::open_files();
    let number = i32::try_from(limit.min(1 << 20)).unwrap() - 1;
    let mut spec = shell(&format!("cat /dev/fd/{number}"));
    spec.fds = vec![(filled("top"), number)];
    assert_eq!(run_to_end(spec).0, "top");
}

#[test]
fn a_lowered_limit_does_not_hinder_the_handing_over() {
    let mut spec = shell("ulimit -n; cat /dev/fd/100");
    spec.fds = vec![(filled("x"), 100)];
    spec.limits = vec![Limit::new("nofile", Some(150), Some(150)).unwrap()];
    assert_eq!(run_to_end(spec).0, "150\nx");
}
