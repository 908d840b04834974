//! Variables that programs read and /proc does not show.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::{STOPPED, VALUE, launch};
use crate::harness::{Hushpipe, Output, Running, descendants};

fn by(children: &str, rest: &str) -> Hushpipe {
    launch(&format!(
        "deliver:\n  - {{ getenv: DB_PASSWORD, secret: token, children: {children} }}\n{rest}"
    ))
}

/// A shell's view of a process that has the variable: its length, and how often the kernel shows the
/// value.
const LOOK: &str = "look() { echo \"$1 ${#DB_PASSWORD} $(grep -c horse /proc/$$/environ)\"; }; ";

fn shell(children: &str, script: &str) -> Output {
    by(children, "")
        .args(["--", "/bin/sh", "-c", &format!("{LOOK}{script}")])
        .run()
}

/// Reads the environment and the arguments of every process below one, without a pause.
struct Watcher {
    over: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Watcher {
    fn of(hushpipe: i32, value: &'static str) -> Self {
        let (over, looks) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (end, count) = (Arc::clone(&over), Arc::clone(&looks));
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !end.load(Ordering::Relaxed) {
                for pid in descendants(hushpipe) {
                    for file in ["environ", "cmdline"] {
                        let path = format!("/proc/{pid}/{file}");
                        let Ok(text) = std::fs::read(&path) else {
                            continue;
                        };
                        count.fetch_add(1, Ordering::Relaxed);
                        if text
                            .windows(value.len())
                            .any(|part| part == value.as_bytes())
                        {
                            seen.push(path);
                        }
                    }
                }
            }
            seen
        });
        Self {
            over,
            looks,
            thread: Some(thread),
        }
    }

    /// Waits until it has looked: beside other load its first turn may be late.
    fn has_looked(&self, running: &Running) {
        running.until("a look", || {
            (self.looks.load(Ordering::Relaxed) > 4).then_some(())
        });
    }

    /// Fails when it saw the value anywhere.
    fn saw_nothing(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.thread.take().expect("it runs").join().unwrap();
        assert_eq!(seen, [""; 0]);
        assert!(self.looks.load(Ordering::Relaxed) > 0);
    }
}

#[test]
fn the_watcher_sees_an_environment_that_shows_the_value() {
    let running = launch("")
        .env("SHOWN", "battery-staple")
        .args(["--", "{probe}", "on", "TERM", "exit:5", "serve"])
        .spawn();
    running.wait_for_line("ready");
    let mut watcher = Watcher::of(running.pid(), "battery-staple");
    watcher.has_looked(&running);
    watcher.over.store(true, Ordering::Relaxed);
    assert!(!watcher.thread.take().unwrap().join().unwrap().is_empty());
    running.stop().code(STOPPED);
}

#[test]
fn the_program_has_it_and_what_it_starts_has_not() {
    shell("none", "look own; export DB_PASSWORD; sh -c 'echo child ${#DB_PASSWORD}'; env | grep -c DB_PASSWORD; exit 3")
        .code(3)
        .stdout_is("own 13 0\nchild 0\n0\n");
}

#[test]
fn an_exec_in_place_keeps_it() {
    shell("none", "exec sh -c 'echo ${#DB_PASSWORD} $(grep -c horse /proc/$$/environ); exec sh -c \"echo \\${#DB_PASSWORD}\"'")
        .success()
        .stdout_is("13 0\n13\n");
}

#[test]
fn a_tree_has_it_where_children_are_the_same() {
    let inner = "sh -c 'echo inner ${#DB_PASSWORD} $(grep -c horse /proc/$$/environ)'";
    shell(
        "same",
        &format!(
            "look own; sh -c \"{}; true\"; env -i {}; env | sed 's/=.*/=/' | grep -c -e DB_PASSWORD -e PAD",
            inner.replace('$', "\\$"),
            "/bin/sh -c 'echo cleared ${#DB_PASSWORD}'"
        ),
    )
    .success()
    .stdout_is("own 13 0\ninner 13 0\ncleared 0\n1\n");
}

#[test]
fn a_value_under_another_name_is_kept_out_too() {
    let script = "X=\"a $DB_PASSWORD b\" sh -c 'echo ${#X} $(grep -c horse /proc/$$/environ)'";
    shell("same", script).success().stdout_is("17 0\n");
    shell("none", script).success().stdout_is("0 0\n");
}

#[test]
fn a_failed_exec_leaves_the_caller_as_it_was() {
    shell(
        "same",
        "/nowhere/x; look own; PATH=/nowhere:/dev/null:/usr/bin:/bin env true && look end",
    )
    .success()
    .stdout_is("own 13 0\nend 13 0\n");
}

#[test]
fn a_value_in_an_argument_is_reported_with_its_variable() {
    let output = shell("none", "sh -c 'exit 0' \"$DB_PASSWORD\"").success();
    output.stderr_has("with the value of DB_PASSWORD in argument 3");
}

#[test]
fn what_a_debugger_starts_runs_without_it() {
    if !Path::new("/usr/bin/strace").exists() {
        return;
    }
    let inner = "sh -c \"echo \\${#DB_PASSWORD} \\$(grep -c horse /proc/\\$\\$/environ)\"";
    shell("same", &format!("strace -f -o /dev/null sh -c '{inner}'"))
        .success()
        .stdout_is("0 0\n")
        .stderr_has("is traced by a debugger");
}

#[test]
fn languages_read_it() {
    let programs: &[&[&str]] = &[
        &["/bin/bash", "-c", "echo $DB_PASSWORD"],
        &["/bin/busybox", "sh", "-c", "echo $DB_PASSWORD"],
        &[
            "/usr/bin/python3",
            "-c",
            "import os; print(os.environ['DB_PASSWORD'])",
        ],
        &["/usr/bin/perl", "-e", "print \"$ENV{DB_PASSWORD}\\n\""],
        &[
            "/usr/bin/node",
            "-e",
            "console.log(process.env.DB_PASSWORD)",
        ],
        &["/usr/bin/ruby", "-e", "puts ENV['DB_PASSWORD']"],
        &["/usr/bin/php", "-r", "echo getenv('DB_PASSWORD'), \"\\n\";"],
        &[
            "/usr/bin/env",
            "-u",
            "X",
            "/bin/sh",
            "-c",
            "echo $DB_PASSWORD",
        ],
    ];
    let mut ran = 0;
    for program in programs {
        if !Path::new(program[0]).exists() {
            continue;
        }
        ran += 1;
        by("none", "")
            .arg("--")
            .args(program.iter().copied())
            .run()
            .success()
            .stdout_is(&format!("{VALUE}\n"));
    }
    assert!(ran >= 3, "{ran} of these languages are installed");
}

#[test]
fn another_user_and_a_user_without_privileges_get_it() {
    by("same", "run: { user: \"1000\" }\n")
        .args(["--", "/bin/sh", "-c", "sh -c 'echo ${#DB_PASSWORD}'; id -u"])
        .run()
        .success()
        .stdout_is("13\n1000\n");
    by("same", "")
        .user(1000)
        .args(["--", "/bin/sh", "-c", "sh -c 'echo ${#DB_PASSWORD}'; id -u"])
        .run()
        .success()
        .stdout_is("13\n1000\n");
}

#[test]
fn it_comes_to_a_program_that_is_pinned_by_its_digest() {
    use sha2::Digest as _;
    let shell = std::fs::read("/bin/sh").unwrap();
    let digest = format!("{:x}", sha2::Sha256::digest(shell));
    by("same", &format!("run: {{ sha256: {digest} }}\n"))
        .args(["--", "/bin/sh", "-c", "sh -c 'echo ${#DB_PASSWORD}'"])
        .run()
        .success()
        .stdout_is("13\n");
}

#[test]
fn it_comes_beside_private_files() {
    by(
        "same",
        "  - { file: '{place}/s/token', secret: token }\nisolation: private\n",
    )
    .args([
        "--",
        "/bin/sh",
        "-c",
        "cat {place}/s/token; sh -c 'echo ${#DB_PASSWORD}'",
    ])
    .run()
    .success()
    .stdout_is(&format!("{VALUE}13\n"));
}

/// Many children at once, threads and vfork: none is lost, and nothing shows.
#[test]
fn many_children_that_execute_at_once_have_it_and_show_nothing() {
    let count = if std::env::var_os("HUSHPIPE_NIGHTLY").is_some() {
        1000
    } else {
        100
    };
    let script = format!(
        "echo ready; while [ ! -e {{place}}/go ]; do sleep 0.02; done; for i in $(seq {count}); do /bin/sh -c 'echo ${{#DB_PASSWORD}}' & done | sort | uniq -c | tr -s ' '; echo end"
    );
    let running = by("same", "")
        .args(["--", "/bin/sh", "-c", &script])
        .spawn();
    let watcher = Watcher::of(running.pid(), VALUE);
    watcher.has_looked(&running);
    running.place().write("go", "");
    running.wait_for_line("end");
    watcher.saw_nothing();
    let output = running.wait().success();
    output.stdout_is(&format!("ready\n {count} 13\nend\n"));
}

#[test]
fn threads_start_programs_by_vfork_and_none_is_lost() {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        return;
    }
    let script = "import subprocess as s, threading as t\n\
        out = []\n\
        def work():\n\
        \x20for _ in range(5): out.append(s.run(['/bin/sh', '-c', 'echo ${#DB_PASSWORD}'], stdout=s.PIPE).stdout)\n\
        all = [t.Thread(target=work) for _ in range(8)]\n\
        [x.start() for x in all]; [x.join() for x in all]\n\
        print(len(out), set(out))\n";
    by("same", "")
        .args(["--", "/usr/bin/python3", "-c", script])
        .run()
        .success()
        .stdout_is("40 {b'13\\n'}\n");
}

#[test]
fn the_death_of_hushpipe_lets_nothing_through() {
    let script = "echo ready; while :; do /bin/sh -c : & wait; done";
    let running = by("same", "").args(["--", "/bin/sh", "-c", script]).spawn();
    running.wait_for_line("ready");
    let pid = running.pid();
    let watcher = Watcher::of(1, VALUE);
    watcher.has_looked(&running);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    running.wait();
    watcher.saw_nothing();
}

#[test]
fn what_cannot_be_had_is_refused_before_anything_is_fetched() {
    let refused = |hushpipe: Hushpipe, text: &str| {
        let output = hushpipe
            .args(["--", "/bin/sh", "-c", "echo ran"])
            .run()
            .code(78);
        output.stdout_is("").stderr_has(text);
    };
    refused(
        by("none", "run: { no_new_privs: false }\n"),
        "getenv sets no_new_privs",
    );
    refused(
        by("none", "run: { env: { set: { DB_PASSWORD: x } } }\n"),
        "`DB_PASSWORD` is both set and delivered by getenv",
    );
    refused(
        by("none", "").arg("--exec"),
        "getenv does not work with --exec",
    );
    refused(
        by("none", "mode: exec\n"),
        "getenv does not work in mode exec",
    );
}

#[test]
fn a_value_with_a_nul_byte_is_refused() {
    by("none", "")
        .file("secrets/token", b"a\0b")
        .args(["--", "/bin/sh", "-c", "echo ran"])
        .run()
        .code(65)
        .stdout_is("")
        .stderr_has("getenv DB_PASSWORD: its value contains a NUL byte");
}
