//! What a running hushpipe holds, as /proc tells.

use std::fs;

use crate::harness::{Place, Running};

/// How much larger its resident memory may become.
const KIB: usize = 256;

/// Looks at one hushpipe, oldest first.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

#[derive(Clone, Copy, PartialEq)]
struct Figure {
    /// Resident memory in KiB, from smaps_rollup: VmRSS of proc_pid_status(5) may be 256 KiB wrong.
    resident: usize,
    /// The part of it that is not of files. How much of the binary is mapped depends on what the
    /// kernel has read of it, and on who else runs it.
    own: usize,
    descriptors: usize,
    /// Of hushpipe and of its program, below the place: other tests mount elsewhere.
    mounts: usize,
}

impl Figures {
    /// One more look, when two give the same: in the middle of a rotation it holds more.
    pub fn take(&mut self, running: &Running) {
        let mut last = Figure::of(running);
        let at_rest = running.until("two looks show the same", || {
            let now = Figure::of(running);
            (now == std::mem::replace(&mut last, now)).then_some(now)
        });
        self.0.push(at_rest);
    }

    /// Of each: the first look, the most and the last.
    pub fn summary(&self) -> String {
        let row = |of: fn(&Figure) -> usize| {
            let all: Vec<usize> = self.0.iter().map(of).collect();
            let (first, last) = (all.first().unwrap_or(&0), all.last().unwrap_or(&0));
            let most = all.iter().max().unwrap_or(&0);
            format!("{first} (at most {most}, {last} at the end)")
        };
        format!(
            "resident KiB {}, without files {}; descriptors {}; mounts {}",
            row(|now| now.resident),
            row(|now| now.own),
            row(|now| now.descriptors),
            row(|now| now.mounts)
        )
    }

    /// Memory of its own is never more than at the first look, but for [`KIB`]. Descriptors and mounts
    /// are no more at some look of the second half: a connection may be made anew during one.
    pub fn assert_flat(&self) {
        assert!(self.0.len() > 1, "too few looks");
        let first = &self.0[0];
        let said = self.summary();
        let most = self.0.iter().map(|now| now.own).max();
        assert!(most <= Some(first.own + KIB), "{said}");
        let later = &self.0[self.0.len() / 2..];
        let least = |of: fn(&Figure) -> usize| later.iter().map(of).min();
        assert!(
            least(|now| now.descriptors) <= Some(first.descriptors),
            "{said}"
        );
        assert!(least(|now| now.mounts) <= Some(first.mounts), "{said}");
    }
}

impl Figure {
    fn of(running: &Running) -> Self {
        let (hushpipe, program) = (running.pid(), running.program());
        let descriptors = fs::read_dir(format!("/proc/{hushpipe}/fd")).expect("it runs");
        Self {
            resident: kib(hushpipe, "Rss:"),
            own: kib(hushpipe, "Anonymous:"),
            descriptors: descriptors.count(),
            mounts: mounts(hushpipe, running.place()) + mounts(program, running.place()),
        }
    }
}

fn kib(pid: i32, key: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).expect("in KiB")
}

fn mounts(pid: i32, place: &Place) -> usize {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("it runs");
    let place = place.path().to_str().expect("places have UTF-8 names");
    table.lines().filter(|line| line.contains(place)).count()
}
