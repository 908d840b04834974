use std::os::unix::fs::symlink;

use super::*;
use crate::sys::mount::{Point, PrivateMount};

fn mount_on(target: &Path) -> PrivateMount {
    mount_at(Point::of(target).unwrap())
}

fn mount_at(point: Point) -> PrivateMount {
    PrivateMount {
        point,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mode: 0o700,
        read_only: false,
    }
}

fn put(directory: &OwnedFd, name: &str, content: &str) {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o400)).unwrap();
    fs::File::from(file).write_all(content.as_bytes()).unwrap();
}

/// Starts a program with a private mount, puts a file there, and another one while it runs; what the
/// program saw, and what everybody else did.
fn secret_on_private_mount(target: &Path) -> (String, usize) {
    let (input, go) = pipe();
    let script = "cat $T/one; read word; cat $T/one; grep \" $T \" /proc/self/mountinfo; id -u";
    let mut spec = shell(script);
    spec.env.push(text(&format!("T={}", target.display())));
    spec.mounts = vec![mount_on(target)];
    let (mut reader, writer) = pipe();
    spec.fds = vec![(input.into(), 0), (writer, 1)];
    let staged = stage(spec).unwrap();
    let directory = staged.directories()[0].try_clone().unwrap();
    put(&directory, "one", "old\n");
    let child = staged.start().unwrap();
    let mut first = [0; 4];
    reader.read_exact(&mut first).unwrap();
    put(&directory, "next", "new\n");
    rustix::fs::renameat(&directory, "next", &directory, "one").unwrap();
    let outside = fs::read_dir(target).map_or(0, Iterator::count);
    fs::File::from(go).write_all(b"go\n").unwrap();
    let mut output = String::from_utf8(first.to_vec()).unwrap();
    reader.read_to_string(&mut output).unwrap();
    assert_eq!(wait(&child), 0);
    (output, outside)
}

fn check(output: &str, outside: usize) {
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..2], ["old", "new"], "{output}");
    assert_eq!(lines.len(), 4, "{output}");
    for flag in ["nosuid", "nodev", "noexec", "tmpfs", "mode=700"] {
        assert!(lines[2].contains(flag), "{flag}: {output}");
    }
    assert_eq!(outside, 0);
    let ours = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let target = lines[2].split(' ').nth(4).unwrap();
    assert!(!ours.contains(target));
}

#[test]
fn the_program_alone_sees_a_private_mount() {
    let target = open_directory();
    let (output, outside) = secret_on_private_mount(target.path());
    check(&output, outside);
}

#[test]
fn an_unprivileged_user_gets_it_by_a_user_namespace() {
    if !is_root() {
        return; // then the test above has done it
    }
    let target = open_directory();
    let (output, outside) = apart(|| {
        // After the change of user this process is not dumpable, as hushpipe never is.
        become_nobody();
        secret_on_private_mount(target.path())
    });
    check(&output, outside);
    assert!(output.ends_with("\n65534\n"), "{output}");
}

#[test]
fn programs_one_after_the_other_have_the_user_namespace_that_was_made() {
    let target = open_directory();
    let (links, kept) = apart(|| {
        become_nobody();
        let users = UserNamespace::make();
        let links = [(), ()].map(|()| {
            let mut spec = shell("readlink /proc/self/ns/user; id -u");
            spec.mounts = vec![mount_on(target.path())];
            spec.users = Some(users.clone());
            let (mut reader, writer) = pipe();
            spec.fds = vec![(writer, 1)];
            let child = stage(spec).unwrap().start().unwrap();
            let mut output = String::new();
            reader.read_to_string(&mut output).unwrap();
            assert_eq!(wait(&child), 0);
            output
        });
        let fd = users.opened().unwrap().as_raw_fd();
        (links, fs::read_link(format!("/proc/self/fd/{fd}")).unwrap())
    });
    let uid = if is_root() {
        NOBODY
    } else {
        rustix::process::geteuid().as_raw()
    };
    let expected = format!("{}\n{uid}\n", kept.display());
    assert_eq!(links, [expected.clone(), expected]);
}

#[test]
fn a_user_namespace_that_was_refused_is_told_when_it_is_needed() {
    let target = open_directory();
    let error = apart(|| {
        become_nobody();
        refuse(libc::SYS_unshare, libc::EPERM);
        let mut spec = shell("true");
        spec.mounts = vec![mount_on(target.path())];
        spec.users = Some(UserNamespace::make());
        stage(spec).err().unwrap()
    });
    assert_eq!((&error.step, error.errno), (&Step::Unshare, Errno::PERM));
    assert!(error.isolation_refused());
}

#[test]
fn without_the_new_mount_api_mount_does_it() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        let target = open_directory();
        let (output, outside) = apart(|| {
            refuse(libc::SYS_fsopen, errno);
            secret_on_private_mount(target.path())
        });
        check(&output, outside);
    }
}

#[test]
fn every_mount_is_given_back_in_order() {
    let targets = [open_directory(), open_directory(), open_directory()];
    let mut spec = shell("cat $A/f $B/f $C/f");
    for (name, target) in ["A", "B", "C"].iter().zip(&targets) {
        spec.env
            .push(text(&format!("{name}={}", target.path().display())));
        spec.mounts.push(mount_on(target.path()));
    }
    let (mut reader, writer) = pipe();
    spec.fds = vec![(writer, 1)];
    let staged = stage(spec).unwrap();
    for (directory, content) in staged.directories().iter().zip(["1", "2", "3"]) {
        put(directory, "f", content);
    }
    let child = staged.start().unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert_eq!((output.as_str(), wait(&child)), ("123", 0));
}

#[test]
fn ten_megabytes_fit() {
    let target = open_directory();
    let mut spec = shell("wc -c <$T/big");
    spec.env
        .push(text(&format!("T={}", target.path().display())));
    spec.mounts = vec![mount_on(target.path())];
    let (mut reader, writer) = pipe();
    spec.fds = vec![(writer, 1)];
    let staged = stage(spec).unwrap();
    put(&staged.directories()[0], "big", &"x".repeat(10_000_000));
    let child = staged.start().unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    assert_eq!((output.as_str(), wait(&child)), ("10000000\n", 0));
}

/// The error of staging with a private mount, after something was taken away.
fn refused(target: &Path, without: impl FnOnce() + Send) -> ChildError {
    apart(|| {
        let point = Point::of(target).unwrap();
        without();
        let mut spec = shell("");
        spec.mounts = vec![mount_at(point)];
        stage(spec).err().unwrap()
    })
}

#[test]
fn a_host_that_refuses_namespaces_is_told_from_a_fault() {
    let target = open_directory();
    for errno in [libc::EPERM, libc::ENOSPC, libc::EINVAL, libc::ENOSYS] {
        let error = refused(target.path(), || {
            become_nobody();
            refuse(libc::SYS_unshare, errno);
        });
        assert_eq!(error.step, Step::Unshare);
        assert!(error.isolation_refused(), "{error}");
        assert!(error.to_string().contains("isolation: shared"), "{error}");
    }
    let error = refused(target.path(), || {
        refuse(libc::SYS_fsopen, libc::EPERM);
        refuse(libc::SYS_mount, libc::EPERM);
    });
    assert!(error.isolation_refused(), "{error}");
    let missing = target.path().join("missing");
    fs::create_dir(&missing).unwrap();
    let error = refused(&missing, || fs::remove_dir(&missing).unwrap());
    assert_eq!(error.step, Step::Mount(missing.clone()));
    assert!(!error.isolation_refused(), "{error}");
}

#[test]
fn what_was_put_into_the_place_of_a_mount_point_is_not_mounted_on() {
    let root = open_directory();
    let at = |name: &str| root.path().join(name);
    for old_api in [false, true] {
        for swapped in ["a link", "a directory", "a link above"] {
            for name in ["elsewhere/point", "home/point"] {
                fs::create_dir_all(at(name)).unwrap();
            }
            let error = refused(&at("home/point"), || {
                let target = if swapped == "a link above" {
                    "home"
                } else {
                    "home/point"
                };
                fs::rename(at(target), at("moved")).unwrap();
                match swapped {
                    "a directory" => fs::create_dir(at(target)).unwrap(),
                    "a link" => symlink(at("elsewhere/point"), at(target)).unwrap(),
                    _ => symlink(at("elsewhere"), at(target)).unwrap(),
                }
                if old_api {
                    refuse(libc::SYS_fsopen, libc::ENOSYS);
                }
            });
            let step = Step::Mount(at("home/point"));
            assert_eq!((error.step, error.errno), (step, Errno::STALE), "{swapped}");
            for entry in fs::read_dir(root.path()).unwrap() {
                let path = entry.unwrap().path();
                fs::remove_dir_all(&path)
                    .or_else(|_| fs::remove_file(&path))
                    .unwrap();
            }
        }
    }
}

#[test]
fn in_a_user_namespace_nobody_else_can_own_the_files() {
    let target = open_directory();
    let error = apart(|| {
        become_nobody();
        let mut spec = shell("");
        let mut mount = mount_on(target.path());
        mount.gid = 4242;
        spec.mounts = vec![mount];
        stage(spec).err().unwrap()
    });
    assert_eq!(error.step, Step::ForeignOwner(target.path().to_owned()));
    assert!(error.isolation_refused());
}

#[test]
fn capabilities_are_not_lost_to_a_user_namespace() {
    if !is_root() {
        return; // only root has capabilities to hold
    }
    let target = open_directory();
    let error = refused(target.path(), || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective &= !rustix::thread::CapabilitySet::SYS_ADMIN;
        sets.permitted &= !rustix::thread::CapabilitySet::SYS_ADMIN;
        rustix::thread::set_capabilities(None, sets).unwrap();
    });
    assert_eq!(error.step, Step::Capabilities);
    assert!(error.isolation_refused());
}

/// Becomes another program when it is started by one of the tests below, in a process of its own.
/// The test harness has threads, and a user namespace needs a process with one: so it forks first.
#[test]
fn inner_becomes_the_program() {
    let Ok(target) = std::env::var("BECOME_WITH_MOUNT") else {
        return;
    };
    let code = in_a_process_of_its_own(|| if become_shell(&target) { 90 } else { 91 });
    std::process::exit(code);
}

/// Whether isolation was refused, if it comes back at all.
fn become_shell(target: &str) -> bool {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).unwrap();
    let mut spec = shell("cat $T/secret; test $$ = $ME || exit 1; read word <&3; echo $word");
    spec.env.push(text(&format!("T={target}")));
    spec.env.push(text(&format!("ME={}", std::process::id())));
    spec.mounts = vec![mount_on(Path::new(&target))];
    spec.group = Group::Shared;
    let (reader, writer) = pipe();
    fs::File::from(writer).write_all(b"handed\n").unwrap();
    spec.fds = vec![(reader.into(), 3)];
    let namespace = || fs::read_to_string("/proc/self/uid_map").unwrap();
    let before = namespace();
    match stage_here(spec) {
        Ok(staged) => {
            put(&staged.directories()[0], "secret", "for me alone\n");
            staged.exec().isolation_refused()
        }
        Err(error) => {
            assert_eq!(namespace(), before, "half a user namespace was entered");
            error.isolation_refused()
        }
    }
}

/// Runs the test above by the program's own file, whatever the user may read.
fn becoming(target: &Path, identity: Option<Identity>) -> (String, i32) {
    let inner = "sys::child::tests::isolation::inner_becomes_the_program";
    let mut spec = shell("");
    spec.pinned = Some(pinned(&std::env::current_exe().unwrap()));
    spec.argv = ["t", "--exact", inner, "--test-threads=1", "--nocapture"]
        .map(text)
        .to_vec();
    spec.env = vec![text(&format!("BECOME_WITH_MOUNT={}", target.display()))];
    spec.identity = identity;
    let (mut reader, writer) = pipe();
    spec.fds = vec![(writer.try_clone().unwrap(), 2), (writer, 1)];
    let child = stage(spec).unwrap().start().unwrap();
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    (output, wait(&child))
}

#[test]
fn this_very_process_becomes_the_program() {
    let target = open_directory();
    let (output, code) = becoming(target.path(), None);
    assert!(output.ends_with("for me alone\nhanded\n"), "{output}");
    assert_eq!(code, 0);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn this_very_process_becomes_the_program_without_privileges() {
    if !is_root() {
        return; // then the test above has done it
    }
    let target = open_directory();
    let nobody = Identity {
        uid: NOBODY,
        gid: NOBODY,
        groups: Vec::new(),
    };
    let (output, code) = becoming(target.path(), Some(nobody));
    assert!(output.ends_with("for me alone\nhanded\n"), "{output}");
    assert_eq!(code, 0);
}

#[test]
fn a_process_that_is_refused_a_user_namespace_stays_as_it_is() {
    if !is_root() {
        return; // needs a user without privileges beside the one that looks on
    }
    let target = open_directory();
    let nobody = Identity {
        uid: NOBODY,
        gid: NOBODY,
        groups: Vec::new(),
    };
    let (_, code) = apart(|| {
        refuse(libc::SYS_fsopen, libc::EPERM);
        refuse(libc::SYS_mount, libc::EPERM);
        becoming(target.path(), Some(nobody))
    });
    assert_eq!(code, 90);
}
