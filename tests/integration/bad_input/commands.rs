//! Command stores that fail.
