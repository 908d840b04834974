//! hushpipe starts a program with its secrets handed over in memory.
//!
//! The map of the house: `cli` (arguments, output) calls `app` (the composition root), which builds
//! `stores`, `delivery` and the `supervisor` from a `model::Plan` that `manifest` made, and lets
//! `rotation` decide when a new generation is due. `http` makes requests, `secret` holds values, `sys` has
//! every unsafe
//! call. `tests/architecture.rs` has the table of who may import whom.
//!
//! Data flows one way: manifest → plan → authorise → fetch → check → render → record → deliver → launch
//! → supervise.

#![deny(missing_docs)]
// Unit tests may start programs and wait for them: no reaper runs in them.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod app;
pub mod approval;
pub mod audit;
pub mod cli;
pub mod delivery;
pub mod formats;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod manifest;
pub mod model;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod patterns;
#[cfg(feature = "policy")]
pub mod policy;
#[cfg(not(feature = "policy"))]
#[path = "policy/absent.rs"]
pub mod policy;
pub mod redaction;
#[cfg(feature = "report")]
pub mod report;
pub mod rotation;
#[cfg(feature = "scan")]
pub mod scan;
pub mod secret;
pub mod stores;
pub mod supervisor;
#[allow(unsafe_code, clippy::disallowed_methods)]
pub mod sys;
pub mod telemetry;
