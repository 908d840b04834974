//! Policy: what may be done with which secret, by Cedar (<https://docs.cedarpolicy.com>). Pure: texts
//! in, rulings out.
//!
//! Default deny, forbid wins, and an error of evaluation denies. Beyond Cedar, annotations of a `forbid`
//! say what lifts it: `@approval("2 of sre within 8h")` and `@reason`; `@on_rotation("stop")` says that a
//! denial at a rotation ends the program.
//!
//! - Entities' ids come from outside. They are passed to Cedar by value, and are never part of a text
//!   that it parses.
//! - Only the policies whose scope may match a query are parsed and evaluated for it. A policy whose scope
//!   does not match is false and cannot fail, so that the ruling is the same.

#[cfg(not(feature = "policy"))]
mod absent;
#[cfg(feature = "policy")]
mod annotations;
#[cfg(feature = "policy")]
mod cache;
#[cfg(feature = "policy")]
mod cases;
#[cfg(feature = "policy")]
mod decide;
#[cfg(feature = "policy")]
mod entities;
#[cfg(feature = "policy")]
mod error;
#[cfg(feature = "policy")]
mod facts;
#[cfg(feature = "policy")]
mod policies;
#[cfg(all(test, feature = "policy"))]
mod proof;
#[cfg(feature = "policy")]
mod request;
#[cfg(feature = "policy")]
mod rule;
#[cfg(feature = "policy")]
mod schema;
#[cfg(feature = "policy")]
mod scope;
#[cfg(feature = "policy")]
mod statements;
#[cfg(all(test, feature = "policy"))]
mod tests;
#[cfg(feature = "policy")]
mod uid;

#[cfg(not(feature = "policy"))]
pub use absent::Policies;
#[cfg(feature = "policy")]
pub use cases::{Case, cases};
#[cfg(feature = "policy")]
pub use error::{PolicyError, PolicyErrors};
#[cfg(feature = "policy")]
pub use facts::{Cause, Fact, Why};
#[cfg(feature = "policy")]
pub use policies::Policies;
#[cfg(feature = "policy")]
pub use schema::{schema_json, schema_text};
