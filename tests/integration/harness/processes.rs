//! The tree of processes, as /proc shows it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::deadline;

/// A variable that every process of a test inherits: by it, what was left running is found.
pub const MARK: &str = "TEST_PLACE";

/// Looks again and again, for things that no event tells of. `None` when the deadline passes.
pub fn wait_until<T>(look: impl FnMut() -> Option<T>) -> Option<T> {
    wait_within(deadline(), look)
}

/// The same, for a shorter time.
pub fn wait_within<T>(time: Duration, look: impl FnMut() -> Option<T>) -> Option<T> {
    wait_gently(Duration::from_millis(2), time, look)
}

/// The same, with a pause between two looks, for those that cost something.
pub fn wait_gently<T>(
    pause: Duration,
    time: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let until = Instant::now() + time;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > until {
            return None;
        }
        thread::sleep(pause);
    }
}

/// Every process id there is.
fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// Of proc_pid_stat(5).
struct Stat {
    state: char,
    parent: i32,
    /// Since the machine started.
    began: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(") ")?;
    // The state is field 3, the start time field 22.
    let fields: Vec<&str> = after_name.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        began: fields.get(19)?.parse().ok()?,
    })
}

/// Its children, oldest first; zombies among them. By the time that they began: process ids start
/// again from low numbers now and then.
pub fn children(pid: i32) -> Vec<i32> {
    let child = |child: i32| {
        let stat = stat(child).filter(|stat| stat.parent == pid)?;
        Some((stat.began, child))
    };
    let mut found: Vec<(u64, i32)> = all().into_iter().filter_map(child).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, child)| child).collect()
}

/// Its children, their children, and so on.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut found = children(pid);
    let mut at = 0;
    while let Some(next) = found.get(at) {
        found.extend(children(*next));
        at += 1;
    }
    found
}

/// Whether it is there and no zombie.
pub fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// Processes that carry the mark of a place in their environment, or have it as their home.
pub(super) fn marked(place: &Path) -> Vec<i32> {
    let marks = [MARK, "HOME"].map(|name| format!("{name}={}", place.display()));
    let is_mark = |text: &[u8]| marks.iter().any(|mark| mark.as_bytes() == text);
    let carries = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(is_mark))
    };
    all().into_iter().filter(carries).collect()
}
