//! Looks for canaries in the memory of processes, in what /proc shows of them, and in files.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use memchr::memmem;
use rustix::pipe::SpliceFlags;

use super::canary::{Canary, Form};
use crate::harness::walk;

/// Read at once, and small enough for the processor's cache, as each form is looked for in it; mappings are
/// longer than that.
const PART: usize = 1 << 17;
const PAGE: usize = 4096;

/// What is looked for.
pub struct Scan {
    forms: Vec<Form>,
    longest: usize,
}

/// One mapping of proc_pid_maps(5).
struct Mapping {
    start: u64,
    end: u64,
    /// `rw-p [heap]`
    name: String,
    /// Of the program and its libraries: the file, and where in it the mapping begins.
    code: Option<(File, u64)>,
}

/// What a scan of a process's memory saw.
pub struct Seen {
    /// Each hit: the form, the mapping, the address.
    pub hits: Vec<String>,
    /// How many bytes could be read.
    pub bytes: u64,
}

impl Scan {
    /// For every form of these.
    pub fn new<'a>(canaries: impl IntoIterator<Item = &'a Canary>) -> Self {
        let forms: Vec<Form> = canaries.into_iter().flat_map(Canary::forms).collect();
        let longest = forms.iter().map(|form| form.bytes.len()).max().unwrap_or(1);
        Self { forms, longest }
    }

    /// Whether something is in these bytes, and where.
    pub fn bytes(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let look = |form: &Form| {
            let found = memmem::find(bytes, &form.bytes)?;
            Some(format!("{} in {place} at {found:#x}", form.name))
        };
        self.forms.iter().filter_map(look).collect()
    }

    /// All memory of a process that can be read. Needs root: hushpipe is not dumpable.
    pub fn memory(&self, pid: i32) -> Seen {
        let memory = File::open(format!("/proc/{pid}/mem")).expect("the memory can be opened");
        let mut seen = Seen {
            hits: Vec::new(),
            bytes: 0,
        };
        for mapping in mappings(pid) {
            self.mapping(&memory, &mapping, &mut seen);
        }
        seen
    }

    fn mapping(&self, memory: &File, mapping: &Mapping, seen: &mut Seen) {
        let mut part = vec![0; PART + self.longest];
        let mut file = part.clone();
        let mut at = mapping.start;
        while at < mapping.end {
            let wanted = part.len().min((mapping.end - at) as usize);
            match memory.read_at(&mut part[..wanted], at) {
                Ok(count) if count > 0 => {
                    if !mapping.is_code(at, &part[..count], &mut file) {
                        let place = format!("{} from {at:#x}", mapping.name);
                        seen.hits.extend(self.bytes(&place, &part[..count]));
                    }
                    seen.bytes += count.min(PART) as u64;
                    // The end is read again: a canary may lie across.
                    let step = if count > self.longest {
                        count - self.longest
                    } else {
                        count
                    };
                    at += if at + count as u64 >= mapping.end {
                        count
                    } else {
                        step
                    } as u64;
                }
                // Pages that nobody can read, such as those of memfd_secret(2).
                _ => at = (at / PAGE as u64 + 1) * PAGE as u64,
            }
        }
    }

    /// Environment, arguments and titles of processes, as /proc shows them to all who may look.
    pub fn shown(&self, pids: &[i32]) -> Vec<String> {
        let mut hits = Vec::new();
        for pid in pids {
            for name in ["environ", "cmdline", "comm", "status", "mountinfo", "maps"] {
                let path = format!("/proc/{pid}/{name}");
                // A process that ended meanwhile shows nothing.
                let bytes = fs::read(&path).unwrap_or_default();
                hits.extend(self.bytes(&path, &bytes));
            }
        }
        hits
    }

    /// What the descriptors of processes lead to: their names, what is in files, memfds among them,
    /// and in pipes, where it stays. A hit names both: `… in /proc/7/fd/3 pipe:[8] at 0x0`.
    pub fn descriptors(&self, pids: &[i32]) -> Vec<String> {
        let mut hits = Vec::new();
        for pid in pids {
            // A process that ended meanwhile has none.
            let open = fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten();
            for path in open.flatten().map(|entry| entry.path()) {
                let target = fs::read_link(&path).unwrap_or_default();
                let name = format!("{} {}", path.display(), target.display());
                hits.extend(self.bytes(&name, target.as_os_str().as_encoded_bytes()));
                let is_file = fs::metadata(&path).is_ok_and(|data| data.is_file());
                let bytes = if is_file {
                    fs::read(&path)
                } else if target.to_string_lossy().starts_with("pipe:[") {
                    peek(&path)
                } else {
                    continue;
                };
                hits.extend(self.bytes(&name, &bytes.unwrap_or_default()));
            }
        }
        hits
    }

    /// Every file below a directory, and their names. Of hushpipe and this program, which are there under
    /// a further name, the names alone: no canary is as old.
    pub fn files(&self, directory: &Path) -> Vec<String> {
        let own = std::env::current_exe().expect("the test knows its program");
        let programs = [Path::new(env!("CARGO_BIN_EXE_hushpipe")), &own];
        let programs = programs.map(|path| inode(&fs::metadata(path).expect("it is there")));
        let mut hits = Vec::new();
        for path in walk(directory) {
            let name = path.display().to_string();
            hits.extend(self.bytes("a name", name.as_bytes()));
            let found = fs::symlink_metadata(&path);
            if found.is_ok_and(|data| data.is_file() && !programs.contains(&inode(&data))) {
                hits.extend(self.bytes(&name, &fs::read(&path).unwrap_or_default()));
            }
        }
        hits
    }
}

impl Mapping {
    /// Whether these bytes of it are those of the program's file: canaries are newer than that.
    fn is_code(&self, at: u64, bytes: &[u8], file: &mut [u8]) -> bool {
        self.code.as_ref().is_some_and(|(code, offset)| {
            let file = &mut file[..bytes.len()];
            let read = code.read_exact_at(file, offset + (at - self.start));
            read.is_ok() && file == bytes
        })
    }
}

fn inode(data: &Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

/// What is in a pipe, and stays there: tee(2).
fn peek(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let pipe = options.open(path)?;
    let (mut copy, end) = io::pipe()?;
    rustix::pipe::fcntl_setpipe_size(&end, PART)?;
    let count = rustix::pipe::tee(&pipe, &end, PART, SpliceFlags::NONBLOCK)?;
    let mut bytes = vec![0; count];
    copy.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn mappings(pid: i32) -> Vec<Mapping> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the maps can be read");
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    text.lines()
        .filter_map(|line| mapping(line, &program).ok()?)
        .collect()
}

/// `7f0c…-7f0d… rw-p 00000000 00:00 0   [heap]`; `None` for what cannot be read.
fn mapping(line: &str, program: &Path) -> io::Result<Option<Mapping>> {
    let mut words = line.split_whitespace();
    let mut next = || words.next().ok_or(io::ErrorKind::InvalidData);
    let (range, mode, offset) = (next()?, next()?, next()?);
    let (start, end) = range.split_once('-').ok_or(io::ErrorKind::InvalidData)?;
    let number = |text| u64::from_str_radix(text, 16).map_err(io::Error::other);
    let name = line.split_whitespace().nth(5).unwrap_or("anonymous");
    // Kernel pages that have no bytes of the process.
    let foreign = matches!(name, "[vsyscall]" | "[vvar]" | "[vvar_vclock]");
    let is_code = Path::new(name) == program || name.contains(".so.");
    let code = File::open(name).ok().filter(|_| is_code);
    Ok((mode.starts_with('r') && !foreign).then_some(Mapping {
        start: number(start)?,
        end: number(end)?,
        name: format!("{mode} {name}"),
        code: code.zip(number(offset).ok()),
    }))
}

#[test]
fn what_is_not_as_in_the_programs_file_is_looked_at() {
    let own = std::process::id() as i32;
    let found = mappings(own);
    let code = found.iter().find(|mapping| mapping.code.is_some());
    let code = code.expect("the program is mapped");
    let memory = File::open("/proc/self/mem").expect("it is this process's own");
    let (mut bytes, mut file) = (vec![0; PAGE], vec![0; PAGE]);
    memory
        .read_exact_at(&mut bytes, code.start)
        .expect("it can be read");
    assert!(code.is_code(code.start, &bytes, &mut file));
    bytes[PAGE / 2] ^= 1;
    assert!(!code.is_code(code.start, &bytes, &mut file));
    let heap = found.iter().find(|mapping| mapping.name.contains("[heap]"));
    assert!(heap.is_some_and(|heap| heap.code.is_none()));
}
