use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::model::{Exit, ValueFormat};

fn spec(run: &[&str], format: ValueFormat) -> CommandStore {
    CommandStore {
        run: run.iter().map(|argument| (*argument).to_owned()).collect(),
        format,
        timeout: Duration::from_secs(30),
        env: Vec::new(),
        show_errors: true,
    }
}

fn shell(script: &str) -> CommandStore {
    spec(&["sh", "-c", script], ValueFormat::Raw)
}

fn store(spec: &CommandStore) -> Command {
    Command::new(StoreName::new("cmd").unwrap(), spec, Reaper::new()).unwrap()
}

fn source(key: Option<&str>) -> Source {
    Source {
        store: StoreName::new("cmd").unwrap(),
        key: key.map(str::to_owned),
        version: None,
        request: None,
        format: ValueFormat::Raw,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn fetch(spec: &CommandStore, key: Option<&str>) -> Result<Fetched, StoreError> {
    block_on(store(spec).fetch(&source(key)))
}

fn output(spec: &CommandStore, key: Option<&str>) -> Vec<u8> {
    match fetch(spec, key) {
        Ok(fetched) => fetched.value.raw().unwrap().expose().to_vec(),
        Err(error) => panic!("{error}"),
    }
}

fn fault(spec: &CommandStore, key: Option<&str>) -> StoreError {
    fetch(spec, key).err().unwrap()
}

#[test]
fn what_it_prints_is_the_value_byte_for_byte() {
    assert_eq!(output(&shell(r"printf 'a\0\377\n'"), None), b"a\0\xff\n");
    assert_eq!(output(&shell("true"), None), b"");
    let large = shell("head -c 10000000 /dev/zero");
    assert_eq!(output(&large, None).len(), 10_000_000);
}

#[test]
fn the_key_stands_in_an_argument_and_nowhere_in_a_shell() {
    let spec = spec(&["printf", "%s", "op://{key}/x"], ValueFormat::Raw);
    assert_eq!(output(&spec, Some("a b; $(id)")), b"op://a b; $(id)/x");
}

#[test]
fn the_key_picks_a_field_where_the_command_takes_none() {
    let json = spec(
        &["echo", r#"{"user": "u", "port": 5432}"#],
        ValueFormat::Json,
    );
    assert_eq!(output(&json, Some("port")), b"5432");
    let whole = fetch(&json, None).ok().unwrap();
    assert_eq!(whole.value.field("user").unwrap().expose(), b"u");
    let error = fault(&json, Some("absent"));
    assert_eq!(error.exit(), Exit::Value);
    assert!(
        error
            .to_string()
            .ends_with("it has 2 fields, whose names are not shown"),
        "{error}"
    );
    let dotenv = spec(&["printf", "A=1\nB='2 3'\n"], ValueFormat::Dotenv);
    assert_eq!(output(&dotenv, Some("B")), b"2 3");
    assert!(
        fault(&shell("echo x"), Some("a"))
            .to_string()
            .contains("remove `key`")
    );
}

#[test]
fn output_of_another_format_is_a_fault_that_does_not_quote_it() {
    let error = fault(&spec(&["echo", "hunter2"], ValueFormat::Json), None);
    assert_eq!(error.exit(), Exit::Value);
    assert_eq!(
        error.to_string(),
        "store cmd: not usable as JSON: line 1, column 1: a syntax error"
    );
}

#[test]
fn one_run_answers_all_secrets_of_a_round_and_no_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = format!("echo run >> {}; printf 'A=1\nB=2\n'", log.display());
    let spec = spec(&["sh", "-c", &script], ValueFormat::Dotenv);
    let store = store(&spec);
    let (a, b, whole) = (source(Some("A")), source(Some("B")), source(None));
    for round in 1..=2 {
        let sources = [&b, &whole, &a];
        let answers = block_on(store.fetch_all(&sources));
        let raw = |index: usize| {
            let fetched = answers[index].as_ref().ok().unwrap();
            fetched.value.raw().map(|bytes| bytes.expose().to_vec())
        };
        assert_eq!(
            (raw(0), raw(1), raw(2)),
            (Some(b"2".to_vec()), None, Some(b"1".to_vec()))
        );
        assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), round);
    }
}

#[test]
fn commands_with_a_key_run_side_by_side_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    // Each waits for the other's mark: in a row, the first would never end.
    let script = format!(
        "cd {}; touch {{key}}; until [ -e a ] && [ -e b ]; do sleep 0.01; done; echo {{key}}",
        dir.path().display()
    );
    let store = store(&shell(&script));
    let (a, b) = (source(Some("a")), source(Some("b")));
    let answers = block_on(store.fetch_all(&[&b, &a]));
    let text = |index: usize| {
        let fetched = answers[index].as_ref().ok().unwrap();
        fetched.value.raw().unwrap().expose().to_vec()
    };
    assert_eq!((text(0), text(1)), (b"b\n".to_vec(), b"a\n".to_vec()));
}

#[test]
fn a_failure_tells_the_exit_code_and_the_last_line() {
    let error = fault(
        &shell("echo hunter2; echo one >&2; printf 'two\\n\\n' >&2; exit 3"),
        None,
    );
    assert_eq!(error.exit(), Exit::Unreachable);
    assert_eq!(
        error.to_string(),
        "store cmd: sh failed: exit code 3; it said: two"
    );
    let error = fault(&shell("kill -KILL $$"), None);
    assert_eq!(error.to_string(), "store cmd: sh failed: killed by SIGKILL");
}

#[test]
fn a_failure_is_told_for_every_secret_of_the_run() {
    let store = store(&spec(&["false"], ValueFormat::Json));
    let (a, b) = (source(Some("a")), source(Some("b")));
    let answers = block_on(store.fetch_all(&[&a, &b]));
    for answer in answers {
        let error = answer.err().unwrap();
        assert_eq!(error.to_string(), "store cmd: false failed: exit code 1");
    }
}

#[test]
fn the_last_line_is_short_and_harmless() {
    let long = "x".repeat(5000);
    let script = format!("printf '\\033[31mred\\a {long}' >&2; exit 1");
    let Fault::Program { last_line, .. } = fault(&shell(&script), None).fault else {
        panic!("another fault")
    };
    let LastLine::Shown(line) = last_line else {
        panic!("it is not shown")
    };
    assert_eq!(line.chars().count(), 200);
    assert!(!line.contains(char::is_control), "{line}");
    // However much goes before it.
    let noisy = "i=0; while [ $i -lt 3000 ]; do echo line $i of much noise; i=$((i+1)); done >&2; \
                 echo last >&2; exit 1";
    assert!(
        fault(&shell(noisy), None)
            .to_string()
            .ends_with("it said: last")
    );
}

#[test]
fn what_cannot_be_started_says_why() {
    let missing = spec(&["no-such-program-here"], ValueFormat::Raw);
    let error = fault(&missing, None).to_string();
    assert!(
        error.contains("no-such-program-here failed: not found"),
        "{error}"
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tool");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    let plain = spec(&[file.to_str().unwrap()], ValueFormat::Raw);
    assert!(
        fault(&plain, None)
            .to_string()
            .contains("permission denied")
    );
    fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        fault(&plain, None)
            .to_string()
            .contains("interpreter may be missing")
    );
}

#[test]
fn too_much_output_ends_the_command() {
    let error = fault(&shell("exec cat /dev/zero"), None);
    assert_eq!(error.exit(), Exit::Value);
    assert!(error.to_string().contains("more than 16 MiB"), "{error}");
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    fs::read_to_string(PathBuf::from("/proc").join(pid.trim()).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

fn wait_until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < end, "it does not come to pass");
        std::thread::yield_now();
    }
}

#[test]
fn at_the_deadline_the_whole_group_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; sleep 600 & echo $! > pid; wait",
        dir.path().display()
    );
    let mut spec = shell(&script);
    spec.timeout = Duration::from_millis(300);
    let start = Instant::now();
    let error = fault(&spec, None);
    assert_eq!(error.exit(), Exit::Deadline);
    assert_eq!(error.to_string(), "store cmd: no answer within 300ms");
    assert!(start.elapsed() < GRACE, "SIGTERM was enough");
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    wait_until(|| !lives(&pid));
}

#[test]
fn who_ignores_the_term_signal_is_killed() {
    let mut spec = shell("trap '' TERM; while :; do sleep 0.01; done");
    spec.timeout = Duration::from_millis(200);
    let start = Instant::now();
    assert_eq!(fault(&spec, None).exit(), Exit::Deadline);
    assert!(start.elapsed() >= GRACE);
}

#[test]
fn a_fetch_that_is_given_up_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600",
        pid.display()
    );
    let store = store(&shell(&script));
    let source = source(None);
    block_on(async {
        let mut fetch = store.fetch(&source);
        while !pid.exists() {
            let pause = tokio::time::sleep(Duration::from_millis(1));
            tokio::select! {
                _ = &mut fetch => panic!("it sleeps"),
                () = pause => {}
            }
        }
    });
    let pid = fs::read_to_string(&pid).unwrap();
    wait_until(|| !lives(&pid));
}

#[test]
fn a_process_that_stays_behind_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // It keeps both pipes open, as agents that tools start may.
    let script = format!("sleep 600 & echo $! > {}; echo value", pid.display());
    let start = Instant::now();
    assert_eq!(output(&shell(&script), None), b"value\n");
    assert!(start.elapsed() < Duration::from_secs(10));
    let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
}

#[test]
fn it_gets_its_environment_and_nothing_else() {
    let mut spec = spec(&["env"], ValueFormat::Dotenv);
    // Set by cargo for every test; where tests/run starts them without cargo, it sets the other.
    let (name, value) = ["CARGO_PKG_NAME", "CARGO_TARGET_DIR"]
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok()?)))
        .expect("one of them is set");
    spec.env = vec![name.to_owned(), "NOT_SET_ANYWHERE".to_owned()];
    let fetched = fetch(&spec, None).ok().unwrap();
    let Value::Fields(fields) = &fetched.value else {
        panic!("no fields")
    };
    assert_eq!(fields[name].expose(), value.as_bytes());
    for found in fields.keys() {
        let known = ENVIRONMENT.contains(&found.as_str()) || found == name;
        assert!(known, "{found}");
    }
    assert!(fields.contains_key("PATH"));
}

#[test]
fn it_has_three_descriptors_default_signals_and_a_group_of_its_own() {
    let kept = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&kept, rustix::io::FdFlags::empty()).unwrap();
    let script = "ls /proc/$$/fd; cut -d' ' -f1,5 /proc/$$/stat; readlink /proc/$$/fd/0";
    let text = String::from_utf8(output(&shell(script), None)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let ["0", "1", "2", ids, input] = lines.as_slice() else {
        panic!("other descriptors: {text}")
    };
    let (pid, group) = ids.split_once(' ').unwrap();
    assert_eq!(pid, group);
    assert_eq!(*input, "/dev/null");
    drop(kept);
    // Not by a shell, which blocks signals while it waits.
    let status = spec(&["cat", "/proc/self/status"], ValueFormat::Raw);
    let status = String::from_utf8(output(&status, None)).unwrap();
    for set in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let line = status.lines().find(|line| line.starts_with(set)).unwrap();
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}

#[test]
fn a_version_changes_with_the_output() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("value");
    fs::write(&file, "hunter2").unwrap();
    let store = store(&spec(&["cat", file.to_str().unwrap()], ValueFormat::Raw));
    let source = source(None);
    let version = || block_on(store.version(&source)).ok().unwrap();
    let first = version();
    assert_eq!(first, version());
    fs::write(&file, "other").unwrap();
    assert_ne!(first, version());
}

#[test]
fn output_counts_though_the_end_was_heard_of_first() {
    let reaper = Reaper::new();
    let argv = ["sh", "-c", "printf out; printf err >&2"].map(str::to_owned);
    let (mut said, status) = block_on(async {
        let spawned = spawn(&argv, Vec::new(), &reaper).unwrap();
        let Spawned {
            mut running,
            stdout,
            stderr,
        } = spawned;
        // Its end is collected before the event loop has looked at its pipes once.
        while !reaper.is_childless().unwrap() {
            assert!(reaper.reap().unwrap().changes.is_empty());
        }
        let mut said = Said::default();
        let collected = said.collect(&mut running, &stdout, &stderr).await;
        (said, collected.ok())
    });
    assert_eq!(status, Some(Status::Exited(0)));
    assert_eq!(said.output.take().expose(), b"out");
    assert_eq!(said.errors.take().expose(), b"err");
}
