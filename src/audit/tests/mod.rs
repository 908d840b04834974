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
        host: "web1".to_owned(),
        boot: String::new(),
        launcher: "00".to_owned(),
        pid: 1,
        uid: 0,
        service: "shop".to_owned(),
        program: "/bin/true".to_owned(),
    }
}
