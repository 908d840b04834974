//! The `hushpipe` program: parse, run, exit code.

#![no_main]

use hushpipe::secret::{WIPING_ALLOCATOR, WipingAllocator};

/// Every freed block is wiped, so that what libraries leave behind is gone when it is freed.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WIPING_ALLOCATOR;

hushpipe::entry!(hushpipe::cli::main);
