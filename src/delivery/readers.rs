//! Who has a FIFO open, as /proc tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

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
    /// For each reader, how many of its threads wait in read(2) for bytes of this FIFO.
    found: Vec<usize>,
    /// All processes that have it open, those that inherited the opening too.
    holders: BTreeSet<u32>,
    /// All others that were looked at.
    others: BTreeSet<u32>,
}

impl Readers {
    /// How many programs have it open. 0: nobody, or /proc does not show them to hushpipe.
    pub(super) fn programs(&self) -> usize {
        self.found.len()
    }

    /// How many threads wait for bytes.
    pub(super) fn asleep(&self) -> usize {
        self.found.iter().sum()
    }

    /// How many values are wanted: one a program, more where several of its threads wait.
    pub(super) fn wanted(&self) -> usize {
        self.found.iter().map(|&threads| threads.max(1)).sum()
    }

    /// How many have opened it since an earlier look. A process that began after it inherited the
    /// opening: one that was about to open it was there already.
    pub(super) fn since(&self, earlier: &Self) -> usize {
        self.holders.intersection(&earlier.others).count()
    }

    /// Adds those of a later look: they have been seen to.
    pub(super) fn include(&mut self, later: Self) {
        self.others.retain(|pid| !later.holders.contains(pid));
        self.holders.extend(later.holders);
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
        let mut readers = Self {
            found: Vec::new(),
            holders: BTreeSet::new(),
            others: BTreeSet::new(),
        };
        let mut left: Vec<(u32, Option<usize>)> =
            roots.into_iter().map(|pid| (pid, None)).collect();
        while let Some((pid, mut reader)) = left.pop() {
            let numbers = numbers(pid, fifo);
            if numbers.is_empty() {
                readers.others.insert(pid);
            } else {
                readers.holders.insert(pid);
                let index = *reader.get_or_insert_with(|| {
                    readers.found.push(0);
                    readers.found.len() - 1
                });
                readers.found[index] += waiting(pid, &numbers, fifo);
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
/// has the call's number and its arguments. The descriptor is looked at once more after it: a child
/// that had a copy of its parent's may have come to its exec meanwhile, and reads something else
/// under the same number.
fn waiting(pid: u32, numbers: &[u64], fifo: Status) -> usize {
    let is_reading = |thread: &String| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).ok()?;
        let number = read_from(&text)?;
        let still = || filesystem::is_same(&descriptor(pid, number), fifo);
        (numbers.contains(&number) && still()).then_some(())
    };
    threads(pid).iter().filter_map(is_reading).count()
}

/// The descriptor that a call reads from; `None` for calls that do not read.
fn read_from(syscall: &str) -> Option<u64> {
    let mut words = syscall.split_ascii_whitespace();
    let call: i64 = words.next()?.parse().ok()?;
    let first = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let reads = [libc::SYS_read, libc::SYS_readv, libc::SYS_splice];
    reads.contains(&call).then_some(first)
}

fn descriptor(pid: u32, number: u64) -> PathBuf {
    format!("/proc/{pid}/fd/{number}").into()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, Command, Stdio};

    use super::super::fixtures::memory;
    use super::*;

    /// A FIFO with a writing end.
    struct Fifo {
        path: PathBuf,
        end: File,
        _directory: tempfile::TempDir,
    }

    impl Fifo {
        fn new() -> Self {
            let directory = memory();
            let path = directory.path().join("fifo");
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            let mut options = File::options();
            let _both = options.read(true).write(true).open(&path).unwrap();
            let end = File::options().write(true).open(&path).unwrap();
            Self {
                path,
                end,
                _directory: directory,
            }
        }

        fn status(&self) -> Status {
            filesystem::status(&self.end).unwrap()
        }

        fn readers(&self) -> Readers {
            Readers::of(self.status(), Among::Descendants)
        }

        /// A shell that has the path as `$1`; it ends with the test.
        fn shell(&self, script: &str) -> Shell {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]).arg(&self.path);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            Shell(command.spawn().unwrap())
        }
    }

    struct Shell(Child);

    impl Shell {
        fn tell(&self) {
            self.0.stdin.as_ref().unwrap().write_all(b"\n").unwrap();
        }

        fn hear(&mut self) {
            let mut line = String::new();
            let stdout = self.0.stdout.as_mut().unwrap();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            assert_eq!(line, "done\n");
        }

        fn until_it_reads(&self, number: u64) {
            let syscall = format!("/proc/{}/syscall", self.0.id());
            let reads = |text: String| read_from(&text) == Some(number);
            until(|| fs::read_to_string(&syscall).is_ok_and(reads));
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn until(mut look: impl FnMut() -> bool) {
        while !look() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_number_that_was_the_fifo_and_is_another_file_does_not_count() {
        let fifo = Fifo::new();
        let count = |shell: &Shell| waiting(shell.0.id(), &[0], fifo.status());
        let reader = fifo.shell("exec cat <\"$1\"");
        until(|| !numbers(reader.0.id(), fifo.status()).is_empty());
        reader.until_it_reads(0);
        assert_eq!(count(&reader), 1);
        let other = fifo.shell("exec cat");
        other.until_it_reads(0);
        assert_eq!(count(&other), 0);
    }

    #[test]
    fn one_that_inherited_the_opening_has_not_opened_it_since() {
        let fifo = Fifo::new();
        for script in [
            "exec 3<\"$1\"; cat <&3 & echo done; read go; exec 3<&-; echo done; read end",
            "exec 3<\"$1\"; echo done; read go; cat <&3 & exec 3<&-; echo done; read end",
        ] {
            let mut shell = fifo.shell(script);
            shell.hear();
            let earlier = fifo.readers();
            assert!(earlier.holders.contains(&shell.0.id()), "{script}");
            shell.tell();
            shell.hear();
            let readers = fifo.readers();
            assert!(!readers.holders.contains(&shell.0.id()), "{script}");
            assert!(!readers.holders.is_empty(), "{script}");
            assert_eq!(readers.since(&earlier), 0, "{script}");
        }
    }

    #[test]
    fn one_that_was_there_and_had_it_not_open_has_opened_it_since() {
        let fifo = Fifo::new();
        let _first = fifo.shell("exec cat \"$1\"");
        until(|| fifo.readers().programs() == 1);
        let late = fifo.shell("read go; exec cat \"$1\"");
        late.until_it_reads(0);
        let mut earlier = fifo.readers();
        assert_eq!(fifo.readers().since(&earlier), 0);
        late.tell();
        until(|| fifo.readers().programs() == 2);
        let readers = fifo.readers();
        assert_eq!(readers.since(&earlier), 1);
        earlier.include(readers);
        assert_eq!(fifo.readers().since(&earlier), 0);
    }
}
