//! The last steps before the program, in the child or in hushpipe itself. No allocation.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

use super::channel::Channel;
use super::error::{At, Fault};
use super::fork::{exit_now, last_errno};
use super::keyring;
use super::pinned::{Pinned, Ready};
use super::prepare::{Become, Prepared};
use super::spec::Group;
use super::terminal_filter::TerminalGuard;
use crate::sys::{fd, process, signals, trace};

/// Goes through all steps; returns only what failed.
///
/// The order is not free: limits, and a filter without no_new_privs, need the privileges that the
/// change of identity gives up; the directory is entered with the program's own rights; the change of identity clears PDEATHSIG;
/// signals are let in last.
pub(super) fn finish(prepared: &mut Prepared, mut channel: Option<&mut Channel>) -> Fault {
    let done = foreground(prepared.spec.group)
        .and_then(|()| hand_over(prepared, channel.as_deref_mut()))
        .and_then(|()| set_limits(prepared))
        .and_then(|()| restrict(prepared))
        .and_then(|()| attend(prepared, channel.as_deref()))
        .and_then(|()| become_user(prepared))
        .and_then(|()| surroundings(prepared))
        .and_then(|()| watch_parent(prepared))
        .and_then(|()| hand_signals_on(prepared));
    match done {
        Ok(()) => {
            let own = rustix::process::getpid().as_raw_nonzero().get();
            for variable in &prepared.pid_variables {
                variable.set(own);
            }
            execute(prepared)
        }
        Err(fault) => fault,
    }
}

/// Makes this process's group the foreground group of the controlling terminal: tcsetpgrp(3).
/// SIGTTOU, which a background process gets for that, is blocked like all signals.
fn foreground(group: Group) -> Result<(), Fault> {
    if group != Group::OwnForeground {
        return Ok(());
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::openat(CWD, c"/dev/tty", flags, Mode::empty())
        .and_then(|terminal| rustix::termios::tcsetpgrp(&terminal, rustix::process::getpgrp()))
        .map_err(|errno| Fault::new(At::Foreground, errno))
}

fn hand_over(prepared: &mut Prepared, channel: Option<&mut Channel>) -> Result<(), Fault> {
    if let Some(index) = prepared.room_for_fds {
        prepared.limits[index]
            .set()
            .map_err(|errno| Fault::new(At::Limit(index), errno))?;
    }
    let keep: [Option<&mut OwnedFd>; 2] = [
        channel.map(Channel::socket),
        prepared.spec.pinned.as_mut().map(|pinned| &mut pinned.fd),
    ];
    fd::hand_over(&mut prepared.moves, keep.into_iter().flatten())
        .map_err(|(number, errno)| Fault::new(At::Fd(number), errno))?;
    fd::close_on_exec_from(3).map_err(|errno| Fault::new(At::CloseOthers, errno))?;
    fd::keep_at_exec(&prepared.moves).map_err(|(number, errno)| Fault::new(At::Fd(number), errno))
}

fn set_limits(prepared: &Prepared) -> Result<(), Fault> {
    for (index, limit) in prepared.limits.iter().enumerate() {
        limit
            .set()
            .map_err(|errno| Fault::new(At::Limit(index), errno))?;
    }
    Ok(())
}

/// What the program, and all that it starts, can never undo.
fn restrict(prepared: &Prepared) -> Result<(), Fault> {
    if prepared.spec.no_new_privs {
        rustix::thread::set_no_new_privs(true)
            .map_err(|errno| Fault::new(At::NoNewPrivs, errno))?;
    }
    match &prepared.terminal {
        TerminalGuard::Filter(filter) => filter
            .install()
            .map_err(|errno| Fault::new(At::TerminalFilter, errno)),
        TerminalGuard::NotNeeded | TerminalGuard::Missing(_) => Ok(()),
    }
}

/// For a program with hidden variables: hushpipe gets to see each exec, and holds the first.
fn attend(prepared: &Prepared, channel: Option<&Channel>) -> Result<(), Fault> {
    let Some(attended) = &prepared.attended else {
        return Ok(());
    };
    // Without a parent nobody could answer.
    let channel = channel.ok_or(Fault::new(At::Trace, Errno::NOTSUP))?;
    attended
        .filter
        .install_with_listener()
        .and_then(|listener| channel.send_listener(&listener))
        .map_err(|errno| Fault::new(At::Listener, errno))?;
    trace::begin().map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::PERM);
        Fault::new(At::Trace, errno)
    })
}

/// setgroups, setgid, setuid: in this order, as each needs what the next gives up; then looks
/// whether it holds.
///
/// A new session keyring is to belong to the program's user, whose quota may be used up; one that was
/// made before, of hushpipe's quota, then stays.
fn become_user(prepared: &mut Prepared) -> Result<(), Fault> {
    let Some(identity) = &mut prepared.identity else {
        return Ok(());
    };
    let joined = prepared.new_keyring.then(keyring::join_new);
    take(identity).map_err(|errno| Fault::new(At::Identity, errno))?;
    match joined {
        None => Ok(()),
        Some(joined) => keyring::join_new()
            .or(joined)
            .map_err(|errno| Fault::new(At::Keyring, errno)),
    }
}

fn take(identity: &mut Become) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_groups(&identity.groups)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    if !uid.is_root() {
        drop_capabilities()?;
    }
    if is_now(identity) {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// The kernel takes them when root becomes another user, but not when one that holds CAP_SETUID does.
fn drop_capabilities() -> Result<(), Errno> {
    match rustix::thread::clear_ambient_capability_set() {
        // Before Linux 4.3 there is no such set.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    let held = rustix::thread::capabilities(None)?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: held.inheritable,
        },
    )
}

fn is_now(identity: &mut Become) -> bool {
    let (mut uids, mut gids) = ([u32::MAX; 3], [u32::MAX; 3]);
    let room = identity.check.len() as libc::c_int;
    // SAFETY: each pointer is to memory of ours of the size the call writes; getgroups is told how
    // many fit.
    let groups = unsafe {
        let [real, effective, saved] = &mut uids;
        libc::getresuid(real, effective, saved);
        let [real, effective, saved] = &mut gids;
        libc::getresgid(real, effective, saved);
        libc::getgroups(room, identity.check.as_mut_ptr())
    };
    let Ok(groups) = usize::try_from(groups) else {
        return false;
    };
    let groups = identity.check.get(..groups).unwrap_or_default();
    uids == [identity.uid; 3]
        && gids == [identity.gid; 3]
        && groups
            .iter()
            .copied()
            .eq(identity.groups.iter().map(|gid| gid.as_raw()))
}

fn surroundings(prepared: &Prepared) -> Result<(), Fault> {
    let spec = &prepared.spec;
    let mask = spec.umask.map(Mode::from_raw_mode);
    if let Some(mask) = mask.or_else(process::umask_of_caller) {
        rustix::process::umask(mask);
    }
    if let Some(cwd) = &spec.cwd {
        rustix::process::chdir(cwd.as_c_str()).map_err(|errno| Fault::new(At::Cwd, errno))?;
    }
    Ok(())
}

/// Asks for a signal when hushpipe dies, and ends now if it did already: nobody would tell.
fn watch_parent(prepared: &Prepared) -> Result<(), Fault> {
    let Some(signal) = prepared.spec.parent_death else {
        return Ok(());
    };
    // SAFETY: PR_SET_PDEATHSIG takes a number and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) } != 0 {
        return Err(Fault::new(At::ParentDeath, last_errno()));
    }
    if rustix::process::getppid() != Some(prepared.parent) {
        exit_now(126);
    }
    Ok(())
}

fn hand_signals_on(prepared: &Prepared) -> Result<(), Fault> {
    let handed = if prepared.attended.is_some() {
        // No signal is to stop it before hushpipe lets it go, and sets the mask.
        signals::hand_dispositions_on()
    } else {
        signals::hand_on(&prepared.spec.mask)
    };
    handed.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
        Fault::new(At::Signals, errno)
    })
}

fn execute(prepared: &Prepared) -> Fault {
    let (argv, env) = (prepared.argv.as_ptr(), prepared.env.as_ptr());
    let mut path = prepared.spec.program.as_c_str();
    let ready = prepared.spec.pinned.as_ref().map(Pinned::ready);
    let file = match ready {
        Some(Err(_)) => return Fault::new(At::Changed, Errno::STALE),
        Some(Ok(Ready::File(fd))) => Some(fd),
        Some(Ok(Ready::Path(of_root))) => {
            path = of_root;
            None
        }
        None => None,
    };
    // The kernel ignores what follows the arguments; the filter of `attend` does not.
    let attended = prepared.attended.as_ref();
    let [one, two, three] = attended.map_or([0; 3], |attended| attended.pass);
    if let Some(fd) = file {
        // SAFETY: the path is a C string; argv and env are NULL-terminated arrays of pointers to C
        // strings that `prepared` owns.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                fd,
                c"".as_ptr(),
                argv,
                env,
                libc::AT_EMPTY_PATH,
                three,
            );
        }
        return Fault::new(At::Exec, last_errno());
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv, env, one, two, three) };
    Fault::new(At::Exec, last_errno())
}
