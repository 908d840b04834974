//! The `hushpipe` program: parse, run, exit code.

use std::process::ExitCode;

use hushpipe::secret::{WIPING_ALLOCATOR, WipingAllocator};

/// Every freed block is wiped, so that what libraries leave behind is gone when it is freed.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WIPING_ALLOCATOR;

fn main() -> ExitCode {
    hushpipe::cli::main()
}
