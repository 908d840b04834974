//! The raw ptrace(2): the C library's has another signature for some requests.

use std::io;

/// # Safety
///
/// `data` must be what the request takes: a number, or the address of memory that the kernel may use.
pub(super) unsafe fn ptrace(
    request: i64,
    pid: i32,
    address: usize,
    data: usize,
) -> io::Result<libc::c_long> {
    // SAFETY: as the caller vouches for.
    let done = unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(pid), address, data) };
    if done < 0 {
        Err(last_error())
    } else {
        Ok(done)
    }
}

/// What the last system call of this thread failed with.
pub(super) fn last_error() -> io::Error {
    io::Error::last_os_error()
}
