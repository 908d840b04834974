//! A true SIGSEGV in another process: ptrace(2) sends it to where nothing is.

#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::ptr;

use libc::{c_int, c_uint, c_void};

/// The general registers: PTRACE_GETREGSET.
const NT_PRSTATUS: usize = 1;

/// Has the process jump to address 0. It blocks signals as it likes: a true fault comes through.
/// For children of the test, and who is traced by it already ([`Tracer::forked`]).
pub fn segfault(pid: i32) {
    Tracer::seize(pid, 0).crash();
}

/// A process that is traced, and stopped.
pub struct Tracer {
    pid: c_int,
}

impl Tracer {
    /// Traces it with these options, and stops it.
    pub fn seize(pid: i32, options: c_int) -> Self {
        request(libc::PTRACE_SEIZE, pid, 0, options as usize as *mut c_void);
        request(libc::PTRACE_INTERRUPT, pid, 0, ptr::null_mut());
        let tracer = Self { pid };
        tracer.wait();
        tracer
    }

    /// Lets it go on until it forks, after `act`; gives its child, traced and stopped before its first
    /// instruction. Needs PTRACE_O_TRACEFORK.
    pub fn forked(&self, act: impl FnOnce()) -> Self {
        act();
        loop {
            request(libc::PTRACE_CONT, self.pid, 0, ptr::null_mut());
            let status = self.wait();
            if status >> 16 == libc::PTRACE_EVENT_FORK {
                break;
            }
        }
        let mut child: libc::c_ulong = 0;
        request(
            libc::PTRACE_GETEVENTMSG,
            self.pid,
            0,
            (&raw mut child).cast(),
        );
        let child = Self {
            pid: child as c_int,
        };
        child.wait();
        child
    }

    /// Lets it go on, at address 0.
    pub fn crash(self) {
        // SAFETY: all of it is numbers, for which zero is a value.
        let mut space: libc::user_regs_struct = unsafe { mem::zeroed() };
        // The kernel reads and writes it through this pointer, behind the compiler's back.
        let registers = &raw mut space;
        let mut area = libc::iovec {
            iov_base: registers.cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        let area: *mut c_void = (&raw mut area).cast();
        request(libc::PTRACE_GETREGSET, self.pid, NT_PRSTATUS, area);
        // SAFETY: the pointer is to `space`, which nobody else uses.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            {
                (*registers).rip = 0;
                // It may be in a call, which is not to be made again.
                (*registers).orig_rax = u64::MAX;
            }
            #[cfg(target_arch = "aarch64")]
            {
                (*registers).pc = 0;
            }
        }
        request(libc::PTRACE_SETREGSET, self.pid, NT_PRSTATUS, area);
        self.release();
    }

    /// Lets it go on as it would have.
    pub fn release(self) {
        request(libc::PTRACE_DETACH, self.pid, 0, ptr::null_mut());
    }

    /// Waits for a stop.
    fn wait(&self) -> c_int {
        let mut status = 0;
        // SAFETY: the status is there for the length of the call. It stops: that takes nothing away
        // from who waits for its end.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
        assert_eq!(pid, self.pid, "{}", io::Error::last_os_error());
        assert!(libc::WIFSTOPPED(status), "it has ended: {status:#x}");
        status
    }
}

fn request(request: c_uint, pid: c_int, address: usize, data: *mut c_void) {
    // SAFETY: where the kernel writes, `data` says where to, and that it has room.
    let done = unsafe { libc::ptrace(request, pid, address as *mut c_void, data) };
    assert!(done >= 0, "{request}: {}", io::Error::last_os_error());
}
