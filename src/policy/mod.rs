//! Policy: what may be done with which secret, by Cedar (<https://docs.cedarpolicy.com>). Pure: texts
//! in, rulings out.
//!
//! Default deny, forbid wins, and an error of evaluation denies. Beyond Cedar, annotations of a `forbid`
//! say what lifts it: `@approval("2 of sre within 8h")` and `@reason`; `@on_rotation("stop")` says that a
//! denial at a rotation ends the program.
//!
//! - Entities' ids come from outside. They are passed to Cedar by value, and are never part of a text
//!   that it parses.
//! - Only the policies that may match a query are built and evaluated for it. One whose scope does not
//!   match, or whose first condition does not hold, is false and cannot fail, so that the ruling is the
//!   same ([`guard`]).

mod annotations;
mod attributes;
mod bytes;
mod cache;
mod cases;
mod compiled;
mod decide;
mod depth;
mod entities;
mod error;
mod expressions;
mod facts;
mod guard;
mod policies;
#[cfg(test)]
#[path = "tests/proof.rs"]
pub mod proof;
mod request;
mod rule;
mod schema;
mod scope;
mod statements;
#[cfg(test)]
mod tests;
mod uid;

pub use cases::{Case, cases};
pub use error::{PolicyError, PolicyErrors};
pub use facts::{Cause, Fact, Why};
pub use policies::Policies;
pub use schema::{schema_json, schema_text};
