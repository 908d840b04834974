//! The process allocator: the system's, with every freed block wiped.

/// Wipes on free and on realloc, so that copies left by libraries end with their block.
pub type WipingAllocator = zeroizing_alloc::ZeroAlloc<std::alloc::System>;

/// For `#[global_allocator]`.
pub const WIPING_ALLOCATOR: WipingAllocator = zeroizing_alloc::ZeroAlloc(std::alloc::System);
