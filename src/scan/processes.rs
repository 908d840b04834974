//! Running processes, as proc(5) shows them: variables, arguments, and files that are deleted and still open.
//! What ends meanwhile is passed over.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::finding::{Finding, Place};
use super::scanner::Worker;
use super::tally::Tally;

/// Variables and arguments are this long at most: execve(2) takes no more.
const BLOCK: u64 = 8 << 20;

/// No process has more open files that are looked at.
const DESCRIPTORS: usize = 4096;

/// Scans all processes that this one may look into, but for itself.
///
/// # Errors
///
/// There is no /proc.
pub fn scan(
    worker: &mut Worker<'_>,
    proc: &Path,
    out: &mut Vec<Finding>,
    tally: &mut Tally,
) -> io::Result<()> {
    let own = std::process::id().to_string();
    let mut pids: Vec<u32> = Vec::new();
    for entry in fs::read_dir(proc)? {
        let name = entry?.file_name();
        let pid = name.to_str().filter(|name| *name != own);
        pids.extend(pid.and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    for pid in pids {
        let directory = proc.join(pid.to_string());
        let mut process = Process {
            worker,
            directory,
            name: String::new(),
            out,
            tally,
        };
        process.scan(pid);
    }
    Ok(())
}

struct Process<'a, 'w> {
    worker: &'a mut Worker<'w>,
    directory: PathBuf,
    name: String,
    out: &'a mut Vec<Finding>,
    tally: &'a mut Tally,
}

impl Process<'_, '_> {
    fn scan(&mut self, pid: u32) {
        let comm = self.file("comm").unwrap_or_default();
        self.name = format!("{pid} {}", String::from_utf8_lossy(&comm).trim());
        // A thread of the kernel has none, and another user's cannot be read.
        if let Ok(bytes) = self.file("environ") {
            self.lines("environ", &bytes, b'\n');
        }
        if let Ok(bytes) = self.file("cmdline") {
            self.lines("cmdline", &bytes, b' ');
        }
        self.deleted();
    }

    fn file(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.directory.join(name))?
            .take(BLOCK)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Strings that end with NUL, as lines or as one.
    fn lines(&mut self, name: &str, bytes: &[u8], end: u8) {
        let text: Vec<u8> = bytes
            .iter()
            .map(|byte| if *byte == 0 { end } else { *byte })
            .collect();
        let path = self.directory.join(name);
        self.read(&path, &mut &text[..]);
    }

    fn read(&mut self, path: &Path, from: &mut dyn Read) {
        let place = Place::within(path.to_string_lossy(), "process", self.name.clone());
        match self.worker.read(&place, from, self.out) {
            Ok(seen) => self.tally.saw(&place.path, seen),
            Err(error) => self.tally.skip(&place.path, &error.to_string()),
        }
    }

    /// Files without a name: whoever deletes a file of secrets may think that it is gone.
    fn deleted(&mut self) {
        let Ok(entries) = fs::read_dir(self.directory.join("fd")) else {
            return;
        };
        for entry in entries.flatten().take(DESCRIPTORS) {
            let path = entry.path();
            let is_deleted = fs::metadata(&path).is_ok_and(|found| {
                found.is_file() && found.nlink() == 0 && !found.file_type().is_fifo()
            });
            let target = fs::read_link(&path).unwrap_or_default();
            // Not memfds, which never had a name: what hushpipe delivers is in them.
            if !is_deleted || target.to_string_lossy().starts_with("/memfd:") {
                continue;
            }
            if let Ok(mut file) = fs::File::open(&path) {
                self.read(&path, &mut file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scanner::Scanner;
    use super::*;

    #[test]
    fn variables_and_arguments_of_processes_are_read() {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("4242");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::write(process.join("comm"), "nginx\n").unwrap();
        fs::write(
            process.join("environ"),
            "PATH=/bin\0DB_PASSWORD=k3yb0ard-Cat\0",
        )
        .unwrap();
        fs::write(process.join("cmdline"), "mysql\0-u\0root\0-pk3yb0ard-Fox\0").unwrap();
        fs::create_dir(proc.path().join("4243")).unwrap();
        let scanner = Scanner::new(Vec::new(), 1 << 30, false).unwrap();
        let (mut out, mut tally) = (Vec::new(), Tally::default());
        scan(&mut scanner.worker(), proc.path(), &mut out, &mut tally).unwrap();
        let found: Vec<(&str, u64)> = out
            .iter()
            .map(|one| (one.rule.as_str(), one.line))
            .collect();
        assert_eq!(found, [("assigned-secret", 2), ("command-password", 1)]);
        assert_eq!(out[0].place.within.as_ref().unwrap().name, "4242 nginx");
    }
}
