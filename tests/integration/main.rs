//! The real binary, as its users run it. `harness` has the words that the tests are written in.

// Tests start programs as they like: nothing here reaps behind their back.
#![allow(clippy::disallowed_methods)]

mod approvals;
mod audit;
mod bad_input;
mod binary;
#[path = "../compliance/mod.rs"]
mod compliance;
mod control;
#[path = "../death/mod.rs"]
mod death;
mod delivery;
mod docker;
mod doctor;
#[path = "../endurance/mod.rs"]
mod endurance;
mod examples;
mod faults;
mod harness;
mod incident;
mod init;
mod inventory;
mod launch;
#[path = "../leak/mod.rs"]
mod leak;
mod man;
mod manifest;
mod mistakes;
mod monitor;
mod newcomer;
mod packages;
mod policy;
mod policy_commands;
mod project;
mod quickstart;
mod rotation;
mod scan;
mod sealed;
mod site;
mod stores;
mod supervise;
mod systemd;
mod vault;
