//! What all pages are.

/// A manual page.
pub(super) struct Page {
    /// Without its section: `hushpipe-run`.
    pub(super) name: String,
    pub(super) section: u8,
    pub(super) roff: String,
}
