//! What the records, manifests, sites and scans of many hosts say together: the graph of owners, stores,
//! secrets, services, deliveries, programs and hosts, and what is asked of it.
//!
//! Inputs are read as data of others: names are made printable as they come in, and nothing but named fields
//! is kept. None of these fields holds a value, so no output can.

mod collect;
mod controls;
mod declared;
mod document;
mod dot;
mod figures;
mod finish;
mod graph;
mod kpi;
mod line;
mod moment;
mod numbers;
mod page;
mod question;
mod table;
#[cfg(test)]
mod tests;

pub use collect::Collector;
pub use declared::Origin;
pub use document::Document;
pub use figures::{Evidence, Figures};
pub use graph::{
    Approval, Finding, Graph, Host, PolicyUse, Program, Reveal, Secret, Service, Shared, Store, Use,
};
pub use kpi::Report;
pub use line::Line;
pub use moment::Moment;
pub use question::{Blast, Hit, Unused};
