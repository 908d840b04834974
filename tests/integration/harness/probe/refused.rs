//! A program to which the kernel denies a call: seccomp(2), as filters of containers do.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes the program; comes back only with an error.
pub fn refuse(call: &str, mut program: impl Iterator<Item = String>) -> io::Error {
    let number = match call {
        "memfd_secret" => libc::SYS_memfd_secret,
        "munmap" => libc::SYS_munmap,
        _ => return super::bad(&format!("no call {call}")),
    };
    let Some(name) = program.next() else {
        return super::bad("a program is missing");
    };
    if let Err(error) = deny(number) {
        return error;
    }
    Command::new(name).args(program).exec()
}

fn deny(call: libc::c_long) -> io::Result<()> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut steps = [
        // The call's number is the first member of seccomp_data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            call as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: plain numbers; and a filter that is there for the length of the call.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
