//! The log as a whole.

mod log;
mod speed;
#[cfg(feature = "monitor")]
mod tail;
mod tamper;
mod tree;

use super::Writer;

fn writer() -> Writer {
    Writer {
        boot: String::new(),
        launcher: "00".to_owned(),
        program: "/bin/true".to_owned(),
        ..Writer::of_a_test()
    }
}
