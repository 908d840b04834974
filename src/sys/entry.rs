//! The program's start in place of Rust's: that reads /proc/self/maps to find the end of the stack, and
//! sets up a handler for its overflow, which takes a twentieth of a launch.

use std::ffi::c_int;

use super::signals;

/// Makes a function that gives the exit code the program's `main`. The program is `#![no_main]`.
///
/// Of what Rust's start-up does, SIGPIPE is ignored here; standard descriptors that are closed are the
/// function's to open: [`super::fd::ensure_standard`].
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: the C library calls it by this name, and nothing else here has the name.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ::std::ffi::c_int {
            $crate::sys::entry::start($main)
        }
    };
}

/// Runs the program, and ends as Rust does: what is left in the buffer of standard output is written.
pub fn start(main: fn() -> u8) -> c_int {
    signals::ignore_pipe();
    std::process::exit(main().into())
}

// The first instructions of the static program, before those of the C library. `packaging/flags` makes this its
// entry. Registers that the C library reads stay.
//
// From execve(2) on, others of the same user can open its memory until it is not dumpable, where they can read
// its file (prctl(2), `PR_SET_DUMPABLE`).
//
// Then all pages with addresses in them are made at once (madvise(2), `MADV_POPULATE_WRITE`, Linux 5.14): the C
// library is about to write to each, and a fault a page takes three times as long (252 and 76 µs for 95 pages).
// They lie between the linker's `__init_array_start` and `_edata`. An older kernel says EINVAL, and nothing is
// lost.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl hushpipe_start",
    ".type hushpipe_start, @function",
    "hushpipe_start:",
    "mov r12, rdx",
    "mov edi, {set_dumpable}",
    "xor esi, esi",
    "mov eax, {prctl}",
    "syscall",
    "lea rdi, [rip + __init_array_start]",
    "and rdi, -4096",
    "lea rsi, [rip + _edata]",
    "sub rsi, rdi",
    "mov edx, {populate}",
    "mov eax, {madvise}",
    "syscall",
    "mov rdx, r12",
    "jmp _start",
    set_dumpable = const libc::PR_SET_DUMPABLE,
    prctl = const libc::SYS_prctl,
    populate = const libc::MADV_POPULATE_WRITE,
    madvise = const libc::SYS_madvise,
);
// As on x86_64. The page of `_edata` is left out; where pages have more than 4 KiB, an address amid one is refused
// (EINVAL).
#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".globl hushpipe_start",
    ".type hushpipe_start, %function",
    "hushpipe_start:",
    "mov x9, x0",
    "mov x0, {set_dumpable}",
    "mov x1, 0",
    "mov x8, {prctl}",
    "svc 0",
    "adrp x0, __init_array_start",
    "adrp x1, _edata",
    "sub x1, x1, x0",
    "mov x2, {populate}",
    "mov x8, {madvise}",
    "svc 0",
    "mov x0, x9",
    "b _start",
    set_dumpable = const libc::PR_SET_DUMPABLE,
    prctl = const libc::SYS_prctl,
    populate = const libc::MADV_POPULATE_WRITE,
    madvise = const libc::SYS_madvise,
);
