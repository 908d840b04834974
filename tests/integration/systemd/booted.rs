//! In a booted systemd, 252 and, nightly, 257: what the fakes beside this file say that systemd does, it does.

mod credentials;
mod kinds;
mod leaks;
mod machine;
mod monitor;
mod odd;
mod package;
mod readme;
mod shipped;
mod sockets;
mod template;

use machine::{Machine, Suite};

/// Tests each systemd, all at once.
fn in_each(test: impl Fn(&Machine) + Sync) {
    std::thread::scope(|scope| {
        for suite in Suite::all() {
            let test = &test;
            scope.spawn(move || test(&Machine::booted(*suite)));
        }
    });
}

/// As [`in_each`], each on a system of its own that has no hushpipe.
fn in_each_alone(test: impl Fn(&Machine) + Sync) {
    std::thread::scope(|scope| {
        for suite in Suite::all() {
            let test = &test;
            scope.spawn(move || test(&Machine::without_hushpipe(*suite)));
        }
    });
}
