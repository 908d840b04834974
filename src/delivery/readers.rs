//! Who has a FIFO open, as /proc tells.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::sys::filesystem::{self, Status};

/// Which processes can have a FIFO open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// hushpipe's descendants: nobody else sees a private directory.
    Descendants,
    /// All that /proc shows: a shared directory has readers from elsewhere too.
    All,
}

/// The programs that have a FIFO open. A process and those below it
/// that inherited the opening are one reader.
pub(super) struct Readers {
    /// For each reader: its process, and how many of its threads wait in read(2) for bytes of this
    /// FIFO.
    found: Vec<(u32, usize)>,
}

impl Readers {
    /// How many programs have it open. 0: nobody, or /proc does not show them to hushpipe.
    pub(super) fn programs(&self) -> usize {
        self.found.len()
    }

    /// How many threads wait for bytes.
    pub(super) fn asleep(&self) -> usize {
        self.found.iter().map(|(_, threads)| threads).sum()
    }

    /// How many values are wanted: one a program, more where several of its threads wait.
    pub(super) fn wanted(&self) -> usize {
        self.found.iter().map(|&(_, threads)| threads.max(1)).sum()
    }

    /// How many of them have it open that others had not.
    pub(super) fn beside(&self, others: &Self) -> usize {
        let known = |pid: u32| others.found.iter().any(|(other, _)| *other == pid);
        self.found.iter().filter(|(pid, _)| !known(*pid)).count()
    }

    /// Looks for them.
    pub(super) fn of(fifo: Status, among: Among) -> Self {
        match among {
            Among::Descendants => Self::near(fifo),
            Among::All => Self::everywhere(fifo),
        }
    }

    /// Looks at the descendants of this process.
    fn near(fifo: Status) -> Self {
        Self::below(children(std::process::id()), fifo, children)
    }

    /// Looks at every process that /proc shows.
    fn everywhere(fifo: Status) -> Self {
        let mut tree: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (pid, parent) in processes() {
            tree.entry(parent).or_default().push(pid);
        }
        // 0 is the parent of the first process, and of those whose parents cannot be seen.
        let roots = tree.remove(&0).unwrap_or_default();
        Self::below(roots, fifo, |pid| tree.remove(&pid).unwrap_or_default())
    }

    fn below(roots: Vec<u32>, fifo: Status, mut children: impl FnMut(u32) -> Vec<u32>) -> Self {
        let mut readers = Self { found: Vec::new() };
        let mut left: Vec<(u32, Option<usize>)> =
            roots.into_iter().map(|pid| (pid, None)).collect();
        while let Some((pid, mut reader)) = left.pop() {
            let numbers = numbers(pid, fifo);
            if !numbers.is_empty() {
                let index = *reader.get_or_insert_with(|| {
                    readers.found.push((pid, 0));
                    readers.found.len() - 1
                });
                readers.found[index].1 += waiting(pid, &numbers);
            }
            left.extend(children(pid).into_iter().map(|pid| (pid, reader)));
        }
        readers
    }
}

/// Every process and its parent, from proc_pid_stat(5).
fn processes() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // Its name comes before, in parentheses, and may hold anything.
            let (_, after_name) = text.rsplit_once(')')?;
            Some((
                pid,
                after_name.split_ascii_whitespace().nth(1)?.parse().ok()?,
            ))
        })
        .collect()
}

/// Threads of a process. None when it is gone.
fn threads(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// proc_pid_children(5).
fn children(pid: u32) -> Vec<u32> {
    let listed = threads(pid).into_iter().filter_map(|thread| {
        fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).ok()
    });
    listed
        .flat_map(|text| {
            let pids = text.split_ascii_whitespace().map(str::parse);
            pids.filter_map(Result::ok).collect::<Vec<u32>>()
        })
        .collect()
}

/// The descriptors under which a process has the FIFO open for reading, which the permissions of
/// the link in /proc tell: a child that has not come to its exec yet has copies of the end that
/// hushpipe writes to.
fn numbers(pid: u32, fifo: Status) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let reads = entry.metadata().ok()?.mode() & 0o400 != 0;
            let same = reads && filesystem::is_same(&entry.path(), fifo);
            same.then_some(entry.file_name().to_str()?.parse().ok()?)
        })
        .collect()
}

/// How many threads of a process wait in a read of one of these descriptors: proc_pid_syscall(5)
/// has the call's number and its arguments.
fn waiting(pid: u32, numbers: &[u64]) -> usize {
    let is_reading = |thread: &String| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).ok()?;
        let mut words = text.split_ascii_whitespace();
        let call: i64 = words.next()?.parse().ok()?;
        let first = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        let reads = [libc::SYS_read, libc::SYS_readv, libc::SYS_splice];
        (reads.contains(&call) && numbers.contains(&first)).then_some(())
    };
    threads(pid).iter().filter_map(is_reading).count()
}
