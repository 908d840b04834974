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
