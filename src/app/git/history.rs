//! Every version of every file of a repository, each once, asked of git: `rev-list` for their paths,
//! `cat-file` for their bytes. Neither runs a hook, a filter, a helper or a program that the repository's
//! configuration names; what could is switched off. git is taken from the system's own directories, never
//! from a `PATH` that has a project's.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::app::event_loop::runtime;
use crate::model::printable::printable;
use crate::scan::{Finding, Place, Scanner, Tally, Worker};
use crate::sys::command::spawn;
use crate::sys::reaper::{Reaper, Status};

/// Where distributions have git.
const PROGRAMS: [&str; 4] = [
    "/usr/bin/git",
    "/usr/local/bin/git",
    "/bin/git",
    "/run/current-system/sw/bin/git",
];

/// So much of what git says of a failure is shown.
const SAID: u64 = 4096;

/// A line of `rev-list` or `cat-file` is no longer: paths have 4096 bytes at most.
const LINE: u64 = 8192;

/// A smaller file goes to another thread.
const SMALL: u64 = 1 << 20;

/// So many small files wait.
const WAITING: usize = 64;

/// Where a file of the history is.
#[derive(Clone)]
struct Known {
    path: String,
    /// The newest commit that has it, by its first digits.
    commit: String,
}

/// Scans the history of a repository.
///
/// # Errors
///
/// There is no git, or it refuses: its own words are in the error.
pub fn history(
    scanner: &Scanner,
    repository: &Path,
    threads: usize,
) -> io::Result<(Vec<Finding>, Tally)> {
    let mut known = HashMap::new();
    let mut commit = String::new();
    let listed = [
        "rev-list",
        "--all",
        "--reflog",
        "--objects",
        "--in-commit-order",
    ];
    git(repository, &listed, |lines| {
        while let Some(line) = line(lines)? {
            match line.split_once(' ') {
                None => commit = line,
                // A name that is not UTF-8 is shown as far as it is.
                Some((id, path)) if !path.is_empty() => {
                    let commit = commit.get(..12).unwrap_or(&commit).to_owned();
                    let path = path.to_owned();
                    known.entry(id.to_owned()).or_insert(Known { path, commit });
                }
                Some(_) => {}
            }
        }
        Ok(())
    })?;
    let mut all = (Vec::new(), Tally::default());
    let objects = [
        "cat-file",
        "--batch-all-objects",
        "--unordered",
        "--buffer",
        "--batch",
    ];
    git(repository, &objects, |from| {
        all = blobs(scanner, &known, from, threads)?;
        Ok(())
    })?;
    // A value that stays while its file changes is one finding.
    let mut seen = std::collections::HashSet::new();
    all.0
        .retain(|finding| seen.insert(finding.fingerprint.clone()));
    Ok(all)
}

/// Runs git on a repository and reads what it writes. An error of git's is one here.
fn git(
    repository: &Path,
    words: &[&str],
    read: impl FnOnce(&mut BufReader<File>) -> io::Result<()>,
) -> io::Result<()> {
    let program = PROGRAMS.iter().find(|path| Path::new(path).exists());
    let program = program
        .ok_or_else(|| io::Error::other("git is not installed in /usr/bin or /usr/local/bin"))?;
    let directory = repository
        .to_str()
        .ok_or_else(|| io::Error::other("its path is not UTF-8"))?;
    let fixed = [
        program,
        "--no-replace-objects",
        "--no-optional-locks",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.quotePath=false",
        "-C",
        directory,
    ];
    let argv: Vec<String> = fixed
        .iter()
        .chain(words)
        .map(|word| (*word).to_owned())
        .collect();
    let runtime = runtime().map_err(|_| io::Error::other("no event loop could be made"))?;
    runtime.block_on(async {
        let mut spawned = spawn(&argv, environment(), &Reaper::new())?;
        let stdout = File::from(spawned.stdout.into_blocking_fd()?);
        let mut stderr = File::from(spawned.stderr.into_blocking_fd()?);
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            (&mut stderr).take(SAID).read_to_end(&mut said)?;
            io::copy(&mut stderr, &mut io::sink())?;
            Ok::<_, io::Error>(said)
        });
        let result = read(&mut BufReader::with_capacity(1 << 16, stdout));
        // What was not read is not waited for: git ends by SIGPIPE.
        let status = spawned.running.ended().await?;
        let said = said
            .join()
            .map_err(|_| io::Error::other("a thread ended"))??;
        result?;
        if matches!(status, Status::Exited(0)) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        Err(io::Error::other(format!("git: {}", printable(said.trim()))))
    })
}

/// Nothing leads git elsewhere, asks a person or fetches what is missing.
fn environment() -> Vec<(OsString, OsString)> {
    let fixed = [
        ("PATH", "/usr/bin:/bin"),
        ("LC_ALL", "C"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_ALLOW_PROTOCOL", "none"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_PAGER", "cat"),
    ];
    let fixed = fixed.map(|(name, value)| (name.into(), value.into()));
    let home = std::env::var_os("HOME").map(|home| ("HOME".into(), home));
    fixed.into_iter().chain(home).collect()
}

/// A line without its end; `None` at the end of all.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    from.take(LINE).read_until(b'\n', &mut bytes)?;
    let Some(bytes) = bytes.strip_suffix(b"\n") else {
        return match bytes.len() {
            0 => Ok(None),
            _ => Err(io::Error::other(
                "git wrote a line that is too long, or no end of one",
            )),
        };
    };
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

/// A file that waits for a thread.
type Job = (Place, Vec<u8>);

fn blobs(
    scanner: &Scanner,
    known: &HashMap<String, Known>,
    from: &mut impl BufRead,
    threads: usize,
) -> io::Result<(Vec<Finding>, Tally)> {
    let (sender, receiver) = sync_channel::<Job>(WAITING);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let work = || work(scanner, &receiver);
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut worker = scanner.worker();
        let (mut found, mut tally) = (Vec::new(), Tally::default());
        let result = each(known, from, &sender, &mut worker, &mut found, &mut tally);
        drop(sender);
        for worker in workers {
            let (more, other) = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            found.extend(more);
            tally.add(other);
        }
        result.map(|()| (found, tally))
    })
}

/// `ID TYPE SIZE`, the bytes, a line end; again and again.
fn each(
    known: &HashMap<String, Known>,
    from: &mut impl BufRead,
    sender: &SyncSender<Job>,
    worker: &mut Worker<'_>,
    found: &mut Vec<Finding>,
    tally: &mut Tally,
) -> io::Result<()> {
    while let Some(header) = line(from)? {
        let bad = || io::Error::other("git wrote something else than objects");
        let mut words = header.split(' ');
        let (id, kind) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let size: u64 = words
            .next()
            .and_then(|size| size.parse().ok())
            .ok_or_else(bad)?;
        let mut content = from.take(size);
        if kind == "blob" {
            let place = place(known.get(id), id);
            if size <= SMALL {
                let mut bytes = Vec::with_capacity(size as usize);
                content.read_to_end(&mut bytes)?;
                // Nobody receives it only if a thread panicked, which ends the scan.
                sender.send((place, bytes)).map_err(|_| bad())?;
            } else {
                let seen = worker.read(&place, &mut content, found)?;
                tally.saw(&place.path, seen);
            }
        }
        io::copy(&mut content, &mut io::sink())?;
        let mut end = [0];
        from.read_exact(&mut end)?;
        if end != [b'\n'] {
            return Err(bad());
        }
    }
    Ok(())
}

fn place(known: Option<&Known>, id: &str) -> Place {
    match known {
        Some(known) => Place::within(known.path.clone(), "commit", known.commit.clone()),
        // Of a commit that no branch, tag or reflog has any more.
        None => Place::within(id.get(..12).unwrap_or(id), "object", "unreachable"),
    }
}

fn work(scanner: &Scanner, jobs: &Mutex<Receiver<Job>>) -> (Vec<Finding>, Tally) {
    let mut worker = scanner.worker();
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((place, bytes)) = job else {
            return (found, tally);
        };
        match worker.read(&place, &mut &bytes[..], &mut found) {
            Ok(seen) => tally.saw(&place.path, seen),
            Err(error) => tally.skip(&place.path, &error.to_string()),
        }
    }
}
