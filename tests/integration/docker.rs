//! hushpipe as the ENTRYPOINT of containers of the real engine.
//!
//! One engine serves all of these tests (see [`engine`]); each test has containers of its own.

mod bad_input;
mod container;
mod engine;
mod example;
mod health;
mod images;
mod matrix;
mod messages;
mod stop;
mod terminal;
mod unseen;

use container::{Container, give};
use engine::{Engine, look};
