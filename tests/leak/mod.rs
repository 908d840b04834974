//! The promise about memory: after the hand-over, hushpipe holds no copy of any value.

mod canary;
mod scan;
mod selftest;
