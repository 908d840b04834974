use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::model::{EnvInherit, EnvSpec, Exit, Forward, Leftovers, Stop, rounds};
use crate::sys::child::{stage, stage_here};

fn run_spec(command: &[&str]) -> RunSpec {
    RunSpec {
        command: command.iter().map(OsString::from).collect(),
        user: None,
        group: None,
        supplementary_groups: None,
        cwd: None,
        umask: None,
        env: EnvSpec::default(),
        fds: Vec::new(),
        sha256: None,
        judged: false,
        startup: crate::model::Startup::default(),
        stop: Stop {
            signal: Signal::TERM,
            timeout: Duration::from_secs(30),
            leftovers: Leftovers::Terminate,
        },
        forward: Forward::default(),
        core_dumps: false,
        no_new_privs: true,
        redact: Vec::new(),
        rlimits: BTreeMap::new(),
    }
}

fn inherited() -> Vec<(OsString, OsString)> {
    [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/home/me"),
        ("LANG", "C"),
        ("VAULT_TOKEN", "token"),
        ("VAULT_ADDR", "https://vault"),
        ("HUSHPIPE_MANIFEST", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("SOPS_AGE_KEY_FILE", "x"),
        ("LISTEN_FDS", "1"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec()
}

fn settle(run: &RunSpec) -> Result<Launch, Vec<SpawnError>> {
    Launch::settle(run, inherited())
}

fn env_of(env: EnvSpec) -> Vec<String> {
    let mut run = run_spec(&["true"]);
    run.env = env;
    let launch = settle(&run).unwrap();
    let text = |text: &CString| text.to_str().unwrap().to_owned();
    launch.env().iter().map(text).collect()
}

fn only_fault(run: &RunSpec) -> SpawnError {
    let mut faults = settle(run).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.remove(0)
}

fn file(directory: &tempfile::TempDir, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = directory.path().join(name);
    crate::sys::child::tests::write_elsewhere(&path, content.as_bytes());
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn the_environment_is_inherited_without_bootstrap_credentials() {
    let expected = ["HOME=/home/me", "LANG=C", "PATH=/usr/bin:/bin"];
    assert_eq!(env_of(EnvSpec::default()), expected);
}

#[test]
fn the_environment_is_as_the_manifest_says() {
    let set = [("EXTRA", "1"), ("LANG", "C.UTF-8")];
    let set: BTreeMap<String, String> = set
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let none = EnvSpec {
        inherit: EnvInherit::None,
        unset: Vec::new(),
        set: set.clone(),
        withheld: Vec::new(),
        loading: None,
    };
    assert_eq!(env_of(none), ["EXTRA=1", "LANG=C.UTF-8"]);
    let only = ["PATH", "LANG", "MISSING", "VAULT_TOKEN"]
        .map(str::to_owned)
        .to_vec();
    let only = EnvSpec {
        inherit: EnvInherit::Only(only),
        unset: vec!["PATH".to_owned()],
        set,
        withheld: vec!["VAULT_TOKEN".to_owned()],
        loading: None,
    };
    assert_eq!(env_of(only), ["EXTRA=1", "LANG=C.UTF-8"]);
}

#[test]
fn what_is_set_explicitly_wins_but_for_hushpipes_own() {
    let with = |name: &str| EnvSpec {
        inherit: EnvInherit::None,
        unset: Vec::new(),
        set: [(name.to_owned(), "v".to_owned())].into(),
        withheld: Vec::new(),
        loading: None,
    };
    assert_eq!(env_of(with("VAULT_TOKEN")), ["VAULT_TOKEN=v"]);
    for wrong in ["HUSHPIPE_X", "", "A=B", "A\0B"] {
        let mut run = run_spec(&["true"]);
        run.env = with(wrong);
        assert_eq!(only_fault(&run).exit(), Exit::Manifest, "{wrong:?}");
    }
}

#[test]
fn a_change_of_user_brings_home_and_name() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can become another user
    }
    let mut run = run_spec(&["true"]);
    run.user = Some("daemon".to_owned());
    let launch = settle(&run).unwrap();
    let env: Vec<_> = launch
        .env()
        .iter()
        .map(|text| text.to_str().unwrap())
        .collect();
    assert!(env.contains(&"HOME=/usr/sbin"), "{env:?}");
    assert!(env.contains(&"USER=daemon"), "{env:?}");
    assert_eq!(launch.owner(), (1, 1));
    assert_eq!(launch.identity().unwrap().groups, [1]);
}

#[test]
fn who_is_not_there_is_named() {
    let mut run = run_spec(&["true"]);
    run.user = Some("no-such-user".to_owned());
    let fault = only_fault(&run);
    assert_eq!(fault.exit(), Exit::Manifest);
    assert!(fault.to_string().contains("\"no-such-user\""), "{fault}");
    run.user = Some("4242".to_owned());
    let fault = only_fault(&run);
    assert!(fault.to_string().contains("set run.group"), "{fault}");
}

#[test]
fn every_fault_is_given() {
    let mut run = run_spec(&["no-such-program-here", "a\0b"]);
    run.user = Some("no-such-user".to_owned());
    run.cwd = Some("/nonexistent".into());
    run.rlimits.insert("files".to_owned(), (None, None));
    let faults = settle(&run).unwrap_err();
    let exits: Vec<_> = faults.iter().map(SpawnError::exit).collect();
    let expected = [
        Exit::Manifest,
        Exit::Manifest,
        Exit::NotFound,
        Exit::Os,
        Exit::Manifest,
    ];
    assert_eq!(exits, expected, "{faults:?}");
}

#[test]
fn a_program_is_found_in_its_own_path() {
    let directory = tempfile::tempdir().unwrap();
    let found = file(&directory, "tool", "#!/bin/sh\n", 0o755);
    let path = format!("/nonexistent::{}", directory.path().display());
    assert_eq!(
        resolve(OsStr::new("tool"), Some(OsStr::new(&path)), None).unwrap(),
        found
    );
    let mut run = run_spec(&["tool"]);
    run.env.set.insert("PATH".to_owned(), path);
    assert_eq!(settle(&run).unwrap().program(), found);
    assert!(resolve(OsStr::new("sh"), None, None).is_ok());
}

#[test]
fn a_relative_program_is_taken_from_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    file(&directory, "tool", "#!/bin/sh\n", 0o755);
    let cwd = Some(directory.path());
    assert!(resolve(OsStr::new("./tool"), None, cwd).is_ok());
    assert!(resolve(OsStr::new("tool"), Some(OsStr::new(".")), cwd).is_ok());
    assert_eq!(
        resolve(OsStr::new("./tool"), None, None)
            .unwrap_err()
            .exit(),
        Exit::NotFound
    );
}

#[test]
fn what_cannot_run_is_126_and_what_is_not_there_127() {
    let directory = tempfile::tempdir().unwrap();
    let plain = file(&directory, "plain", "x", 0o644);
    let path = directory.path().as_os_str();
    let exit = |command: &str| {
        resolve(OsStr::new(command), Some(path), None)
            .unwrap_err()
            .exit()
    };
    assert_eq!(exit("missing"), Exit::NotFound);
    assert_eq!(exit("/nonexistent/missing"), Exit::NotFound);
    assert_eq!(exit(""), Exit::NotFound);
    assert_eq!(exit("plain"), Exit::NotExecutable);
    assert_eq!(exit(plain.to_str().unwrap()), Exit::NotExecutable);
    assert_eq!(exit("/"), Exit::NotExecutable);
    let fault = resolve(OsStr::new("/"), None, None)
        .unwrap_err()
        .to_string();
    assert_eq!(fault, "/ is a directory, not a program");
}

fn handover() -> Handover {
    Handover {
        fds: Vec::new(),
        hidden: None,
        mounts: Vec::new(),
        covers: Vec::new(),
        apart: false,
        users: None,
        beside: None,
        group: Group::Own,
        mask: Mask::empty(),
        parent_death: None,
        variables: Vec::new(),
        pid_variables: Vec::new(),
    }
}

/// The error of executing a file with this content.
fn executing(content: &str) -> SpawnError {
    let directory = tempfile::tempdir().unwrap();
    let program = file(&directory, "program", content, 0o755);
    let launch = settle(&run_spec(&[program.to_str().unwrap()])).unwrap();
    let staged = stage(launch.spec(handover()).unwrap()).unwrap();
    let pid = staged.pid();
    let fault = SpawnError::from(staged.start().unwrap_err());
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::wait::waitpid(pid, None).unwrap();
    fault
}

#[test]
fn a_missing_interpreter_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let program = file(&directory, "program", "#! /nonexistent/python -u\n", 0o755);
    let fault = only_fault(&run_spec(&[program.to_str().unwrap()]));
    assert_eq!(fault.exit(), Exit::NotExecutable);
    assert!(
        fault
            .to_string()
            .contains("/nonexistent/python, which is missing"),
        "{fault}"
    );
}

#[test]
fn a_script_without_interpreter_is_told_what_it_needs() {
    let fault = executing("echo hello\n");
    assert_eq!(fault.exit(), Exit::NotExecutable);
    assert!(fault.to_string().contains("#!/bin/sh"), "{fault}");
}

#[test]
fn a_digest_pins_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let program = file(&directory, "program", "abc", 0o755);
    // The first example of FIPS 180-2.
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut run = run_spec(&[program.to_str().unwrap()]);
    run.sha256 = Some(crate::model::Sha256::parse(digest).unwrap());
    assert!(
        settle(&run)
            .unwrap()
            .spec(handover())
            .unwrap()
            .pinned
            .is_some()
    );
    file(&directory, "program", "abd", 0o755);
    let fault = only_fault(&run);
    assert_eq!(fault.exit(), Exit::Denied);
    assert!(fault.to_string().contains(digest), "{fault}");
}

#[test]
fn a_delivery_can_set_a_variable() {
    let mut launch = settle(&run_spec(&["true"])).unwrap();
    launch.set_variable("LANG", OsStr::new("de")).unwrap();
    launch
        .set_variable("CREDENTIALS_DIRECTORY", OsStr::new("/run/c"))
        .unwrap();
    let env: Vec<_> = launch
        .env()
        .iter()
        .map(|text| text.to_str().unwrap())
        .collect();
    assert_eq!(
        env.iter().filter(|text| text.starts_with("LANG=")).count(),
        1
    );
    assert!(env.contains(&"LANG=de") && env.contains(&"CREDENTIALS_DIRECTORY=/run/c"));
    assert!(launch.set_variable("HUSHPIPE_X", OsStr::new("")).is_err());
}

#[test]
fn exec_mode_refuses_what_supervise_mode_refuses() {
    let mut spec = settle(&run_spec(&["true"]))
        .unwrap()
        .spec(handover())
        .unwrap();
    spec.fds = vec![(fs::File::open("/dev/null").unwrap().into(), i32::MAX)];
    assert!(stage_here(spec).is_err());
}

/// Exchanges files in a directory where others can write, as fast as it can.
struct Exchanger {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    count: std::sync::Arc<std::sync::atomic::AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What is exchanged: its name, both contents, and how.
type Exchanged = (&'static str, [Vec<u8>; 2], By);

/// How a file is exchanged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Another one is renamed into its place.
    Rename,
    /// It is written in place.
    Write,
    /// It is written in place, by another name that it has in another directory.
    Link,
}

impl Exchanger {
    fn start(directory: PathBuf, files: Vec<Exchanged>) -> Self {
        use std::sync::atomic::Ordering::SeqCst;
        for (name, contents, by) in &files {
            Self::put(&directory.join(name), &contents[0], By::Rename);
            if *by == By::Link {
                fs::create_dir(directory.join("links")).unwrap();
                fs::hard_link(directory.join(name), Self::other(&directory.join(name))).unwrap();
            }
        }
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (ended, counted) = (stop.clone(), count.clone());
        let thread = std::thread::spawn(move || {
            for turn in (0..2).cycle() {
                for (name, contents, by) in &files {
                    Self::put(&directory.join(name), &contents[turn], *by);
                    counted.fetch_add(1, SeqCst);
                }
                if ended.load(SeqCst) {
                    return;
                }
            }
        });
        Self {
            stop,
            count,
            thread: Some(thread),
        }
    }

    /// The other name of a file.
    fn other(path: &Path) -> PathBuf {
        let directory = path.parent().expect("it is in one").join("links");
        directory.join(path.file_name().expect("it has one"))
    }

    fn put(path: &Path, content: &[u8], by: By) {
        match by {
            By::Rename => {}
            By::Write => return fs::write(path, content).unwrap(),
            By::Link => return fs::write(Self::other(path), content).unwrap(),
        }
        let new = path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, path).unwrap();
    }

    fn count(&self) -> u64 {
        self.count.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Until each file was exchanged once more.
    fn wait(&self, files: u64) {
        let from = self.count();
        while self.count() < from + files {
            std::thread::yield_now();
        }
    }
}

impl Drop for Exchanger {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Judges and starts it; gives what was judged, and the exit code. `None`: it was not started.
fn judged_and_run(program: &Path, meanwhile: impl FnOnce()) -> Option<(Judged, i32)> {
    let mut run = run_spec(&[program.to_str().unwrap()]);
    run.judged = true;
    let launch = settle(&run).ok()?;
    let judged = launch.judged().unwrap().clone();
    meanwhile();
    let staged = stage(launch.spec(handover()).ok()?).unwrap();
    let pid = nix::unistd::Pid::from_raw(staged.pid());
    let started = staged.start();
    let ended = nix::sys::wait::waitpid(pid, None).unwrap();
    started.ok()?;
    match ended {
        nix::sys::wait::WaitStatus::Exited(_, code) => Some((judged, code)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_byte_runs_that_was_not_judged_however_often_the_files_are_exchanged() {
    let directory = tempfile::tempdir().unwrap();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory.path(), open).unwrap();
    let at = |name: &str| directory.path().join(name);
    let script = |code: i32| format!("#!/bin/sh\nexit {code}\n").into_bytes();
    let [yes, no] = ["/bin/true", "/bin/false"].map(|path| fs::read(path).unwrap());
    let by = format!("#!{}\n", at("interpreter").display()).into_bytes();
    let digest = |bytes: &[u8]| {
        use sha2::Digest as _;
        crate::model::Sha256(sha2::Sha256::digest(bytes).into())
    };
    let codes = [
        (digest(&script(11)), 11),
        (digest(&script(22)), 22),
        (digest(&yes), 0),
        (digest(&no), 1),
    ];
    let files = vec![
        ("renamed", [script(11), script(22)], By::Rename),
        ("written", [script(11), script(22)], By::Write),
        ("linked", [script(11), script(22)], By::Link),
        ("binary", [yes.clone(), no.clone()], By::Rename),
        ("interpreter", [yes, no], By::Rename),
    ];
    let each = files.len() as u64;
    fs::write(at("by"), by).unwrap();
    fs::set_permissions(at("by"), fs::Permissions::from_mode(0o755)).unwrap();
    let exchanger = Exchanger::start(directory.path().to_owned(), files);
    // Each with the file exchanged between decision and execution.
    let (mut ran, mut tries, wanted) = (0, 0, rounds(100, 10_000));
    while ran < wanted {
        tries += 1;
        assert!(tries < 10 * wanted, "{ran} programs ran");
        for name in ["renamed", "written", "linked", "binary", "by"] {
            let meanwhile = || exchanger.wait(2 * each);
            let Some((judged, code)) = judged_and_run(&at(name), meanwhile) else {
                continue;
            };
            let decides = match (&judged.interpreter, name) {
                (Some((_, interpreter)), "by") => *interpreter,
                _ => judged.sha256,
            };
            let known = codes.iter().find(|(digest, _)| *digest == decides);
            let wanted = known.map(|(_, code)| *code);
            assert_eq!(wanted, Some(code), "{name}: {judged:?}");
            // Others can put another interpreter into the directory before the next launch.
            assert_eq!(judged.pinned, name != "by", "{name}");
            ran += 1;
        }
    }
    println!("{ran} programs ran, {} exchanges", exchanger.count());
}
