//! What a running hushpipe holds, as /proc tells.

use std::fs;

use crate::harness::{Place, Running};

/// How much larger its resident memory may become.
const KIB: usize = 256;

/// Looks at one hushpipe, oldest first.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

#[derive(Clone, Copy)]
struct Figure {
    /// Resident memory in KiB, from smaps: VmRSS of proc_pid_status(5) may be 256 KiB wrong.
    resident: usize,
    /// The part of it that is not of files on a disk, and all of what is mapped of memory that has no
    /// other name: memfds, and values' memfd_secret(2), of which the kernel counts nothing as
    /// resident. How much of the binary is mapped depends on what the kernel has read of it, and on
    /// who else runs it.
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
            let before = std::mem::replace(&mut last, now);
            now.is_as(&before).then_some(now)
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
    /// In what is to stay the same: pages of files come and go as the kernel likes.
    fn is_as(&self, other: &Self) -> bool {
        let all = |of: &Self| (of.own, of.descriptors, of.mounts);
        all(self) == all(other)
    }

    fn of(running: &Running) -> Self {
        let (hushpipe, program) = (running.pid(), running.program());
        let descriptors = fs::read_dir(format!("/proc/{hushpipe}/fd")).expect("it runs");
        let (resident, own) = memory(hushpipe);
        Self {
            resident,
            own,
            descriptors: descriptors.count(),
            mounts: mounts(hushpipe, running.place()) + mounts(program, running.place()),
        }
    }
}

/// Resident memory, and the part that is its own, in KiB.
fn memory(pid: i32) -> (usize, usize) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it runs");
    let (mut resident, mut own) = (0, 0);
    let mut counted = "Rss:";
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let kib = || words.clone().next().and_then(|word| word.parse().ok());
        if !first.ends_with(':') {
            counted = counted_of(line);
        }
        if first == "Rss:" {
            resident += kib().unwrap_or(0);
        }
        if first == counted {
            own += kib().unwrap_or(0);
        }
    }
    (resident, own)
}

/// Which figure of a mapping is memory that would not be used without this process.
fn counted_of(mapping: &str) -> &'static str {
    let name = mapping.split_whitespace().nth(5).unwrap_or_default();
    if name.starts_with("/secretmem") || name.starts_with("/memfd:") {
        "Size:"
    } else if name.starts_with('/') {
        "Anonymous:"
    } else {
        "Rss:"
    }
}

#[test]
fn values_in_memory_that_the_kernel_calls_a_file_are_counted() {
    let mapping = |name: &str| format!("7f0-7f1 rw-s 00000000 00:0e 12 {name}");
    assert_eq!(counted_of(&mapping("/secretmem (deleted)")), "Size:");
    assert_eq!(counted_of(&mapping("/memfd:x (deleted)")), "Size:");
    assert_eq!(counted_of(&mapping("/usr/bin/hushpipe")), "Anonymous:");
    assert_eq!(counted_of(&mapping("[heap]")), "Rss:");
    assert_eq!(counted_of("7f0-7f1 rw-p 00000000 00:00 0"), "Rss:");
    let (resident, own) = memory(std::process::id() as i32);
    assert!(resident > own && own > 0, "{resident} {own}");
}

fn mounts(pid: i32, place: &Place) -> usize {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("it runs");
    let place = place.path().to_str().expect("places have UTF-8 names");
    table.lines().filter(|line| line.contains(place)).count()
}
