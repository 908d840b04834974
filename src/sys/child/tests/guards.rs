//! What keeps a program of another user from what hushpipe's user has: keys and the terminal.

use super::*;
use crate::sys::child::terminal_filter::TerminalGuard;

/// A key of this process's session keyring, which another user's process could read as its possessor.
/// `None` where this kernel, or a container, has no keyrings to look at.
fn key(description: &std::ffi::CStr) -> Option<()> {
    const SESSION: libc::c_long = -3;
    keyring::join_new().ok()?;
    // SAFETY: the texts end with a zero, the payload is of the length that is given.
    let added = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            description.as_ptr(),
            c"payload".as_ptr(),
            7_usize,
            SESSION,
        )
    };
    (added > 0 && Path::new("/proc/keys").exists()).then_some(())
}

/// Whether what is started in the given way sees the key.
fn sees(description: &str, identity: Option<Identity>) -> bool {
    let mut spec = shell("cat /proc/keys");
    spec.identity = identity;
    run_to_end(spec).0.contains(description)
}

#[test]
fn a_program_of_another_user_has_a_session_keyring_of_its_own() {
    if !is_root() {
        return; // only root can become another user
    }
    let nobody = Identity {
        uid: NOBODY,
        gid: NOBODY,
        groups: Vec::new(),
    };
    let own = Identity::current().unwrap();
    let seen = apart(|| {
        key(c"hushpipe-test-key")?;
        let identities = [None, Some(own), Some(nobody)];
        Some(identities.map(|identity| sees("hushpipe-test-key", identity)))
    });
    assert!(matches!(seen, None | Some([true, true, false])), "{seen:?}");
}

#[test]
fn where_keyrings_are_refused_the_program_starts_without() {
    if !is_root() {
        return; // only root can become another user
    }
    for errno in [libc::EPERM, libc::ENOSYS] {
        let output = apart(|| {
            refuse(libc::SYS_keyctl, errno);
            let mut spec = shell("id -u");
            spec.identity = Some(Identity {
                uid: NOBODY,
                gid: NOBODY,
                groups: Vec::new(),
            });
            run_to_end(spec).0
        });
        assert_eq!(output, "65534\n");
    }
    let error = apart(|| {
        refuse(libc::SYS_keyctl, libc::EDQUOT);
        let mut spec = shell("");
        spec.identity = Some(Identity {
            uid: NOBODY,
            gid: NOBODY,
            groups: Vec::new(),
        });
        fails(spec)
    });
    assert_eq!(error.step, Step::Keyring);
    assert!(error.to_string().contains("quota of keys"), "{error}");
}

#[test]
fn a_program_with_hushpipes_own_rights_keeps_the_terminal_as_it_is() {
    assert!(matches!(
        TerminalGuard::new(false, true),
        TerminalGuard::NotNeeded
    ));
    let output = run_to_end(shell("exec grep '^Seccomp:' /proc/self/status")).0;
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert!(own.contains(output.trim_end()), "{output}");
}
